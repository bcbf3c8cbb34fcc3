"""Joint edits over facts that are recorded: solved again, and nothing is asked anew or measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_proposal import SolvedSet, solved_again
from kn_edit.editing.joint_sets import recordable
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.engine import Engine
from kn_edit.errors import SolvedOtherwise
from kn_edit.ledger import EditRecord, FactRecord, Ledger, NewEdit
from kn_edit.ledger.records import JOINT


def solved_over(
    ledger: Ledger, engine: Engine, edit: EditRecord, facts: Sequence[FactRecord]
) -> SolvedSet:
    """The joint edit over some facts, by the settings and the seed of another one.

    Raises CannotSolveAgain, SolvedOtherwise.
    """
    recorded, seed = dict(edit.found["settings"]), int(edit.found["seed"])
    if recorded.keys() != {field.name for field in fields(JointSettings)}:
        raise SolvedOtherwise(edit.id)
    settings = JointSettings(**recorded)
    context = EditContext(engine, seed=seed, progress=engine.progress)
    return solved_again(context, settings, facts, ledger.member)


def new_edit(edit: EditRecord, solved: SolvedSet) -> NewEdit:
    """A set that was solved again as it is recorded. edit: of the same kind"""
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
        members=solved.members,
    )
