"""Make an edit of the head: by a method, measured, and recorded where the gate lets it pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kn_edit.editing.drafts import EditContext, EditTerms, Proposal
from kn_edit.editing.locating import Locator, Search, chains_for
from kn_edit.editing.method import EditMethod, EraseRequest, UpdateRequest, UpdatesRequest
from kn_edit.editing.methods import How
from kn_edit.editing.pace import Forecast, update_forecast
from kn_edit.editing.requests import Earlier, answers_of, earlier_updates
from kn_edit.editing.updates import UpdateMethod
from kn_edit.editing.updating import asked_anew
from kn_edit.facts import Case, Relation, fact_key
from kn_edit.ledger import VersionRecord
from kn_edit.progress import silent
from kn_edit.workspace.asking import with_answers
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.opened import OpenWorkspace
from kn_edit.workspace.planning import Row
from kn_edit.workspace.recording import Recorder


@dataclass(frozen=True)
class Making:
    """How an edit is made. how: its limits and its search; method: the one that `how` names"""

    how: How
    method: EditMethod
    accept: bool
    dry_run: bool


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
    context, current = _ready(workspace, cases, making.how, head)
    requests = requests_at(workspace, head, current, [to for _, to in rows])
    request = requests[0] if len(requests) == 1 else UpdatesRequest(requests)
    proposal = making.method.propose(context, request)
    recorder = recorder_of(workspace, cases, making.how, branch)
    return recorder.record(context, proposal, accept=making.accept, dry_run=making.dry_run)


def requests_at(
    workspace: OpenWorkspace, head: VersionRecord, cases: Sequence[Case], targets: Sequence[str]
) -> tuple[UpdateRequest, ...]:
    """What a method is asked to do at a version. cases: with the answers of their facts there"""
    answers = answers_of(workspace.ledger.records(head.edits))
    return tuple(
        UpdateRequest(case, to, answers.get(fact_key(case.relation, case.fact)) is not None)
        for case, to in zip(cases, targets, strict=True)
    )


def recorder_of(workspace: OpenWorkspace, cases: Sequence[Case], how: How, branch: str) -> Recorder:
    """What records an update of these cases' facts on a branch."""

    def at_head(proposal: Proposal) -> tuple[EditContext, Proposal]:
        head = workspace.ledger.version(branch)
        context, current = _ready(workspace, cases, how, head)
        return context, asked_anew(context, proposal, current)

    return _recorder(workspace, at_head, branch)


def _ready(
    workspace: OpenWorkspace, cases: Sequence[Case], how: How, head: VersionRecord
) -> tuple[EditContext, list[Case]]:
    """Where cases are updated on top of a version, and the cases with their answers there."""
    current = with_answers(workspace, cases, head)
    return context_at(workspace, head, how, earlier_in(workspace, head, cases)), current


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
    recorder = _recorder(workspace, at_head, branch)
    return recorder.record(context, proposal, accept=making.accept, dry_run=making.dry_run)


def _recorder(
    workspace: OpenWorkspace,
    at_head: Callable[[Proposal], tuple[EditContext, Proposal]],
    branch: str,
) -> Recorder:
    """What records an edit on a branch. at_head: the proposal as it is asked at its head"""
    return Recorder(
        ledger=workspace.ledger,
        folder=workspace.ledger_folder,
        progress=workspace.progress,
        head=at_head,
        advance=workspace._advance,
        require_head=workspace._calls.require_head,
        branch=branch,
    )


def context_at(
    workspace: OpenWorkspace, head: VersionRecord, how: How, earlier: tuple[Earlier, ...]
) -> EditContext:
    """Where an edit on top of a version is computed and measured."""
    deltas = workspace.ledger.deltas(head.edits)
    return terms_of(workspace, how, earlier).context(workspace.engine, deltas)


def terms_of(workspace: OpenWorkspace, how: How, earlier: tuple[Earlier, ...]) -> EditTerms:
    """On what terms an edit is computed and measured."""
    return EditTerms(
        search=Search.of(how.search or Search()),
        gate=how.gate or workspace.gate,
        earlier=earlier,
        seed=how.seed,
    )


def earlier_in(
    workspace: OpenWorkspace, version: VersionRecord, without: Sequence[Case] = ()
) -> tuple[Earlier, ...]:
    """The updates of other facts in a version, as far as they can be asked again."""
    updates, _ = earlier_updates(workspace.ledger.records(version.edits))
    for case in without:
        updates.drop(fact_key(case.relation, case.fact))
    return tuple(updates.values())
