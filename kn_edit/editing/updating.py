"""Propose an update: locate, compute. Measuring and recording it are others' parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor

from kn_edit.editing.drafts import Bench, Proposal
from kn_edit.editing.locating import Locator, prompts_for
from kn_edit.editing.measuring import UpdateExam, judged_by
from kn_edit.editing.method import Kind, Need, UpdateRequest
from kn_edit.editing.neighbours import Neighbours, neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.requests import ASKED_AGAIN
from kn_edit.edits.build import SlotPlace, delta_of, low_rank_delta
from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import Delta
from kn_edit.errors import BadSetting, SameAnswer
from kn_edit.evaluation.metrics import Probes
from kn_edit.facts import Case, Relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask, asked_otherwise
from kn_edit.neuron import NeuronId
from kn_edit.neurons.locate import Located


@dataclass(frozen=True, eq=False)
class Shifts:
    """What an update adds to which slots."""

    neurons: Sequence[NeuronId]
    b: Tensor  # (n, d_model)
    scores: Mapping[NeuronId, float]
    story: dict[str, Any]  # how they were found, to be recorded

    def delta(self, place: SlotPlace) -> Delta:
        """As the delta of an edit. Raises ChangeOutOfRange."""
        return delta_of(place, self.neurons, self.b, Mode.ADD)

    @property
    def scored(self) -> tuple[tuple[NeuronId, float], ...]:
        """The neurons whose slots are named, sorted, with their scores."""
        return tuple((neuron, self.scores.get(neuron, 0.0)) for neuron in sorted(self.neurons))


@dataclass(frozen=True, eq=False)
class LowRankShifts:
    """What an update adds to all slots of some layers, at low rank."""

    factors: Mapping[int, tuple[Tensor, Tensor]]  # by layer u, (r, d_ff), and v, (r, d_model)
    story: dict[str, Any]  # how they were found, to be recorded
    scored: tuple[tuple[NeuronId, float], ...] = ()  # neurons with the largest part in them

    def delta(self, place: SlotPlace) -> Delta:
        """As the delta of an edit. Raises ChangeOutOfRange."""
        return low_rank_delta(place, self.factors)


@dataclass(frozen=True, eq=False)
class UpdateTask:
    """A fact that is to be updated, asked of the model at the bench's version.

    old, new: its prompts, asked for the answer before and for the new one; others: what is to be
    left alone; located: its neurons, where the method needs them
    """

    bench: Bench
    model: Model
    case: Case
    to: str
    old: tuple[Chain, ...]
    new: tuple[Chain, ...]
    others: Neighbours
    located: Located | None

    @property
    def attributed(self) -> Located:
        """The fact's neurons, for a method that says that it needs attribution."""
        assert self.located is not None, "the method's `needs` leaves attribution out"
        return self.located


