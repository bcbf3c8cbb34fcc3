"""Propose an update: locate, compute. Measuring and recording it are others' parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from torch import Tensor

from kn_edit.editing.drafts import EditContext, Proposal
from kn_edit.editing.edited import EditedFacts
from kn_edit.editing.locating import Locator, chains_for, prompts_for
from kn_edit.editing.measuring import MOST_RECORDED, UpdateExam, UpdatesExam, judged_by
from kn_edit.editing.method import Kind, Need, UpdateRequest, UpdatesRequest
from kn_edit.editing.neighbours import Neighbours, neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.requests import ASKED_AGAIN, message_of, recorded_names
from kn_edit.edits.build import SlotPlace, delta_of, low_rank_delta
from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import Delta
from kn_edit.engine.version import ModelVersion
from kn_edit.errors import BadSetting, SameAnswer
from kn_edit.evaluation.metrics import Probes
from kn_edit.facts import Case, Prompt, Relation, same_answer
from kn_edit.ledger.records import FactChange
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask, asked_otherwise
from kn_edit.neuron import NeuronId
from kn_edit.neurons.locate import Located

FEWEST_RECORDED = 4  # prompts of each kind that judge one of many facts


@dataclass(frozen=True, eq=False)
class Shifts:
    """What an update adds to which slots."""

    neurons: Sequence[NeuronId]
    b: Tensor  # (n, d_model)
    scores: Mapping[NeuronId, float]
    provenance: dict[str, Any]  # how they were found, to be recorded

    def delta(self, place: SlotPlace) -> Delta:
        """The delta of an edit with these shifts. Raises ChangeOutOfRange."""
        return delta_of(place, self.neurons, self.b, Mode.ADD)

    @property
    def scored(self) -> tuple[tuple[NeuronId, float], ...]:
        """The neurons whose slots are named, sorted, with their scores."""
        return tuple((neuron, self.scores.get(neuron, 0.0)) for neuron in sorted(self.neurons))


@dataclass(frozen=True, eq=False)
class LowRankShifts:
    """What an update adds to all slots of some layers, at low rank."""

    factors: Mapping[int, tuple[Tensor, Tensor]]  # by layer u, (r, d_ff), and v, (r, d_model)
    provenance: dict[str, Any]  # how they were found, to be recorded
    scored: tuple[tuple[NeuronId, float], ...] = ()  # neurons with the largest part in them

    def delta(self, place: SlotPlace) -> Delta:
        """The delta of an edit with these shifts. Raises ChangeOutOfRange."""
        return low_rank_delta(place, self.factors)


@dataclass(frozen=True, eq=False)
class UpdateTask:
    """A fact that is to be updated, asked of the model at the context's version.

    old, new: its prompts, asked for the answer before and for the new one; neighbours: what is to
    be left alone; located: its neurons, where the method needs them
    """

    context: EditContext
    model: Model
    case: Case
    to: str
    old: tuple[Chain, ...]
    new: tuple[Chain, ...]
    neighbours: Neighbours
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


class ManyMethod(ShiftMethod, Protocol):
    """A method that adds shifts to value slots for several facts at once."""

    def shifts_of_many(self, tasks: Sequence[UpdateTask]) -> Shifts | LowRankShifts:
        """What to add to which value slots."""
        ...


def propose_update(context: EditContext, request: UpdateRequest, method: ShiftMethod) -> Proposal:
    """Compute an update of one fact to a new answer by a method that shifts value slots.

    Raises SameAnswer, NoNeurons, NothingToAsk, NotFinite, ChangeOutOfRange, and CannotAsk where
    the model cannot be asked for an answer.
    """
    check_answers([request])
    with context.engine.at([]) as base:
        resolved = _resolved(context, base, request, method, None)
    with context.engine.at(context.deltas) as head:
        task = resolved.task(context, head)
        shifts = resolved.method.shifts(task)
    return _proposal(context, [resolved], [task], shifts)


def propose_updates(context: EditContext, request: UpdatesRequest, method: ManyMethod) -> Proposal:
    """Compute one update of several facts by a method that takes many. Raises as of one fact."""
    updates = request.updates
    check_answers(updates)
    resolved = []
    with context.engine.at([]) as base:
        edited = EditedFacts.of(base.model, [update.case for update in updates])
        for index, update in enumerate(updates):
            context.progress("asking", index, len(updates))
            resolved.append(_resolved(context, base, update, method, edited))
    with context.engine.at(context.deltas) as head:
        tasks = [update.task(context, head) for update in resolved]
        shifts = method.shifts_of_many(tasks)
    return _proposal(context, resolved, tasks, shifts)


def check_answers(updates: Sequence[UpdateRequest]) -> None:
    """Raise SameAnswer for an update that changes nothing."""
    for update in updates:
        if same_answer(update.to, update.case.fact.answer):
            raise SameAnswer(update.case.fact.subject, update.to)


@dataclass(frozen=True, eq=False)
class _Resolved:
    """An update that the base was asked about.

    prompts, new: those that are edited, asked for the new answer; common: neurons of the relation
    located: the fact's own, of a fact that no edit changed
    """

    request: UpdateRequest
    method: ShiftMethod
    prompts: tuple[Prompt, ...]
    new: tuple[Chain, ...]
    held_out: tuple[Prompt, ...]
    neighbours: Neighbours
    common: frozenset[NeuronId]
    located: Located | None

    @property
    def probes(self) -> Probes:
        """The prompts that judge it."""
        return Probes(
            edited=self.prompts,
            held_out=self.held_out,
            neighbours=self.neighbours.judges,
            same_subject=self.neighbours.same_subject_judges,
        )

    def task(self, context: EditContext, head: ModelVersion) -> UpdateTask:
        """The fact asked of the model at the context's version."""
        model, case, located = head.model, self.request.case, self.located
        if located is None and Need.ATTRIBUTION in self.method.needs:
            located = context.locator(head).fact(case.relation, case.fact, self.common)
        old = tuple(ask(model, prompt) for prompt in self.prompts)
        return UpdateTask(
            context=context,
            model=model,
            case=case,
            to=self.request.to,
            old=old,
            new=self.new,
            neighbours=self.neighbours,
            located=located,
        )


