"""The base as joint updates look at it: coefficients of the layer that they write, kept by text.

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
    FEWEST_LAYERS,
    TRIED,
    best_layer,
    candidate_layers,
    leak,
    said_unseen,
    trials,
)
from kn_edit.editing.locating import Locator
from kn_edit.editing.neutral import everywhere
from kn_edit.edits.members import Place
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.key_files import KeyFiles
from kn_edit.engine.version import ModelVersion
from kn_edit.models.batching import side_by_side
from kn_edit.models.finite import first_non_finite
from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace
from kn_edit.models.usage import coefficients_in, usual_sizes
from kn_edit.progress import Progress


@dataclass(frozen=True, eq=False)
class JointBase:
    """The live base, for facts that are solved for together.

    locator: at the base; layer: that is written where answers are; files: the cache of coefficients
    """

    model: Model
    locator: Locator
    layer: int
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
            layer=written_layer(live.model, settings),
            settings=settings,
            seed=context.seed,
            fingerprint=live.fingerprint,
            files=KeyFiles(live),
            progress=context.progress,
        )

    def keys(self, places: Sequence[Place]) -> Tensor:
        """Coefficients of the layer at places that belong together, float32, (places, d_ff).

        Raises NotFinite.
        """
        return self._keys(self.layer, places)

    @cached_property
    def subject_layer(self) -> int | None:
        """The layer that writes where subjects end, as it is measured (`joint_depth`).

        None where the network has no layer that lies low. Raises NotFinite.
        """
        layers, settings = candidate_layers(self.model, self.layer), self.settings
        if not (layers and settings.subject_share):
            return None
        search = (settings.subject_margin, settings.subject_steps, settings.subject_step)
        scores = self.files.array(
            ["layers where subjects end", layers, self.seed, search, TRIED],
            (len(layers),),
            lambda: self._layer_scores(layers),
        )
        return best_layer(layers, scores.tolist(), self.model.n_layers)

    def subject_keys(self, places: Sequence[Place]) -> Tensor:
        """Coefficients of the layer that writes where subjects end, at places that belong together.

        float32, (places, d_ff). Raises NotFinite.
        """
        layer = self.subject_layer
        return self._keys(0, ()) if layer is None else self._keys(layer, places)

    def _keys(self, layer: int, places: Sequence[Place]) -> Tensor:
        """Coefficients of a layer at places that belong together, kept by text."""
        width = self.model.d_ff
        if not places:
            return torch.empty(0, width, device=self.model.device)
        texts = [[list(place.ids), place.position] for place in places]
        return self.files.array(
            ["keys", layer, texts],
            (len(places), width),
            lambda: keys_at(self.model, [question_at(place) for place in places], layer),
        )

    @cached_property
    def moment(self) -> Tensor:
        """The second moment of coefficients in ordinary text, float64, (d_ff, d_ff).

        At every token in a causal LM; in a masked one where a token is masked, as answers are.
        """
        width = self.model.d_ff
        name = ["moment of ordinary text", self.layer, self.seed]
        return in_float64(self.files.array(name, (width, width), self._moment))

    @cached_property
    def subject_moment(self) -> Tensor:
        """The same of the layer that writes where subjects end, at every token of ordinary text."""
        layer = self.subject_layer
        assert layer is not None
        return in_float64(self._kept_moment(layer, lambda: self._moments((layer,))[layer]))

    def _kept_moment(self, layer: int, compute: Callable[[], Tensor]) -> Tensor:
        """A moment of all ordinary text from the cache; computed where that lacks it."""
        name = ["moment of all ordinary text", layer, self.seed]
        return self.files.array(name, (self.model.d_ff, self.model.d_ff), compute)

    @cached_property
    def usual(self) -> float:
        """The length of what the layer writes at the median token of ordinary text."""
        name = ["usual size", self.layer, self.seed]
        return float(self.files.array(name, (1,), self._usual))

    def _moment(self) -> Tensor:
        if self.model.causal:
            return self._moments((self.layer,))[self.layer]
        self.progress("reading ordinary text", 0, 0)
        return _second_moment(keys_at(self.model, everywhere(self.model, self.seed), self.layer))

    def _moments(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """The second moment of each layer at every token of ordinary text, (d_ff, d_ff)."""
        self.progress("reading ordinary text", 0, 0)
        keys = coefficients_in(self.model, ordinary_texts(self.model, self.seed), layers)
        return {layer: _second_moment(keys[layer]) for layer in layers}

    def _layer_scores(self, layers: Sequence[int]) -> Tensor:
        """How well each layer would do as the one that writes where subjects end."""
        tried = trials(self.model, self.locator, self.seed)
        if not tried:
            return torch.zeros(len(layers))
        moments = self._moments(layers)
        scores = torch.empty(len(layers))
        for number, layer in enumerate(layers):
            self.progress("looking for a layer", number, len(layers))
            keys = [
                keys_at(self.model, [question_at(place) for place in trial.ends], layer).mean(0)
                for trial in tried
            ]
            share = said_unseen(self.model, tried, layer, self.settings)
            scores[number] = share * (1 - leak(tried, keys, moments[layer]))
        best = best_layer(layers, scores.tolist(), self.model.n_layers)
        self._kept_moment(best, lambda: moments[best])  # the text is not read once more for it
        return scores

    def _usual(self) -> Tensor:
        return usual_sizes(self.model, ordinary_texts(self.model, self.seed), [self.layer])


def _second_moment(keys: Tensor) -> Tensor:
    """The mean of c c^T over rows c, float64, (d_ff, d_ff); of (places, d_ff)."""
    exact = in_float64(keys)
    return exact.T @ exact / max(len(exact), 1)


def written_layer(model: Model, settings: JointSettings) -> int:
    """The layer whose slots are written: near the end, where subjects have come apart."""
    above = settings.below if model.causal and model.n_layers >= FEWEST_LAYERS else 0
    return model.n_layers - 1 - min(above, model.n_layers - 1)


def place_of(question: Question) -> Place:
    """Where a question asks, whatever it asks for."""
    return Place(question.ids, question.position)


def places_of(questions: Iterable[Question]) -> tuple[Place, ...]:
    """Where some questions ask, sorted, each place once."""
    return tuple(sorted({place_of(question) for question in questions}))


def question_at(place: Place) -> Question:
    """The question that asks at a place; its token means nothing."""
    return Question(place.ids, place.position, 0)


def keys_at(model: Model, questions: Sequence[Question], layer: int) -> Tensor:
    """Coefficients of a layer at each answer position, float32, (questions, d_ff).

    No layer above it is run. Raises NotFinite.
    """
    keys = torch.empty(len(questions), model.d_ff, device=model.device)
    stop = layer + 1 if layer + 1 < model.n_layers else None
    for group in side_by_side(model, questions):
        batch = batched(model, [questions[place] for place in group])
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask, answers=batch, stop_at=stop)
        rows = run.coefficients[layer][:, 0]
        if not bool(rows.isfinite().all()):
            raise first_non_finite(model, batch)
        keys[group] = rows.to(keys)
    return keys