class ShiftMethod(Protocol):
    """A method that adds shifts to value slots; see `kn_edit.editing.updates`."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    needs: ClassVar[frozenset[Need]]

    def suited(self, model: Model, base: Locator, case: Case) -> ShiftMethod:
        """The method that this fact is edited by."""
        ...

    def shifts(self, task: UpdateTask) -> Shifts | LowRankShifts:
        """What to add to which value slots."""
        ...


def propose_update(bench: Bench, request: UpdateRequest, method: ShiftMethod) -> Proposal:
    """Compute an update of one fact to a new answer by a method that shifts value slots.

    Raises SameAnswer, NoNeurons, NothingToAsk, NotFinite, ChangeOutOfRange, and CannotAsk where
    the model cannot be asked for an answer.
    """
    case, to = request.case, request.to
    fact, relation = case.fact, case.relation
    if _same(to, fact.answer):
        raise SameAnswer(fact.subject, to)
    with bench.engine.at([]) as model:
        _check_neurons(model, getattr(method, "neurons", ()))
        edited = prompts_for(model, relation, fact)
        new = [ask(model, prompt, to) for prompt in edited]  # a bad answer ends here
        # Neighbours and filter are taken from the base, so that every edit finds them made.
        base = bench.locator_at_base(model)
        others = neighbours(model, base, case)
        method = method.suited(model, base, case)
        attributed = Need.ATTRIBUTION in method.needs
        common = base.spoken_for(relation, fact) if attributed else frozenset()
        # An unedited fact is where it was, so many edits in a row need not look for it anew.
        fresh = attributed and not request.edited
        located = base.fact(relation, fact, common) if fresh else None
    held_out = judging_paraphrases(model, relation, fact, to)
    with bench.engine.at(bench.deltas) as model:
        old = [ask(model, prompt) for prompt in edited]
        if attributed and located is None:
            located = bench.locator_at_head(model).fact(relation, fact, common)
        task = UpdateTask(bench, model, case, to, tuple(old), tuple(new), others, located)
        shifts = method.shifts(task)
    probes = Probes(edited, held_out, others.judges, others.same_judges)
    return Proposal(
        kind=method.kind,
        delta=shifts.delta(bench.engine.place),
        relation=relation.name,
        subject=fact.subject,
        answer=fact.answer,
        target=to,
        method=method.name,
        neurons=shifts.scored,
        found=shifts.story | _asked(relation) | judged_by(probes),
        notices=(*asked_otherwise((*old, *new)), *(_doubts(located) if located else ())),
        message=_message(case, to),
        exam=UpdateExam(probes, tuple(old), to, case.said),
    )


def asked_anew(bench: Bench, proposal: Proposal, case: Case) -> Proposal:
    """The same update of a fact that another edit gave another answer meanwhile.

    Raises SameAnswer where that is the very answer of this update.
    """
    exam, to = proposal.exam, proposal.target
    assert isinstance(exam, UpdateExam)
    assert to is not None
    if case.fact.answer == proposal.answer:
        return proposal
    if _same(to, case.fact.answer):
        raise SameAnswer(case.fact.subject, to)
    model = bench.engine.model
    old = tuple(ask(model, p) for p in prompts_for(model, case.relation, case.fact))
    return replace(
        proposal,
        answer=case.fact.answer,
        message=_message(case, to),
        exam=replace(exam, old=old),
    )


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _message(case: Case, to: str) -> str:
    fact = case.fact
    return f"{case.relation.name}: {fact.subject}, {fact.answer} -> {to}"


def _check_neurons(model: Model, neurons: Sequence[NeuronId]) -> None:
    """Raise BadSetting for a neuron that the model does not have."""
    for neuron in neurons:
        if not (0 <= neuron.layer < model.n_layers and 0 <= neuron.index < model.d_ff):
            last = NeuronId(model.n_layers - 1, model.d_ff - 1)
            raise BadSetting("the neuron", str(neuron), f"one from {NeuronId(0, 0)} to {last}")


def is_unknown(model: Model, base: Locator, case: Case) -> bool:
    """Whether no neuron carries the fact yet: the model has it wrong, or never knew it.

    Prompts of a user's own ask for what the model has wrong; those of a relation, where none of
    them gives the old answer.
    """
    prompts = prompts_for(model, case.relation, case.fact)
    return case.relation.own or not any(base.right([ask(model, prompt) for prompt in prompts]))


def _asked(relation: Relation) -> dict[str, Any]:
    """The relation's templates, so that the edit can be asked again without its pack.

    own: they tell its facts apart, because nobody named the relation. paraphrases: held-out ones
    without an [X], which speak of this subject alone
    """
    own: dict[str, Any] = {"own": True} if relation.own else {}
    paraphrases = [one.text for one in relation.templates if one.about][:ASKED_AGAIN]
    asked = own | {
        "templates": [one.text for one in relation.templates if not one.held_out],
        "held_out": [one.text for one in relation.templates if one.held_out and not one.about],
    }
    return asked | ({"paraphrases": paraphrases} if paraphrases else {})


def _doubts(found: Located) -> tuple[str, ...]:
    if found.reached:
        return ()
    return ("the attribution did not reach its tolerance on every prompt; see gap",)
