"""Where an edit is made: on which version, on what terms, and who records it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from kn_edit.editing.drafts import EditContext, EditTerms, Proposal
from kn_edit.editing.joint_sets import JointSet, joinable
from kn_edit.editing.locating import Search
from kn_edit.editing.method import Kind, UpdateRequest, UpdatesRequest
from kn_edit.editing.methods import How, method_of
from kn_edit.editing.requests import Earlier, answers_of, earlier_updates
from kn_edit.editing.updates import Joint
from kn_edit.editing.updating import asked_anew
from kn_edit.facts import Case, fact_key
from kn_edit.ledger import VersionRecord
from kn_edit.workspace.asking import with_answers
from kn_edit.workspace.opened import OpenWorkspace
from kn_edit.workspace.recording import Recorder


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
        context, current = ready_at(workspace, cases, how, head)
        method = method_of(Kind.UPDATE, how.method)
        if isinstance(method, Joint):  # what it comes to depends on the set that it joins there
            targets = [str(fact.target) for fact in proposal.facts]
            requests = requests_at(workspace, head, current, targets)
            return context, method.propose(context, UpdatesRequest(requests))
        return context, asked_anew(context, proposal, current)

    return recorder_on(workspace, at_head, branch)


def ready_at(
    workspace: OpenWorkspace, cases: Sequence[Case], how: How, head: VersionRecord
) -> tuple[EditContext, list[Case]]:
    """Where cases are updated on top of a version, and the cases with their answers there."""
    current = with_answers(workspace, cases, head)
    context = context_at(workspace, head, how, earlier_in(workspace, head, cases))
    method = method_of(Kind.UPDATE, how.method)
    if isinstance(method, Joint):
        keys = [fact_key(case.relation, case.fact) for case in cases]
        edits = workspace.ledger.records(head.edits)
        edit = joinable(edits, method.solver, context.seed, keys)
        joined = JointSet(edit, workspace.ledger.member) if edit else None
        context = replace(context, joined=joined)
    return context, current


def recorder_on(
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
