"""Errors about the workspace and its ledger on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed
from kn_edit.safetext import shortened

FROM_BACKUP = "restore it with `{restore}`, FILE made by `{backup!m}`"


@dataclass
class NoWorkspace(KnEditError):
    """A command that needs a workspace was run outside of one.

    above: whether it was looked for above the folder too
    """

    exit_code = ExitCode.USAGE
    folder: Path
    above: bool = True

    def detail(self) -> dict[str, object]:
        return {"folder": str(self.folder)}

    def __str__(self) -> str:
        place = f"{self.folder} or above it" if self.above else f"{self.folder}"
        return f"no workspace in {place}" + self.steps(
            "make one with `{init:=demo}`", "or name one with {workspace:=DIR}"
        )


@dataclass
class Unsound(KnEditError):
    """Verifying found something wrong."""

    exit_code = ExitCode.INTEGRITY
    problems: tuple[str, ...]

    def __str__(self) -> str:
        count = "one thing is" if len(self.problems) == 1 else f"{len(self.problems)} things are"
        return f"{count} wrong: {listed(self.problems, 3)}" + self.steps(
            "restore the ledger with `{restore}`, or the model's files from where they came"
        )


@dataclass
class NoLedger(KnEditError):
    """A folder without a ledger."""

    folder: Path

    def __str__(self) -> str:
        return f"there is no ledger in {self.folder}" + self.steps(
            "run `{init:=MODEL}` to make one"
        )


@dataclass
class LedgerExists(KnEditError):
    """A ledger where one should be made."""

    exit_code = ExitCode.CONFLICT
    folder: Path

    def __str__(self) -> str:
        return f"there is a ledger in {self.folder} already" + self.steps(
            "use it as it is", "or choose another folder with {workspace}"
        )


@dataclass
class LedgerDamaged(KnEditError):
    """A ledger whose database cannot be read as one."""

    exit_code = ExitCode.INTEGRITY
    path: Path | str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not a sound ledger: {self.reason}" + self.steps(FROM_BACKUP)


@dataclass
class LedgerUnusable(KnEditError):
    """The disk, or its permissions, stop the ledger."""

    exit_code = ExitCode.DISK
    path: Path | str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot use {self.path}: {self.reason}; "
            f"check the free space and that you may write in its folder, then try again"
        )


@dataclass
class LinkInLedger(KnEditError):
    """A link where a file or folder of the ledger should be: it leads anywhere."""

    exit_code = ExitCode.INTEGRITY
    path: Path

    def __str__(self) -> str:
        return (
            f"{self.path} is a link, and none is followed inside a ledger, whose files must not be "
            "elsewhere; put the file or folder itself there"
        )


@dataclass
class LedgerBusy(KnEditError):
    """Another process holds the ledger for longer than we wait."""

    exit_code = ExitCode.CONFLICT
    path: Path | str

    def __str__(self) -> str:
        return f"another process is writing to {self.path}; wait for it, then try again"


@dataclass
class NewerSchema(KnEditError):
    """A ledger that a later kn-edit made."""

    exit_code = ExitCode.NEWER_SCHEMA
    path: Path | str
    needed: str
    known: str

    def __str__(self) -> str:
        return (
            f"{self.path} has schema {self.needed} and this kn-edit knows schemas up to "
            f"{self.known}; upgrade kn-edit to one that knows schema {self.needed}"
        )


@dataclass
class SchemaChanged(KnEditError):
    """A ledger that was exchanged for an older one while it was open."""

    exit_code = ExitCode.CONFLICT
    path: Path | str
    schema: str

    def __str__(self) -> str:
        return f"{self.path} went back to schema {self.schema} while it was open; open it again"


@dataclass
class BadDigest(KnEditError):
    """What should be a digest of the journal, and is none."""

    exit_code = ExitCode.USAGE
    given: str

    def __str__(self) -> str:
        return (
            f"{shortened(self.given, 80)} is no digest of a journal: those have 64 "
            f"digits from 0 to f" + self.steps("{journal_digest} the present one")
        )


@dataclass
class CommitUnknown(KnEditError):
    """A transaction of which a disk or a database server does not tell whether it was kept.

    path: of the file, or in words where it lies on a server
    """

    exit_code = ExitCode.DISK
    path: Path | str
    reason: str

    def __str__(self) -> str:
        on_disk = isinstance(self.path, Path)
        failure = f"the disk failed at the end of writing to {self.path}"
        if not on_disk:
            failure = f"the connection to {self.path} was lost at the end of writing"
        return (
            f"{failure} ({self.reason}), and {'does not tell' if on_disk else 'nobody can tell'} "
            "whether this is recorded"
        ) + self.steps("look with `{log}` before you try again")


@dataclass
class DeltaMissing(KnEditError):
    """An edit whose delta file is gone."""

    exit_code = ExitCode.INTEGRITY
    edit: str
    path: Path | str

    def __str__(self) -> str:
        missing = f"the delta file of edit {short(self.edit)} is missing at {self.path}"
        return missing + self.steps(FROM_BACKUP)


@dataclass
class DigestsDiffer(KnEditError):
    """A version whose weights came out with other bits than the ledger recorded."""

    exit_code = ExitCode.INTEGRITY
    version: str
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"version {short(self.version)} gives other bits than the ledger recorded in "
            f"{listed(self.tensors)}"
            + self.steps("check the base model's files", "and run `{verify}`")
        )


@dataclass
class BackupDamaged(KnEditError):
    """A file that should be a backup and is not a sound one. Nothing of it was restored."""

    exit_code = ExitCode.INTEGRITY
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is not a sound backup: {shortened(self.reason, 200)}" + self.steps(
            "nothing was restored", "name another file that `{backup!m}` made"
        )


@dataclass
class RestoreTargetTaken(KnEditError):
    """A ledger, or what is left of one, where a backup should be restored."""

    exit_code = ExitCode.CONFLICT
    folder: Path

    def __str__(self) -> str:
        return f"{self.folder} is there already" + self.steps(
            "pass {replace} to put it aside and restore in its place",
            "or choose another folder with {workspace}",
        )


@dataclass
class TargetInsideLedger(KnEditError):
    """Something would be written into a ledger's own folder that is no part of it."""

    exit_code = ExitCode.USAGE
    target: Path
    folder: Path

    def __str__(self) -> str:
        return f"{self.target} lies inside the ledger {self.folder}; name a path outside of it"


@dataclass
class BackupExists(KnEditError):
    """A file where a backup should be written."""

    exit_code = ExitCode.CONFLICT
    path: Path

    def __str__(self) -> str:
        return f"{self.path} exists and is kept; name a new file for the backup"
