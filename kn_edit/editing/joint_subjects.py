"""What a joint update is to bring to where a fact's subject is named: one shift, at one layer.

In the lower part of a network the coefficients at a subject's last token tell subjects apart; those
at the answer do so only near its end. That facts are recalled at the subject's last token: Meng et
al., 2022 (ROME).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kn_edit.edits.least_step import least_step
from kn_edit.edits.members import STAYS, Place, ShiftRow
from kn_edit.edits.suffix import Suffix, TextGroup, TreeGroup, shifted
from kn_edit.facts import Prompt
from kn_edit.models.encoding import Ids
from kn_edit.models.finite import first_non_finite
from kn_edit.models.head import LEADING, leads_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask_openly, batched, word_places
from kn_edit.models.tree import Branch

KEPT_LEAD = 2.0  # of an answer that is to stay, of the lead that it has, at most
ENOUGH = 0.02  # of the hidden state's length: a shorter step ends the search


def subject_end(model: Model, chain: Chain, subject: str) -> int | None:
    """Where a prompt has its subject's last token; None where it does not name it.

    None too where a causal LM reads it only behind the answer.
    """
    inside = word_places(model, chain, subject)
    if not inside or (model.causal and inside[-1] > chain.questions[0].position):
        return None
    return inside[-1]


def reading_end(model: Model, chain: Chain, subject: str) -> int:
    """Where a prompt has its subject's last token; where it does not name it, where it is asked:
    then all of it says what it is about."""
    end = subject_end(model, chain, subject)
    return chain.questions[0].position if end is None else end


def end_place(model: Model, ids: Ids, end: int) -> Place:
    """A place in a text, of which a causal LM reads no more."""
    return Place(ids[: end + 1] if model.causal else ids, end)


def chain_end(model: Model, chain: Chain) -> Place:
    """Where a prompt has the last token of its fact's subject; see `reading_end`."""
    end = reading_end(model, chain, chain.prompt.fact.subject)
    return end_place(model, chain.questions[0].ids, end)


def prompt_end(model: Model, prompt: Prompt) -> Place:
    """The same of a prompt, whatever it is asked for."""
    return chain_end(model, Chain(prompt, (ask_openly(model, prompt),)))


def held_rows(model: Model, prompts: Iterable[Prompt]) -> list[ShiftRow]:
    """Prompts as they are held: where each is asked, and where it has its subject's last token."""
    questions = ((prompt, ask_openly(model, prompt)) for prompt in prompts)
    return [
        ShiftRow(
            Place(question.ids, question.position),
            reading_end(model, Chain(prompt, (question,)), prompt.fact.subject),
            STAYS,
        )
        for prompt, question in questions
    ]


def row_ends(model: Model, rows: Iterable[ShiftRow]) -> tuple[Place, ...]:
    """Where prompts have their subjects' last tokens, sorted, each place once."""
    return tuple(sorted({end_place(model, row.place.ids, row.end) for row in rows}))


def prompt_ends(model: Model, prompts: Iterable[Prompt]) -> tuple[Place, ...]:
    """The same of prompts, whatever they are asked for."""
    return row_ends(model, held_rows(model, prompts))


@dataclass(frozen=True)
class SubjectRow:
    """A question, and where its text has the subject's last token.

    wanted: its token is to lead; else whatever leads there is to go on so, and it has no say
    """

    question: Question
    end: int
    wanted: bool = True


@dataclass(frozen=True)
class ShiftSearch:
    """How a shift is looked for.

    margin: of log-probability over the next token, that it brings alone; steps: at most; step: the
    length of one, at most, in units of the hidden state
    """

    margin: float
    steps: int
    step: float


@dataclass(frozen=True, eq=False)
class SubjectShift:
    """What a layer writes more at a place. shift: (d_model,)"""

    layer: int
    shift: Tensor


@contextmanager
def writing(model: Model, layer: int, places: list[int], parts: Tensor) -> Iterator[None]:
    """Write at some tokens inside the block. parts: what at each, (places, d_model)"""
    if not places:
        yield
        return
    with shifted(model, {layer: _AtPlaces(places, parts)}):
        yield


