"""The base as joint updates look at it: coefficients of the layers that they write, kept by text.

What is computed here depends on the base and on what is asked, and on no edit. Questions that
belong together run in batches of their own, because the last bits of a coefficient depend on what
runs beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kn_edit.editing.correction_texts import ordinary_texts
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_depth import (
    SEARCH,
    TRIED,
    Trial,
    best_layer,
    candidate_layers,
    late_candidates,
    late_layers,
    leak,
    said_unseen,
    trials,
)
from kn_edit.editing.joint_subjects import ShiftSearch, SubjectRow, subject_shift
from kn_edit.editing.locating import Locator
from kn_edit.editing.neutral import everywhere
from kn_edit.edits.members import STAYS, Place, ShiftRow
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.key_files import KeyFiles
from kn_edit.engine.version import ModelVersion
from kn_edit.models.batching import side_by_side
from kn_edit.models.finite import first_non_finite
from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace
from kn_edit.models.usage import coefficients_in
from kn_edit.progress import Progress

MOST_ADDING = 4  # facts about one subject that add steps to the search of their shift


@dataclass(frozen=True, eq=False)
class JointBase:
    """The live base, for facts that are solved for together.

    locator: at the base; files: the cache of coefficients
    """

    model: Model
    locator: Locator
    settings: JointSettings
    seed: int
    fingerprint: str
    files: KeyFiles
    progress: Progress

    @classmethod
    def of(cls, context: EditContext, live: ModelVersion, settings: JointSettings) -> JointBase:
        """live: the version without edits"""
        return cls(
            model=live.model,
            locator=context.locator(live),
            settings=settings,
            seed=context.seed,
            fingerprint=live.fingerprint,
            files=KeyFiles(live),
            progress=context.progress,
        )

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The layers that write: the best one, as it is measured (`joint_depth`), and some below.

        Raises NotFinite.
        """
        top = self.top_layer
        return tuple(range(max(0, top - self.settings.layers + 1), top + 1))

    @cached_property
    def answer_layers(self) -> tuple[int, ...]:
        """The layers that write where answers are: the top ones where subjects are apart there.

        As measured (`joint_depth`); none in a network of few layers. Raises NotFinite.
        """
        candidates = late_candidates(self.model, above=self.layers[-1])
        if not candidates or not self.settings.answer_layers:
            return ()
        leaks = self.files.array(
            ["leaks where answers are", candidates, self.seed, TRIED],
            (len(candidates),),
            lambda: self._answer_leaks(candidates),
        )
        late = late_layers(candidates, leaks.tolist(), self.model.n_layers)
        return late[-self.settings.answer_layers :]

    @cached_property
    def top_layer(self) -> int:
        """The layer at whose output a fact's shift is to be there. Raises NotFinite."""
        candidates = candidate_layers(self.model)
        if len(candidates) == 1:
            return candidates[0]
        scores = self.files.array(
            ["layers where subjects end", candidates, self.seed, vars(SEARCH), TRIED],
            (len(candidates),),
            lambda: self._layer_scores(candidates),
        )
        return best_layer(candidates, scores.tolist(), self.model.n_layers)

    def shift(self, rows: Sequence[ShiftRow], facts: int = 1) -> Tensor:
        """The least shift of the top layer's output where a subject ends, by these rows.

        facts: that these rows are of; each of the first ones adds as many steps as one takes.
        (d_model,), float32, kept by all that it depends on. Raises NotFinite.
        """
        settings = self.settings
        steps = min(facts, MOST_ADDING) * settings.steps
        search = ShiftSearch(settings.margin, steps, settings.step)

        def compute() -> Tensor:
            # Grad is off where a caller works in inference mode, and nothing could be found there.
            with torch.inference_mode(False):
                return subject_shift(self.model, _searched(rows), self.top_layer, search).shift

        name = ["shift", self.top_layer, vars(search), [row.plain for row in rows]]
        return self.files.array(name, (self.model.d_model,), compute)

    def keys(self, places: Sequence[Place]) -> Tensor:
        """Coefficients of the layers at places that belong together, kept by text.

        float32, (layers, places, d_ff). Raises NotFinite.
        """
        shape = (len(self.layers), len(places), self.model.d_ff)
        if not places:
            return torch.empty(shape, device=self.model.device)
        texts = [[list(place.ids), place.position] for place in places]
        return self.files.array(
            ["keys", self.layers, texts],
            shape,
            lambda: keys_at(self.model, [question_at(place) for place in places], self.layers),
        )

    def leaders(self, places: Sequence[Place]) -> list[tuple[int, float]]:
        """The token that leads at each of some places that belong together, and by how much.

        In log-probability; kept by text. Raises NotFinite.
        """
        if not places:
            return []
        texts = [[list(place.ids), place.position] for place in places]
        questions = [question_at(place) for place in places]

        def compute() -> Tensor:
            best = [row.topk(2) for row in log_p(self.model, questions)]
            return torch.stack(
                [torch.stack([top.indices[0], top.values[0] - top.values[1]]) for top in best]
            )

        rows = self.files.array(["leading tokens", texts], (len(places), 2), compute)
        # A token's number is exact in float32 up to 16 million.
        return [(int(token), lead) for token, lead in rows.tolist()]

    @property
    def end_moments(self) -> dict[int, Tensor]:
        """The second moment of each layer's coefficients at every token of ordinary text.

        Of those that write where subjects end; float64, (d_ff, d_ff).
        """
        return self._kept_moments("moments of ordinary text", self.layers, self._moments)

    @property
    def answer_moments(self) -> dict[int, Tensor]:
        """The same of the layers that write where answers are.

        A masked LM answers at masked tokens alone, so these are what is read of its neutral text.
        """
        kind = "ordinary" if self.model.causal else "masked"
        return self._kept_moments(
            f"moments of {kind} text", self.answer_layers, self._moments_at_answers
        )

    def _kept_moments(
        self,
        name: str,
        layers: tuple[int, ...],
        compute: Callable[[Sequence[int]], dict[int, Tensor]],
    ) -> dict[int, Tensor]:
        shape = (len(layers), self.model.d_ff, self.model.d_ff)
        moments = self.files.array(
            [name, layers, self.seed], shape, lambda: torch.stack([*compute(layers).values()])
        )
        return dict(zip(layers, in_float64(moments), strict=True))

    def _moments_at_answers(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """The second moment of each layer where text is answered, (d_ff, d_ff)."""
        return self._moments(layers) if self.model.causal else self._moments_of_masked(layers)

    def _moments_of_masked(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """The second moment of each layer where neutral text is masked, (d_ff, d_ff)."""
        self.progress("reading ordinary text", 0, 0)
        keys = keys_at(self.model, everywhere(self.model, self.seed), layers)
        return {layer: _second_moment(rows) for layer, rows in zip(layers, keys, strict=True)}

    def _moments(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """The second moment of each layer at every token of ordinary text, (d_ff, d_ff)."""
        self.progress("reading ordinary text", 0, 0)
        keys = coefficients_in(self.model, ordinary_texts(self.model, self.seed), layers)
        return {layer: _second_moment(keys[layer]) for layer in layers}

    def _layer_scores(self, layers: Sequence[int]) -> Tensor:
        """How well each layer would do as the last that writes where subjects end."""
        tried = self._trials
        if not tried:
            return torch.zeros(len(layers))
        moments = self._moments(layers)
        scores = torch.empty(len(layers))
        for number, layer in enumerate(layers):
            self.progress("looking for a layer", number, len(layers))
            keys = [
                keys_at(self.model, [question_at(place) for place in trial.ends], [layer])[0].mean(
                    0
                )
                for trial in tried
            ]
            share = said_unseen(self.model, tried, layer)
            scores[number] = share * (1 - leak(tried, keys, moments[layer]))
        return scores

    def _answer_leaks(self, layers: Sequence[int]) -> Tensor:
        """What an edit of one subject gives to another where they are answered, of each layer."""
        tried = self._trials
        if not tried:
            return torch.zeros(len(layers))
        moments = self._moments_at_answers(layers)
        keys = [
            keys_at(self.model, [question_at(place) for place in trial.answers], layers).mean(1)
            for trial in tried
        ]
        leaks = [
            leak(tried, [of_trial[number] for of_trial in keys], moments[layer])
            for number, layer in enumerate(layers)
        ]
        return torch.tensor(leaks)

    @cached_property
    def _trials(self) -> tuple[Trial, ...]:
        """Facts that the base knows, which show what its layers are fit for."""
        return trials(self.model, self.locator, self.seed)


def _second_moment(keys: Tensor) -> Tensor:
    """The mean of c c^T over rows c, float64, (d_ff, d_ff); of (places, d_ff)."""
    exact = in_float64(keys)
    return exact.T @ exact / max(len(exact), 1)


def place_of(question: Question) -> Place:
    """Where a question asks, whatever it asks for."""
    return Place(question.ids, question.position)


def places_of(questions: Iterable[Question]) -> tuple[Place, ...]:
    """Where some questions ask, sorted, each place once."""
    return tuple(sorted({place_of(question) for question in questions}))


def question_at(place: Place) -> Question:
    """The question that asks at a place; its token means nothing."""
    return Question(place.ids, place.position, 0)


def _searched(rows: Iterable[ShiftRow]) -> list[SubjectRow]:
    return [
        SubjectRow(
            Question(row.place.ids, row.place.position, max(row.token, 0)),
            row.end,
            wanted=row.token != STAYS,
        )
        for row in rows
    ]


def keys_at(model: Model, questions: Sequence[Question], layers: Sequence[int]) -> Tensor:
    """Coefficients of layers where questions ask, float32, (layers, questions, d_ff).

    No layer above them is run. Raises NotFinite.
    """
    keys = torch.empty(len(layers), len(questions), model.d_ff, device=model.device)
    top = max(layers)
    stop = top + 1 if top + 1 < model.n_layers else None
    for group in side_by_side(model, questions):
        batch = batched(model, [questions[place] for place in group])
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask, answers=batch, stop_at=stop)
        rows = torch.stack([run.coefficients[layer][:, 0] for layer in layers])
        if not bool(rows.isfinite().all()):
            raise first_non_finite(model, batch)
        keys[:, group] = rows.to(keys)
    return keys
