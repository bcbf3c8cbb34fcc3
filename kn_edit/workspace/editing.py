"""Make an edit of the head: by a method, measured, and recorded where the gate lets it pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kn_edit.editing.drafts import EditContext, Proposal
from kn_edit.editing.locating import Locator, Search, chains_for
from kn_edit.editing.method import EraseRequest, UpdatesRequest
from kn_edit.editing.pace import Forecast, update_forecast
from kn_edit.editing.updates import UpdateMethod
from kn_edit.facts import Case, Relation
from kn_edit.ledger import VersionRecord
from kn_edit.progress import silent
from kn_edit.workspace.batch import MakeRows
from kn_edit.workspace.beside import BesideEachOther
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.leaving import without_fact as without_fact
from kn_edit.workspace.making import Making
from kn_edit.workspace.measured import MeasuredEdit
from kn_edit.workspace.on_head import (
    context_at,
    earlier_in,
    ready_at,
    recorder_of,
    recorder_on,
    requests_at,
)
from kn_edit.workspace.opened import OpenWorkspace
from kn_edit.workspace.planning import Row


def forecast(workspace: OpenWorkspace, case: Case, to: str, method: UpdateMethod) -> Forecast:
    """How long an update by a method will take on this machine."""
    with workspace.engine.at([]) as live:
        model = live.model
        chains = chains_for(model, case.relation, case.fact, to)
        if case.fact.stated or case.relation.unnamed:  # what nobody stated is asked for later
            method = method.suited(model, Locator(live, Search(), silent), case)
        return update_forecast(model, chains, method.cost(causal=model.causal))


def update(workspace: OpenWorkspace, rows: Sequence[Row], making: Making) -> Edited:
    """Change the facts of all rows by one edit, and record it."""
    workspace.engine.check_editable()
    branch = workspace._moved_branch
    cases = [case for case, _ in rows]
    head = workspace.ledger.version(branch)
    context, current = ready_at(workspace, cases, making.how, head)
    requests = requests_at(workspace, head, current, [to for _, to in rows])
    request = requests[0] if len(requests) == 1 else UpdatesRequest(requests)
    proposal = making.method.propose(context, request)
    recorder = recorder_of(workspace, cases, making.how, branch)
    return recorder.record(context, proposal, accept=making.accept, dry_run=making.dry_run)


def beside_each_other(
    workspace: OpenWorkspace,
    making: Making,
    at_once: int,
    update: Callable[[Case, str], Edited],
) -> MakeRows:
    """What makes so many edits at once on the same version; update: makes one on the head"""
    return BesideEachOther(workspace=workspace, making=making, at_once=at_once, update=update)


def erase(workspace: OpenWorkspace, relation: Relation, making: Making) -> Edited:
    """Erase a relation, and record the edit."""
    workspace.engine.check_editable()
    ledger = workspace.ledger
    branch = workspace._moved_branch

    def context_at_head() -> EditContext:
        head = ledger.version(branch)
        return context_at(workspace, head, making.how, earlier_in(workspace, head))

    def at_head(proposal: Proposal) -> tuple[EditContext, Proposal]:
        return context_at_head(), proposal

    context = context_at_head()
    proposal = making.method.propose(context, EraseRequest(relation))
    recorder = recorder_on(workspace, at_head, branch)
    return recorder.record(context, proposal, accept=making.accept, dry_run=making.dry_run)


def record(
    workspace: OpenWorkspace, edited: Edited | MeasuredEdit, *, accept: bool
) -> VersionRecord:
    """Record an edit that was measured, on the version on top of which it was measured."""
    edit = MeasuredEdit.of(edited) if isinstance(edited, Edited) else edited
    ledger, new = workspace.ledger, edit.edit
    plan = ledger.plan_edit(
        edit.delta,
        new.kind,
        new.message,
        branch=workspace._moved_branch,
        replacing=new.replaces,
    )
    edit.require_recordable(plan, accept=accept)
    workspace.progress("recording", 0, 0)
    return workspace._advance(plan, new)