@dataclass(frozen=True, eq=False)
class _AtPlaces:
    """Writes at some tokens, whatever the coefficients are. parts: of each, (places, d_model)"""

    places: list[int]  # counted through all texts, each once
    parts: Tensor

    def written(self, coefficients: Tensor) -> Tensor:
        shape = coefficients.shape[:-1]
        parts = self.parts.to(coefficients)
        nothing = parts.new_zeros(shape.numel(), parts.shape[-1])
        written: Tensor = nothing.index_put(
            (torch.tensor(self.places, device=parts.device),), parts
        )
        return written.view(*shape, -1)


@dataclass(frozen=True, eq=False)
class _RowsAbove:
    """Rows side by side from the lowest written layer on, each with tokens of its own there.

    places: of the rows among all; states: at the subjects' ends, below all shifts, (rows, d_model);
    ends: their places among the tokens; run: the last layer's output where the rows ask, (rows,
    d_model)
    """

    model: Model
    rows: Sequence[SubjectRow]
    places: list[int]
    states: Tensor
    ends: list[int]
    run: Callable[[], Tensor]

    @classmethod
    def of_tree(
        cls, model: Model, group: TreeGroup, rows: Sequence[SubjectRow], places: list[int]
    ) -> _RowsAbove:
        """Nothing in front of a subject's end hears the shift, so that does not run again."""
        branches = [Branch(row.question.ids, row.end) for row in rows]
        tokens, order = group.tree.branches(group.hidden, group.layer, branches)
        hidden = group.hidden[order]
        lengths = [len(branch.ids) - branch.start for branch in branches]
        ends = [sum(lengths[:number]) for number in range(len(rows))]
        answers = [
            end + row.question.position - row.end for end, row in zip(ends, rows, strict=True)
        ]

        def run() -> Tensor:
            return tokens.run(hidden, group.layer, answers)

        return cls(model, rows, places, hidden[ends], ends=ends, run=run)

    @classmethod
    def padded(
        cls, model: Model, group: TextGroup, rows: Sequence[SubjectRow], places: list[int]
    ) -> _RowsAbove:
        """All tokens of the texts run again: a masked LM's hear each other."""
        number = {ids: place for place, ids in enumerate(group.texts)}
        texts = [row.question.ids for row in rows]
        hidden = group.hidden[[number[ids] for ids in texts]]
        above = replace(group, texts=texts, hidden=hidden)
        each, ends = range(len(rows)), [row.end for row in rows]
        positions = [row.question.position for row in rows]

        def run() -> Tensor:
            return above.run(model)[each, positions]

        at_ends = [number * hidden.shape[1] + end for number, end in enumerate(ends)]
        return cls(model, rows, places, hidden[each, ends], ends=at_ends, run=run)

    def leads(self, layer: int, shifts: Tensor, tokens: Tensor | None) -> _Leads:
        """How each row stands where the layer writes its shift.

        shifts: of the rows, (rows, d_model); tokens: of the rows, (rows,); None takes for a row
        that is not wanted what leads there
        """
        if tokens is None:
            tokens = self.tokens.masked_fill(~_wanted(self.rows, shifts), LEADING)
        parts = shifts.clone().requires_grad_()
        with torch.enable_grad(), writing(self.model, layer, self.ends, parts):
            leads, tokens = leads_of(self.model, self.run(), tokens)
        (gradients,) = torch.autograd.grad(leads.sum(), parts)
        return _Leads(leads.detach(), gradients, tokens)

    def leads_alone(self, layer: int, shifts: Tensor) -> Tensor:
        """By how much the token of each row leads there, (rows,)."""
        with torch.no_grad(), writing(self.model, layer, self.ends, shifts):
            return leads_of(self.model, self.run(), self.tokens)[0]

    @property
    def tokens(self) -> Tensor:
        """That the rows ask for, (rows,)."""
        tokens = [row.question.token for row in self.rows]
        return torch.tensor(tokens, device=self.states.device)


@dataclass(frozen=True, eq=False)
class _Leads:
    """By how much the token of each row leads, (rows,), and how that changes with the shift.

    gradients: (rows, d_model); tokens: (rows,)
    """

    leads: Tensor
    gradients: Tensor
    tokens: Tensor


def _wanted(rows: Sequence[SubjectRow], like: Tensor) -> Tensor:
    return torch.tensor([row.wanted for row in rows], device=like.device)


def subject_shift(
    model: Model, rows: Sequence[SubjectRow], layer: int, search: ShiftSearch
) -> SubjectShift:
    """The least shift by which a fact's new answer leads in all rows, as far as there is one.

    Zero where nothing is asked. Raises NotFinite.
    """
    (shift,) = subject_shifts(model, [rows], layer, search)
    return SubjectShift(layer, shift)


