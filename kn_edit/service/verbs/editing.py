"""Verbs that change what the model says, and record it."""

from __future__ import annotations

from typing import Any

from kn_edit.errors import SameAnswer
from kn_edit.errors.remedies import PLAIN
from kn_edit.service.arguments import RecordArguments
from kn_edit.service.proposals import keep_proposal, recorded
from kn_edit.workspace import Case, Edited, How, Kind, Workspace, require_many, to_json

Plain = dict[str, Any]

# The models of these arguments have the options of every method, so they are made when the table
# of methods is known; `Any` stands for them.


def update(workspace: Workspace, arguments: Any) -> Plain:
    """Change the answer of a fact. Raises SameAnswer, GateFailed, and what `update` raises."""
    case, target = arguments.wanted()
    workspace.check(case, target)
    if workspace.plan([(case, target)]).done:  # known before anything is computed
        raise SameAnswer(case.fact.subject, target)
    how = arguments.how(Kind.UPDATE, workspace.gate)
    edited = workspace.update(
        case, target, how=how, accept=arguments.accept, dry_run=arguments.dry_run
    )
    return _result(workspace, edited)


def updates(workspace: Workspace, arguments: Any) -> Plain:
    """Change the answers of many facts: one edit each as `items`, or the one edit of all."""
    wanted = arguments.wanted()
    how = arguments.how(Kind.UPDATE, workspace.gate)
    if arguments.as_one_edit:
        return _as_one_edit(workspace, wanted, how, arguments)
    batch = workspace.batch(wanted, how=how, accept=arguments.accept, dry_run=arguments.dry_run)
    rows = [to_json.batch_row(result.worded(PLAIN)) for result in batch]
    passed_over = len(batch.plan.done) + len(batch.plan.repeated)
    return {"items": rows, "recorded": batch.recorded, "passed_over": passed_over}


def erase(workspace: Workspace, arguments: Any) -> Plain:
    """Erase a relation. Raises GateFailed, and what `erase` raises."""
    how = arguments.how(Kind.ERASE, workspace.gate)
    edited = workspace.erase(
        arguments.pack(), how=how, accept=arguments.accept, dry_run=arguments.dry_run
    )
    return _result(workspace, edited)


def record(workspace: Workspace, arguments: RecordArguments) -> Plain:
    """Record an edit that was tried out, as it was measured. Raises UnknownProposal, HeadMoved."""
    return recorded(workspace, arguments.proposal, accept=arguments.accept)


def _as_one_edit(
    workspace: Workspace, wanted: list[tuple[Case, str]], how: How, arguments: Any
) -> Plain:
    require_many(how.method, len(wanted))  # type: ignore[arg-type]
    edited = workspace.update_many(
        wanted, how=how, accept=arguments.accept, dry_run=arguments.dry_run
    )
    return _result(workspace, edited)


def _result(workspace: Workspace, edited: Edited) -> Plain:
    """An edit as JSON; one that was only tried out can be recorded afterwards."""
    return keep_proposal(workspace, edited) if edited.edit is None else to_json.edited(edited)
