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
            f"use a database of {listed(self.known)}, such as sqlite:////folder/ledger.db or postgresql://host/database"
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


@dataclass
class DatabaseUnreachable(KnEditError):
    """A database server that does not answer, or stopped to."""

    exit_code = ExitCode.NETWORK
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot reach {self.place}: {self.reason}; check that the server runs and that its "
            f"host and port are these, then try again"
        )


@dataclass
class DatabaseLoginRefused(KnEditError):
    """A database server that does not let this user in."""

    exit_code = ExitCode.USAGE
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.place} refuses the login: {self.reason}; give the user in the URL, and the "
            f"password in KN_EDIT_DATABASE_URL, PGPASSWORD or ~/.pgpass"
        )


@dataclass
class DatabaseMissing(KnEditError):
    """A database that its server does not have."""

    exit_code = ExitCode.USAGE
    place: str
    name: str

    def __str__(self) -> str:
        return (
            f"there is no database {self.name!r} at {self.place}; make it with "
            f"`createdb -T template0 -E UTF8 {self.name}`, or name another one"
        )


@dataclass
class DatabaseHasNoLedger(KnEditError):
    """A database without tables of kn-edit."""

    place: str

    def __str__(self) -> str:
        return f"there is no ledger in {self.place}" + self.steps(
            "make one with `{init:=MODEL}`", "or name another database"
        )


@dataclass
class DatabaseHoldsLedger(KnEditError):
    """A database with a ledger where the first one should be made."""

    exit_code = ExitCode.CONFLICT
    place: str

    def __str__(self) -> str:
        return f"{self.place} holds a ledger already; add another workspace to it, or open that one"


@dataclass
class DatabaseUnsuitable(KnEditError):
    """A database that cannot hold a ledger as it is set up."""

    exit_code = ExitCode.USAGE
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.place} cannot hold a ledger: {self.reason}; make a database of its own with "
            f"`createdb -T template0 -E UTF8 NAME`"
        )


@dataclass
class DatabaseCrowded(KnEditError):
    """A database server that has no connection left."""

    exit_code = ExitCode.CONFLICT
    place: str

    def __str__(self) -> str:
        return (
            f"{self.place} has no connection left; try again when others have ended, or raise "
            f"max_connections of the server"
        )


@dataclass
class DatabaseReadOnly(KnEditError):
    """A database that this user may not write to."""

    exit_code = ExitCode.USAGE
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.place} may not be written: {self.reason}; use a user who may, or the server "
            f"that is not a standby"
        )


@dataclass
class DatabaseFailed(KnEditError):
    """A database server that could not do what it was asked to."""

    exit_code = ExitCode.DISK
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.place} failed: {self.reason}; nothing was recorded. Look at the server's log "
            f"and its free space, then try again"
        )


@dataclass
class DatabaseRefusesText(KnEditError):
    """Text that a database cannot keep."""

    exit_code = ExitCode.USAGE
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place} cannot keep a text: {self.reason}; leave that character out"


@dataclass
class DriverMissing(KnEditError):
    """A database whose driver is not installed."""

    exit_code = ExitCode.USAGE
    place: str
    extra: str

    def __str__(self) -> str:
        return (
            f"no driver for {self.place} is installed; install it with "
            f"`pip install 'kn-edit[{self.extra}]'`"
        )