def subject_shifts(
    model: Model,
    rows_of: Sequence[Sequence[SubjectRow]],
    layer: int,
    search: ShiftSearch,
    *,
    enough: float | None = None,
    texts: Suffix | None = None,
) -> Tensor:
    """The least shift of each of several subjects, by rows of its own; (subjects, d_model).

    Step by step: each is the least by which, as the gradients tell, every wanted row comes to lead
    by the margin and no other row loses its lead (Gauss and Newton's method). All rows run
    together, so the last bits of a shift depend on the other subjects.

    enough: a shorter step ends a search, in units of the hidden state; None takes ENOUGH
    texts: of the rows, at the layer's input, where they ran up to it before
    Raises NotFinite.
    """
    enough = ENOUGH if enough is None else enough
    shifts = torch.zeros(len(rows_of), model.d_model, device=model.device)
    rows = [row for of_subject in rows_of for row in of_subject]
    if not rows:
        return shifts
    groups = _grouped(model, rows, layer, texts)
    order = torch.tensor([place for group in groups for place in group.places])
    subject_of = _numbers(rows_of)[order].to(model.device)
    states = torch.cat([group.states for group in groups]).float()
    of_subjects = {
        number: (subject_of == number).nonzero()[:, 0]
        for number in range(len(rows_of))
        if rows_of[number]
    }
    sizes = {
        number: float(states[places].norm(dim=1).median()) for number, places in of_subjects.items()
    }
    floor = torch.empty(0)
    standings: list[_Leads] = []
    for number in range(search.steps):
        earlier = [standing.tokens for standing in standings]
        tokens: list[Tensor | None] = [*earlier] or [None] * len(groups)
        parts = torch.split(shifts[subject_of], [len(group.rows) for group in groups])
        standings = [
            group.leads(layer, part, of_group)
            for group, part, of_group in zip(groups, parts, tokens, strict=True)
        ]
        leads = torch.cat([standing.leads for standing in standings])
        if bool(leads.isnan().any()):
            raise first_non_finite(model, batched(model, [row.question for row in rows]))
        if number == 0:
            wanted = torch.cat([_wanted(group.rows, leads) for group in groups])
            floor = leads.clamp_max(KEPT_LEAD).masked_fill(wanted, search.margin)
        gradients = torch.cat([standing.gradients for standing in standings])
        for subject, places in [*of_subjects.items()]:
            step = least_step(gradients[places], floor[places] - leads[places])
            length = float(step.norm()) / sizes[subject]
            if length < enough:
                del of_subjects[subject]
            else:
                shifts[subject] += step * min(1.0, search.step / length)
        if not of_subjects:
            break
    return shifts


def _numbers(rows_of: Sequence[Sequence[SubjectRow]]) -> Tensor:
    """Which subject each row is about, (rows,)."""
    return torch.tensor([number for number, rows in enumerate(rows_of) for _ in rows])


def leads_behind(
    model: Model, rows_of: Sequence[Sequence[SubjectRow]], layer: int, shifts: Tensor
) -> Tensor:
    """By how much the token of each row leads where its subject's shift is written, (rows,).

    rows_of: of each subject; shifts: (subjects, d_model)
    """
    rows = [row for of_subject in rows_of for row in of_subject]
    numbers = _numbers(rows_of)
    leads = torch.empty(len(rows), device=model.device)
    for group in _grouped(model, rows, layer):
        of_group = shifts[numbers[group.places].to(model.device)]
        leads[group.places] = group.leads_alone(layer, of_group)
    return leads


def _grouped(
    model: Model, rows: Sequence[SubjectRow], layer: int, texts: Suffix | None = None
) -> list[_RowsAbove]:
    """Rows by the texts that run together, at the input of a layer.

    texts: of the rows, there; None runs them up to it
    """
    by_text: dict[Ids, list[int]] = {}
    for place, row in enumerate(rows):
        by_text.setdefault(row.question.ids, []).append(place)
    groups = []
    for group in (texts or Suffix(model, layer, by_text)).groups(by_text):
        places = [place for ids in group.texts for place in by_text[ids]]
        of_group = [rows[place] for place in places]
        if isinstance(group, TreeGroup):
            groups.append(_RowsAbove.of_tree(model, group, of_group, places))
        else:
            groups.append(_RowsAbove.padded(model, group, of_group, places))
    return groups
