"""Errors of writing a version as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError
from kn_edit.safetext import shortened


@dataclass
class TargetNotEmpty(KnEditError):
    """An export would write over something."""

    exit_code = ExitCode.USAGE
    target: Path

    def __str__(self) -> str:
        return f"{self.target} exists and is not an empty folder; export to a new folder"


@dataclass
class TargetInsideCheckpoint(KnEditError):
    """An export would write into its own base, or into a Hub cache, whose files are shared."""

    exit_code = ExitCode.USAGE
    target: Path
    owner: Path

    def __str__(self) -> str:
        return f"{self.target} lies inside {self.owner}, which must not change; export elsewhere"


@dataclass
class LinkLeadsOutside(KnEditError):
    """A file of a checkpoint that would be copied or published is a link to somewhere else."""

    exit_code = ExitCode.ERROR
    link: Path
    target: Path

    def __str__(self) -> str:
        return (
            f"{shortened(str(self.link), 150)} is a link to {shortened(str(self.target), 150)}, "
            "outside of the model's folder"
            + self.steps(
                "replace the link by a file",
                "or pass {follow_links} where all that links point at may be copied",
            )
        )


@dataclass
class CannotWrite(KnEditError):
    """A full disk, a missing permission, a read-only file system."""

    exit_code = ExitCode.DISK
    target: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot write {self.target}: {self.reason}; nothing is left behind, "
            "free some space or choose another place and try again"
        )


@dataclass
class ExportDiffers(KnEditError):
    """A written tensor does not have the bytes that the ledger recorded."""

    exit_code = ExitCode.INTEGRITY
    tensor: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"{self.tensor} came out with sha256 {short(self.actual)}…, and "
            f"{short(self.expected)}… is recorded, so the base or a delta changed"
            + self.steps("run {verify} to see which")
        )


@dataclass
class InvalidRecipe(KnEditError):
    """A folder of deltas whose kn_edit.json is missing or makes no sense."""

    exit_code = ExitCode.INTEGRITY
    file: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.file} is not a sound recipe: {self.problem}; export or fetch it again"


@dataclass
class NothingToExport(KnEditError):
    """A version without edits has nothing that a small form could hold."""

    exit_code = ExitCode.ERROR
    form: str

    def __str__(self) -> str:
        return f"this version is the base itself, so its {self.form} would be empty" + self.steps(
            "name a version with edits", "or use {export_checkpoint}"
        )


@dataclass
class RankTooHigh(KnEditError):
    """An adapter of a rank that the user does not want."""

    exit_code = ExitCode.USAGE
    rank: int
    most: int

    def __str__(self) -> str:
        return f"the adapter would have rank {self.rank}, more than {self.most}" + self.steps(
            "raise {max_rank}", "or use {export_patch}, which has no rank"
        )