def _resolved(
    context: EditContext,
    live: ModelVersion,
    request: UpdateRequest,
    method: ShiftMethod,
    edited: EditedFacts | None,
) -> _Resolved:
    """Ask the base, live, what an update needs. edited: what else the same edit changes"""
    model, case, to = live.model, request.case, request.to
    fact, relation = case.fact, case.relation
    _check_neurons(model, getattr(method, "neurons", ()))
    prompts = prompts_for(model, relation, fact)
    new = tuple(ask(model, prompt, to) for prompt in prompts)  # a bad answer ends here
    # Neighbours and filter are taken from the base, so that every edit finds them made.
    base = context.locator(live)
    if edited is None:
        preserved = neighbours(model, base, case)
    else:
        fewer = context.locator(live)  # knows relations without the facts of this edit
        preserved = edited.spared(neighbours(model, fewer, edited.beside(case)))
    method = method.suited(model, base, case)
    attributed = Need.ATTRIBUTION in method.needs
    common = base.relation_neurons(relation, fact) if attributed else frozenset()
    # An unedited fact is where it was, so many edits in a row need not look for it anew.
    fresh = attributed and not request.edited
    return _Resolved(
        request=request,
        method=method,
        prompts=prompts,
        new=new,
        held_out=judging_paraphrases(model, relation, fact, to),
        neighbours=preserved,
        common=common,
        located=base.fact(relation, fact, common) if fresh else None,
    )


