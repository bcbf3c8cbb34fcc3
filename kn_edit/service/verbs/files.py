"""Verbs that write files, publish, take in what others published, and check."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kn_edit.errors import LedgerDamaged, RepositoryNotAllowed
from kn_edit.errors.remedies import PLAIN, worded
from kn_edit.service.arguments import (
    ExportArguments,
    PullArguments,
    PushArguments,
    RollbackArguments,
    VerifyArguments,
)
from kn_edit.workspace import Workspace, to_json
from kn_edit.workspace.settings import serve_settings

Plain = dict[str, Any]


def export(workspace: Workspace, arguments: ExportArguments) -> Plain:
    """Write a version to a new folder below that of the settings. Raises ExportsNotAllowed."""
    target = serve_settings(workspace.folder).export_target(workspace.folder, arguments.target)
    version = workspace.version_id(arguments.version)
    path = workspace.export(
        target, version=version, form=arguments.form, most_rank=arguments.max_rank
    )
    return {"version": version, "path": str(path), "as": arguments.form}


def push(workspace: Workspace, arguments: PushArguments) -> Plain:
    """Publish a version in a repository of the settings. Raises RepositoryNotAllowed."""
    _require_repository(workspace, arguments.repo)
    pushed = workspace.push(
        arguments.repo,
        version=arguments.version,
        form=arguments.form,
        branch=arguments.branch,
        tag=arguments.tag,
        offer=arguments.pr,
        private=arguments.private,
        most_rank=arguments.max_rank,
        license=arguments.license,
    )
    return to_json.pushed(pushed)


def pull(workspace: Workspace, arguments: PullArguments) -> Plain:
    """Take in a published version."""
    return to_json.pulled(workspace.pull(arguments.source))


def rollback(workspace: Workspace, arguments: RollbackArguments) -> Plain:
    """Restore an earlier state of a repository of the settings. Raises RepositoryNotAllowed."""
    _require_repository(workspace, arguments.repo)
    return to_json.pushed(workspace.rollback(arguments.repo, arguments.to, branch=arguments.branch))


def verify(workspace: Workspace, arguments: VerifyArguments) -> Plain:
    """What is wrong with versions and the ledger; `ok` where nothing is."""
    report = workspace.examine(arguments.version, since=arguments.since)
    problems = [
        {
            "part": problem.part,
            "subject": problem.subject,
            "message": worded(problem.message, PLAIN),
        }
        for problem in report.problems
    ]
    return {
        "ok": not problems,
        "version": _version_id(workspace, arguments.version or "head"),
        "problems": problems,
        "notes": [worded(note, PLAIN) for note in report.notes],
        "chain": report.chain,
    }


def _version_id(workspace: Workspace, version: str) -> str | None:
    """The id of a version, where the ledger can still tell it."""
    with suppress(LedgerDamaged):
        return workspace.version_id(version)
    return None


def _require_repository(workspace: Workspace, repo: str) -> None:
    allowed = serve_settings(workspace.folder).push
    if repo not in allowed:
        raise RepositoryNotAllowed(repo, allowed)
