"""Take a fact out of a joint edit: what stays is solved again, and nothing is asked anew."""

from __future__ import annotations

from collections.abc import Sequence

from kn_edit.canonical import short
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_proposal import SolvedSet, solved_again
from kn_edit.editing.joint_sets import recordable
from kn_edit.edits.settings import JointSettings
from kn_edit.figures import count
from kn_edit.ledger import EditRecord, FactRecord, NewEdit, VersionRecord
from kn_edit.ledger.records import JOINT
from kn_edit.workspace.members import NamedMember, fact_name
from kn_edit.workspace.opened import OpenWorkspace


def without_fact(workspace: OpenWorkspace, leaving: NamedMember, branch: str) -> VersionRecord:
    """Record the version in which a fact never was in its joint edit. Not of an edit's only fact.

    Raises CannotSolveAgain, HeadMoved, and what running the model raises.
    """
    stay = [fact for fact in leaving.edit.by_fact if fact.member != leaving.fact.member]
    of_them = f"of {count(len(stay) + 1, 'fact')} of edit {short(leaving.edit.id)}"
    message = f"revert {fact_name(leaving.fact)}, {leaving.fact.change.target} ({of_them})"
    solved = solved_over(workspace, leaving.edit, stay)
    plan = workspace.ledger.plan_edit(
        solved.delta, leaving.edit.kind, message, branch=branch, replacing=leaving.edit.id
    )
    return workspace._advance(plan, new_edit(leaving.edit, solved))


def solved_over(
    workspace: OpenWorkspace, edit: EditRecord, facts: Sequence[FactRecord]
) -> SolvedSet:
    """The joint edit over some facts, by the settings and the seed of another one.

    Nothing is measured. Raises CannotSolveAgain.
    """
    settings, seed = JointSettings(**edit.found["settings"]), int(edit.found["seed"])
    context = EditContext(workspace.engine, seed=seed, progress=workspace.progress)
    return solved_again(context, settings, facts, workspace.ledger.member)


def new_edit(edit: EditRecord, solved: SolvedSet) -> NewEdit:
    """A set that was solved again as it is recorded, in the place of an edit."""
    recorded = recordable(solved.facts, solved.found)
    return NewEdit(
        delta=solved.delta,
        kind=edit.kind,
        **vars(recorded.first),
        method=JOINT,
        found=recorded.found,
        metrics={},
        message=recorded.message,
        further=recorded.further,
        replaces=edit.id,
        members=solved.members,
    )
