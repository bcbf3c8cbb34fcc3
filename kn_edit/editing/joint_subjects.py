"""What a joint update writes where a fact's subject is named: one shift, spread over layers.

In the lower part of a network the coefficients at a subject's last token tell subjects apart; those
at the answer do so only near its end. So a part of each new answer is brought on where its subject
is named, and what then is missing is written at the answer: either alone reaches other subjects
more. That facts are recalled at the subject's last token: Meng et al., 2022 (ROME); that a shift is
better spread over layers: Meng et al., 2023 (MEMIT). Here all of these layers write the same, and
it is found while all of them write it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from kn_edit.edits.members import Place
from kn_edit.edits.settings import JointSettings
from kn_edit.edits.suffix import Suffix, TextGroup, TreeGroup, shifted
from kn_edit.models.clean import RunsIn
from kn_edit.models.encoding import Ids
from kn_edit.models.model import Model
from kn_edit.models.predict import lead, log_p
from kn_edit.models.questions import Batch, Chain, Question, word_places

FEWEST_LAYERS = 4  # of a network, for some of them to lie low, and the last to stay as they are
LOWEST, HIGHEST = 1 / 15, 0.4  # depth of the layers that write where subjects end
FARTHEST = 2.0  # times the found shift, the smallest one of its direction is looked for


def subject_layers(model: Model, settings: JointSettings, answer_layer: int) -> tuple[int, ...]:
    """Layers that write where subjects end, evenly spread over the lower part of a network.

    None in a network of few layers, none of which lies low.
    """
    if model.n_layers < FEWEST_LAYERS:
        return ()
    low, high = (round(depth * model.n_layers) for depth in (LOWEST, HIGHEST))
    high = min(high, answer_layer - 1)
    count = max(min(settings.subject_layers, high - low + 1), 0)
    gap = (high - low) / max(count - 1, 1)
    return tuple(low + round(number * gap) for number in range(count))


def subject_end(model: Model, chain: Chain, subject: str) -> int | None:
    """Where a prompt has its subject's last token; None where it does not name it.

    None too where a causal LM reads it only behind the answer.
    """
    inside = word_places(model, chain, subject)
    if not inside or (model.causal and inside[-1] > chain.questions[0].position):
        return None
    return inside[-1]


def end_place(model: Model, ids: Ids, end: int) -> Place:
    """A place in a text, of which a causal LM reads no more."""
    return Place(ids[: end + 1] if model.causal else ids, end)


@dataclass(frozen=True)
class SubjectRow:
    """A question, and where its text has the subject's last token.

    wanted: its token is to lead; else it leads as it is, and is to go on so
    """

    question: Question
    end: int
    wanted: bool = True


def kept_rows(model: Model, pairs: Sequence[tuple[Question, int]]) -> list[SubjectRow]:
    """Rows of questions whose answers are to stay, with their subjects' ends. Raises NotFinite."""
    best = (int(row.argmax()) for row in log_p(model, [question for question, _ in pairs]))
    return [
        SubjectRow(Question(question.ids, question.position, token), end, wanted=False)
        for (question, end), token in zip(pairs, best, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class SubjectShift:
    """What some layers write together at a place, each an equal part. shift: (d_model,)"""

    layers: tuple[int, ...]
    shift: Tensor

    @contextmanager
    def written(self, model: Model, places: Sequence[int]) -> Iterator[None]:
        """Write it at some tokens, counted through all texts of a batch, inside the block."""
        if not (places and self.layers):
            yield
            return
        addition = _AtPlaces(sorted(set(places)), self.shift / len(self.layers))
        with shifted(model, dict.fromkeys(self.layers, addition)):
            yield

    def at_ends(self, model: Model, ends: Mapping[Ids, int]) -> RunsIn:
        """Write it in batches of questions, each where its text has the subject's end.

        ends: by the texts that have one
        """

        @contextmanager
        def write(questions: Sequence[Question], batch: Batch) -> Iterator[None]:
            length = batch.ids.shape[1]
            rows = zip(questions, batch.rows.tolist(), strict=True)
            places = [
                row * length + ends[question.ids] for question, row in rows if question.ids in ends
            ]
            with self.written(model, places):
                yield

        return write


@dataclass(frozen=True, eq=False)
class _AtPlaces:
    """Writes the same at some tokens, whatever the coefficients are. part: (d_model,)"""

    places: list[int]  # counted through all texts
    part: Tensor

    def written(self, coefficients: Tensor) -> Tensor:
        shape = coefficients.shape[:-1]
        part = self.part.to(coefficients)
        nothing = part.new_zeros(shape.numel(), len(part))
        rows = part.expand(len(self.places), -1)
        places = torch.tensor(self.places, device=part.device)
        written: Tensor = nothing.index_put((places,), rows)
        return written.view(*shape, -1)


@dataclass(frozen=True, eq=False)
class _GroupRows:
    """Rows whose texts run together, from the lowest written layer on."""

    model: Model
    group: TextGroup | TreeGroup
    rows: tuple[SubjectRow, ...]

    @cached_property
    def _ends(self) -> list[int]:
        return [self._place(row.question.ids, row.end) for row in self.rows]

    @cached_property
    def _answers(self) -> list[int]:
        return [self._place(row.question.ids, row.question.position) for row in self.rows]

    @property
    def sizes(self) -> Tensor:
        """The lengths of the hidden states at the subjects' ends, below all shifts, (rows,)."""
        states = self.group.hidden.flatten(0, -2)[self._ends].float()
        return states.square().sum(-1).sqrt()

    def leads(self, shift: SubjectShift) -> Tensor:
        """By how much each row's token leads where the shift is written, (rows,)."""
        model, group = self.model, self.group
        with shift.written(model, self._ends):
            if isinstance(group, TreeGroup):
                hidden = group.tree.run(group.hidden, group.layer, self._answers)
            else:
                hidden = group.run(model).flatten(0, 1)[self._answers]
        tokens = torch.tensor([row.question.token for row in self.rows], device=hidden.device)
        return lead(model.logits(hidden).float().log_softmax(-1), tokens)

    def _place(self, ids: Ids, position: int) -> int:
        """A token of a text, counted through all texts."""
        if isinstance(self.group, TreeGroup):
            return self.group.tree.places[ids[: position + 1]]
        return self.group.texts.index(ids) * self.group.hidden.shape[1] + position


def subject_shift(
    model: Model, rows: Sequence[SubjectRow], layers: tuple[int, ...], settings: JointSettings
) -> SubjectShift:
    """The smallest shift by which a fact's new answer leads in all rows.

    Found by Adam on a squared hinge; then the smallest multiple is taken by which every wanted row
    leads by the margin, or the shift as it was found where there is none. Zero where nothing is
    asked.
    """
    if not (layers and rows):
        return SubjectShift((), torch.zeros(model.d_model, device=model.device))
    groups = _grouped(model, rows, layers[0])
    wanted = torch.tensor([row.wanted for group in groups for row in group.rows])
    wanted = wanted.to(model.device)

    def leads(shift: Tensor) -> Tensor:
        written = SubjectShift(layers, shift)
        return torch.cat([group.leads(written) for group in groups])

    size = float(torch.cat([group.sizes for group in groups]).median())
    shift = torch.zeros(model.d_model, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([shift], lr=settings.subject_rate * size / model.d_model**0.5)
    with torch.no_grad():
        floor = leads(shift).clamp_max(settings.margin).masked_fill(wanted, settings.margin)
    for _ in range(settings.subject_steps):
        missing = (floor - leads(shift)).clamp_min(0)
        if not missing.any():
            break
        shift.grad = torch.autograd.grad(missing.square().sum(), shift)[0]
        optimizer.step()
    direction = shift.detach()
    low, high = 0.0, FARTHEST
    for _ in range(settings.subject_bisections):
        middle = (low + high) / 2
        with torch.no_grad():
            enough = bool((leads(direction * middle)[wanted] >= settings.margin).all())
        low, high = (low, middle) if enough else (middle, high)
    return SubjectShift(layers, direction * (high if high < FARTHEST else 1.0))


def _grouped(model: Model, rows: Sequence[SubjectRow], layer: int) -> list[_GroupRows]:
    """Rows by the texts that run together, at the input of a layer."""
    by_text: dict[Ids, list[SubjectRow]] = {}
    for row in rows:
        by_text.setdefault(row.question.ids, []).append(row)
    return [
        _GroupRows(model, group, tuple(row for ids in group.texts for row in by_text[ids]))
        for group in Suffix(model, layer, by_text).groups(by_text)
    ]
