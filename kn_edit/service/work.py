"""The table of verbs: how JSON becomes a call of a workspace, and its result JSON again.

Whatever runs a verb for somebody else uses this table: the routes, the worker, the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from kn_edit.errors import BadArguments, SameAnswer, require_known
from kn_edit.service.access import Role
from kn_edit.service.arguments import Arguments, RevertArguments, UpdateArguments
from kn_edit.workspace import Kind, VersionRecord, Workspace, to_json

Plain = dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """A verb of the service.

    summary: what it does, in a sentence; arguments: the model of its JSON
    run: calls the workspace; role: that a caller needs; moves: whether it may move a branch
    """

    name: str
    summary: str
    arguments: type[Arguments]
    run: Callable[[Workspace, Any], Plain]
    role: Role
    moves: bool


def perform(
    workspace: Workspace,
    verb: str,
    arguments: Mapping[str, Any],
    *,
    branch: str | None = None,
    expected_head: str | None = None,
) -> Plain:
    """Run a verb on a branch, by default the current one, and give its result as JSON.

    expected_head: the version that the branch has to be at
    Raises BadSetting for an unknown verb, BadArguments, HeadMoved, and what the verb raises.
    """
    require_known("the verb", verb, VERBS)
    entry = VERBS[verb]
    checked = checked_arguments(entry, arguments)
    with workspace.call(branch=branch, expected_head=expected_head):
        return entry.run(workspace, checked)


def checked_arguments(verb: Verb, arguments: Mapping[str, Any]) -> Arguments:
    """The arguments of a verb as its model has them. Raises BadArguments."""
    try:
        return verb.arguments.model_validate(dict(arguments))
    except ValidationError as error:
        problems = (
            (".".join(map(str, each["loc"])) or verb.name, each["msg"]) for each in error.errors()
        )
        raise BadArguments(verb.name, tuple(problems)) from None


def _update(workspace: Workspace, arguments: Any) -> Plain:
    case, target = arguments.wanted()
    workspace.check(case, target)
    if workspace.plan([(case, target)]).done:  # known before anything is computed
        raise SameAnswer(case.fact.subject, target)
    how = arguments.how(Kind.UPDATE, workspace.gate)
    edited = workspace.update(
        case, target, how=how, accept=arguments.accept, dry_run=arguments.dry_run
    )
    return to_json.edited(edited)


def _revert(workspace: Workspace, arguments: RevertArguments) -> Plain:
    return _moved(
        workspace, lambda: workspace.revert(arguments.edit, allow_overlap=arguments.allow_overlap)
    )


def _moved(workspace: Workspace, move: Callable[[], VersionRecord]) -> Plain:
    """Make a move. Nothing is read afterwards: then it is recorded."""
    refs, branch = workspace.ledger.refs(), workspace.acting_branch
    version = move()
    refs = [replace(ref, version=version.id) if ref.name == branch else ref for ref in refs]
    return to_json.moved(version, refs)


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "update",
            "Change the answer of a fact, measure it, and record it.",
            UpdateArguments,
            _update,
            role=Role.EDITOR,
            moves=True,
        ),
        Verb(
            "revert",
            "Make a new version without an edit, wherever it stands.",
            RevertArguments,
            _revert,
            role=Role.EDITOR,
            moves=True,
        ),
    )
}
