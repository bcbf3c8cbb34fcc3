"""Take a fact out of a joint edit: what stays is solved again, and nothing is asked anew."""

from __future__ import annotations

from kn_edit.canonical import short
from kn_edit.figures import count
from kn_edit.ledger import VersionRecord
from kn_edit.workspace.joint_facts import NamedMember, fact_name
from kn_edit.workspace.opened import OpenWorkspace
from kn_edit.workspace.solving_again import new_edit, solved_over


def without_fact(workspace: OpenWorkspace, leaving: NamedMember, branch: str) -> VersionRecord:
    """Record the version in which a fact never was in its joint edit. Not of an edit's only fact.

    Raises CannotSolveAgain, SolvedOtherwise, HeadMoved, and what running the model raises.
    """
    stay = [fact for fact in leaving.edit.by_fact if fact.member != leaving.fact.member]
    of_them = f"of {count(len(stay) + 1, 'fact')} of edit {short(leaving.edit.id)}"
    message = f"revert {fact_name(leaving.fact)}, {leaving.fact.change.target} ({of_them})"
    solved = solved_over(workspace.ledger, workspace.engine, leaving.edit, stay)
    plan = workspace.ledger.plan_edit(
        solved.delta, leaving.edit.kind, message, branch=branch, replacing=leaving.edit.id
    )
    return workspace._advance(plan, new_edit(leaving.edit, solved))
