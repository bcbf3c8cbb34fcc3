"""Errors about the databases that ledgers lie in, and the workspaces in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError, listed


@dataclass
class UnsupportedDatabase(KnEditError):
    """A database URL behind which no ledger can lie.

    url: without its password; known: the databases that there are dialects for
    """

    exit_code = ExitCode.USAGE
    url: str
    reason: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"no ledger can be kept in {self.url}: {self.reason}; "
            f"use a database of {listed(self.known)}, such as sqlite:////folder/ledger.db"
        )


@dataclass
class BadWorkspaceName(KnEditError):
    """A name that no workspace of a database can have."""

    exit_code = ExitCode.USAGE
    name: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} cannot be the name of a workspace: {self.reason}; "
            f"choose one such as capitals or team-1"
        )


@dataclass
class WorkspaceExists(KnEditError):
    """A workspace where one of this name should be made."""

    exit_code = ExitCode.CONFLICT
    name: str
    path: Path | str

    def __str__(self) -> str:
        return (
            f"{self.path} holds a workspace {self.name!r} already; open it, or choose another name"
        )


@dataclass
class UnknownWorkspace(KnEditError):
    """A database that does not hold the workspace that is meant. name: None where none was named"""

    exit_code = ExitCode.USAGE
    name: str | None
    path: Path | str
    known: tuple[str, ...]

    def __str__(self) -> str:
        named = "several workspaces" if self.name is None else f"no workspace {self.name!r}"
        return f"{self.path} holds {named}; name one of {listed(self.known)}"
