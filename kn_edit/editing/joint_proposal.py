"""Propose a joint update: new facts, and those of a set that they join, solved for at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kn_edit.canonical import short
from kn_edit.editing.drafts import EditContext, Proposal
from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_members import MemberFact, member_fact, member_facts
from kn_edit.editing.joint_sets import JointSet, LoadMember
from kn_edit.editing.joint_shifts import shifts_by_subject
from kn_edit.editing.joint_update import EndsPart, joint_shifts
from kn_edit.editing.measuring import MOST_RECORDED, UpdateExam, UpdatesExam, judged_by
from kn_edit.editing.method import Kind, UpdateRequest
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.requests import case_again, message_of, recorded_names
from kn_edit.editing.updating import (
    FEWEST_RECORDED,
    change_of,
    check_answers,
    recorded_prompts,
)
from kn_edit.edits.delta import Delta
from kn_edit.edits.members import BadMember, Member
from kn_edit.edits.settings import JointSettings
from kn_edit.errors import CannotSolveAgain
from kn_edit.evaluation.metrics import Probes
from kn_edit.facts import Prompt, fact_key
from kn_edit.figures import count
from kn_edit.ledger.records import JOINT, MEMBER, FactRecord
from kn_edit.models.questions import ask, asked_otherwise

FULLY_RECORDED = 200  # facts of a set
JUDGING = 2400  # prompts of their own that judge new facts, in all
FEWEST_OF_SET = 2  # prompts of its own that judge a fact of a large set


def propose_joint(
    context: EditContext, updates: Sequence[UpdateRequest], settings: JointSettings
) -> Proposal:
    """Compute the joint edit that these updates and the context's set come to.

    Raises SameAnswer, NothingToAsk, CannotAsk, NotFinite, ChangeOutOfRange, CannotSolveAgain.
    """
    check_answers(updates)
    joined = context.joined
    keys = [fact_key(update.case.relation, update.case.fact) for update in updates]
    stay = joined.without(keys) if joined else ()
    new = member_facts(context, updates, settings)
    remaining = _recorded_members(context, settings, stay, joined.load) if joined else []
    members = [*(fact.member for fact in remaining), *(fact.member for fact in new)]
    subject_shifts = shifts_by_subject(context, members, settings)
    with context.engine.at([]) as live:
        surroundings = JointSurroundings.of(JointBase.of(context, live, settings), members)
        ends = EndsPart.of(surroundings, subject_shifts)
        judges = max(FEWEST_OF_SET, JUDGING // len(new))
        judged = [_judged(surroundings, fact, judges) for fact in new]
    shifts = joint_shifts(context.engine, ends)
    changes = [change_of(fact.case, fact.member.to) for fact in new]
    most = max(FEWEST_RECORDED, MOST_RECORDED // len(new))
    entries = [
        _asked_and_judged(fact, each.exam.probes, most, len(members)) | {MEMBER: fact.member.id}
        for fact, each in zip(new, judged, strict=True)
    ]
    exams = tuple(each.exam for each in judged)
    flat = len(entries) == 1
    return Proposal(
        kind=Kind.UPDATE,
        delta=shifts.delta(context.engine.place),
        **vars(changes[0]),
        method=JOINT,
        neurons=shifts.scored,
        found=shifts.provenance | (entries[0] if flat else {"by_fact": entries}),
        notices=tuple(dict.fromkeys(notice for each in judged for notice in each.notices)),
        message=message_of(changes) + (_joining(joined, len(stay)) if joined and stay else ""),
        exam=exams[0] if len(exams) == 1 else UpdatesExam(exams),
        further=tuple(changes[1:]),
        replaces=joined.edit.id if joined else None,
        remaining=tuple(fact.record for fact in remaining),
        members=_computed(remaining) | {fact.member.id: fact.member.to_bytes() for fact in new},
    )


def _asked_and_judged(fact: MemberFact, probes: Probes, most: int, set_size: int) -> dict[str, Any]:
    """How a fact was asked, and what judged it, to be recorded. most: prompts of each kind

    Of a large set what its packs tell is left out, so that a record of it can be published.
    """
    names = recorded_names(fact.case)
    if set_size > FULLY_RECORDED and fact.member.pack:
        return names
    return recorded_prompts(fact.case.relation) | names | judged_by(probes, most)


@dataclass(frozen=True, eq=False)
class SolvedSet:
    """Recorded facts, solved again.

    facts: their records, with the ids of their members; found: how the edit over them was made
    members: files that the ledger lacked, by id
    """

    delta: Delta
    facts: tuple[FactRecord, ...]
    found: dict[str, Any]
    members: dict[str, bytes]


def solved_again(
    context: EditContext, settings: JointSettings, facts: Sequence[FactRecord], load: LoadMember
) -> SolvedSet:
    """The joint edit over recorded facts. Raises CannotSolveAgain."""
    remaining = _recorded_members(context, settings, facts, load)
    members = [fact.member for fact in remaining]
    subject_shifts = shifts_by_subject(context, members, settings)
    with context.engine.at([]) as live:
        surroundings = JointSurroundings.of(JointBase.of(context, live, settings), members)
        ends = EndsPart.of(surroundings, subject_shifts)
    shifts = joint_shifts(context.engine, ends)
    return SolvedSet(
        delta=shifts.delta(context.engine.place),
        facts=tuple(fact.record for fact in remaining),
        found=shifts.provenance | {"ran": context.ran, "seed": context.seed},
        members=_computed(remaining),
    )


@dataclass(frozen=True, eq=False)
class _RecordedMember:
    """A fact that stays in a set. computed: its member had to be computed again"""

    record: FactRecord
    member: Member
    computed: bool


def _computed(remaining: Sequence[_RecordedMember]) -> dict[str, bytes]:
    """The files of members that had to be computed again, by id."""
    return {fact.member.id: fact.member.to_bytes() for fact in remaining if fact.computed}


def _recorded_members(
    context: EditContext, settings: JointSettings, records: Sequence[FactRecord], load: LoadMember
) -> list[_RecordedMember]:
    """Recorded facts with their members. Raises CannotSolveAgain."""
    with context.engine.at([]) as live:
        base = JointBase.of(context, live, settings)
        return [_recorded_member(base, record, load) for record in records]


def _recorded_member(base: JointBase, record: FactRecord, load: LoadMember) -> _RecordedMember:
    """A recorded fact with its member, computed again where its file is not here, or damaged.

    Raises CannotSolveAgain where nobody recorded how it was asked.
    """
    member = _loaded(base, record, load)
    if member is not None:
        return _RecordedMember(record, member, computed=False)
    case, to = case_again(record), record.change.target
    if case is None or to is None:
        raise CannotSolveAgain(record.change.relation, record.change.subject or "")
    member = member_fact(base, case, to).member
    record = replace(record, found={**record.found, MEMBER: member.id})
    return _RecordedMember(record, member, computed=True)


def _loaded(base: JointBase, record: FactRecord, load: LoadMember) -> Member | None:
    """The member of a recorded fact from its file; None where that is missing or unsound."""
    data = load(record.member) if record.member else None
    if data is None or record.member is None:
        return None
    with suppress(BadMember):
        member = Member.from_bytes(data, record.member)
        same_base = member.base == base.fingerprint and len(member.shift) == base.model.d_model
        if same_base and member.layers == base.layers:
            return member
    return None


@dataclass(frozen=True)
class _Judged:
    """What a new fact is measured by, and sentences about how it is asked."""

    exam: UpdateExam
    notices: tuple[str, ...]


def _judged(surroundings: JointSurroundings, fact: MemberFact, most: int) -> _Judged:
    """What a new fact of a set is measured by.

    most: prompts of other subjects that judge it alone, and half as many about its own
    """
    model, case, to = surroundings.base.model, fact.case, fact.member.to
    edited, relation = surroundings.edited_prompts, case.relation
    shared = surroundings.judges.get(relation.name, ()) if fact.member.pack else ()

    def unedited(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        return tuple(prompt for prompt in prompts if prompt.cloze not in edited)

    probes = Probes(
        edited=fact.prompts,
        held_out=judging_paraphrases(model, relation, case.fact, to),
        neighbours=unedited(fact.judges)[:most]
        or shared
        or surroundings.last_judges(relation.name),
        same_subject=unedited(fact.same_subject_judges)[: most // 2],
    )
    old = tuple(ask(model, prompt) for prompt in fact.prompts)
    new = [ask(model, prompt, to) for prompt in fact.prompts]
    exam = UpdateExam(probes=probes, old=old, to=to, answered_by_model=case.answered_by_model)
    return _Judged(exam, asked_otherwise([*old, *new]))


def _joining(joined: JointSet, stay: int) -> str:
    return f", with {count(stay, 'fact')} of edit {short(joined.edit.id)}"
