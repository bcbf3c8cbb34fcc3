"""Verbs that move a branch between versions, or name one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from kn_edit.service.arguments import (
    ComposeArguments,
    JoinArguments,
    MergeArguments,
    RevertArguments,
    RewindArguments,
    TagArguments,
)
from kn_edit.workspace import FactConflict, VersionRecord, Workspace, to_json

Plain = dict[str, Any]


class _NotChosen(Exception):
    """A conflict of which nobody said what stays."""


class _Joining(Protocol):
    def __call__(
        self,
        versions: Iterable[str],
        /,
        *,
        keep: str | Callable[[FactConflict], str] | None,
        allow_overlap: bool,
    ) -> VersionRecord: ...


def revert(workspace: Workspace, arguments: RevertArguments) -> Plain:
    """A version without an edit."""
    return _moved(
        workspace, lambda: workspace.revert(arguments.edit, allow_overlap=arguments.allow_overlap)
    )


def rewind(workspace: Workspace, arguments: RewindArguments) -> Plain:
    """The branch at a version that exists."""
    return _moved(workspace, lambda: workspace.rewind(arguments.version))


def merge(workspace: Workspace, arguments: MergeArguments) -> Plain:
    """The edits of branches put onto the branch. Raises FactsDiffer where nobody chose."""
    return _moved(workspace, lambda: _joined(workspace.merge, arguments.branches, arguments))


def compose(workspace: Workspace, arguments: ComposeArguments) -> Plain:
    """A version of the edits of several. Raises FactsDiffer where nobody chose."""
    return _moved(workspace, lambda: _joined(workspace.compose, arguments.versions, arguments))


def tag(workspace: Workspace, arguments: TagArguments) -> Plain:
    """A name for a version."""
    ref = workspace.tag(arguments.name, arguments.version, move=arguments.move)
    return {"version": ref.version, "tag": ref.name}


def _joined(join: _Joining, names: Iterable[str], arguments: JoinArguments) -> VersionRecord:
    """Join versions with what was chosen for each fact, or for all of them."""
    choices = {(choice.relation, choice.subject): choice.keep for choice in arguments.choices}

    def keep(conflict: FactConflict) -> str:
        choice = choices.get((conflict.fact.relation, conflict.fact.subject), arguments.keep)
        if choice is None:
            raise _NotChosen
        return choice

    try:
        return join(names, keep=keep, allow_overlap=arguments.allow_overlap)
    except _NotChosen:  # the error that lists all of them is raised where nobody chooses at all
        return join(names, keep=None, allow_overlap=arguments.allow_overlap)


def _moved(workspace: Workspace, move: Callable[[], VersionRecord]) -> Plain:
    """Make a move. Nothing is read afterwards: then it is recorded."""
    refs, branch = workspace.ledger.refs(), workspace.acting_branch
    version = move()
    refs = [replace(ref, version=version.id) if ref.name == branch else ref for ref in refs]
    return to_json.moved(version, refs)