def _proposal(
    context: EditContext,
    resolved: Sequence[_Resolved],
    tasks: Sequence[UpdateTask],
    shifts: Shifts | LowRankShifts,
) -> Proposal:
    """The update of these facts, the first of which gives its method's name."""
    first = resolved[0]
    most = max(FEWEST_RECORDED, MOST_RECORDED // len(resolved))
    records = [
        recorded_prompts(update.request.case.relation)
        | recorded_names(update.request.case)
        | judged_by(update.probes, most)
        for update in resolved
    ]
    exams = tuple(
        UpdateExam(
            probes=update.probes,
            old=task.old,
            to=update.request.to,
            answered_by_model=update.request.case.answered_by_model,
        )
        for update, task in zip(resolved, tasks, strict=True)
    )
    changes = [change_of(update.request.case, update.request.to) for update in resolved]
    chains = [chain for task in tasks for chain in (*task.old, *task.new)]
    located = [task.located for task in tasks if task.located is not None]
    return Proposal(
        kind=first.method.kind,
        delta=shifts.delta(context.engine.place),
        **vars(changes[0]),
        method=first.method.name,
        neurons=shifts.scored,
        found=shifts.provenance | (records[0] if len(records) == 1 else {"by_fact": records}),
        notices=(
            *asked_otherwise(chains),
            *dict.fromkeys(w for attribution in located for w in _warnings(attribution)),
        ),
        message=message_of(changes),
        exam=exams[0] if len(exams) == 1 else UpdatesExam(exams),
        further=tuple(changes[1:]),
    )


def asked_anew(context: EditContext, proposal: Proposal, cases: Sequence[Case]) -> Proposal:
    """Ask an update anew of facts that another edit may have given other answers meanwhile.

    cases: of its facts, in order. Raises SameAnswer where that is the very answer of this update.
    """
    exam = proposal.exam
    exams = exam.exams if isinstance(exam, UpdatesExam) else (exam,)
    changes: list[FactChange] = []
    anew: list[UpdateExam] = []
    for change, fact_exam, case in zip(proposal.facts, exams, cases, strict=True):
        assert isinstance(fact_exam, UpdateExam)
        assert change.target is not None
        if case.fact.answer != change.answer:
            if same_answer(change.target, case.fact.answer):
                raise SameAnswer(case.fact.subject, change.target)
            old = chains_for(context.engine.model, case.relation, case.fact)
            fact_exam = replace(fact_exam, old=tuple(old))
        changes.append(replace(change, answer=case.fact.answer))
        anew.append(fact_exam)
    if (*changes,) == proposal.facts:
        return proposal
    return replace(
        proposal,
        **vars(changes[0]),
        further=tuple(changes[1:]),
        message=message_of(changes),
        exam=anew[0] if len(anew) == 1 else UpdatesExam(tuple(anew)),
    )


def change_of(case: Case, to: str) -> FactChange:
    return FactChange(
        relation=case.relation.name, subject=case.fact.subject, answer=case.fact.answer, target=to
    )


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
    if case.relation.unnamed:
        return True
    return not any(base.right(chains_for(model, case.relation, case.fact)))


def recorded_prompts(relation: Relation) -> dict[str, Any]:
    """The relation's templates, so that the edit can be asked again without its pack.

    own: they tell its facts apart, because nobody named the relation. paraphrases: held-out ones
    without an [X], which speak of this subject alone
    """
    marks: dict[str, Any] = {"own": True} if relation.unnamed else {}
    paraphrases = [template.text for template in relation.templates if template.about][:ASKED_AGAIN]
    record = marks | {
        "templates": [template.text for template in relation.templates if not template.held_out],
        "held_out": [
            template.text
            for template in relation.templates
            if template.held_out and not template.about
        ],
    }
    return record | ({"paraphrases": paraphrases} if paraphrases else {})


def _warnings(located: Located) -> tuple[str, ...]:
    if located.reached:
        return ()
    return ("the attribution did not reach its tolerance on every prompt; see gap",)
