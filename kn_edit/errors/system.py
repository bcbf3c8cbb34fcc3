"""Errors of the machine below: its disk, its memory, its terminals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError


def reason_of(error: OSError) -> str:
    """What the operating system says of a failure, to stand in a sentence."""
    return error.strerror or str(error)


@dataclass
class SystemRefused(KnEditError):
    """The operating system did not do something with a file."""

    exit_code = ExitCode.DISK
    path: str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot use {self.path}: {self.reason}; check the path, its permissions and the free "
            "space, then run the command again"
        )


@dataclass
class WriteUnknown(KnEditError):
    """A file or folder of which the disk does not tell whether it stays.

    former: where that is now whose place it takes, if it may have been moved
    """

    exit_code = ExitCode.DISK
    path: Path
    reason: str
    former: Path | None = None

    def __str__(self) -> str:
        former = f" (what stood there before may be {self.former})" if self.former else ""
        return (
            f"the disk failed at the end of writing {self.path} ({self.reason}), and does not tell "
            f"whether it stays there; look at it before you try again{former}"
        )


@dataclass
class BadPath(KnEditError):
    """Text that no file or folder can be called by."""

    exit_code = ExitCode.USAGE
    what: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} {self.path!r} cannot be used: {self.reason}; name a file or a folder"


@dataclass
class OutputLost(KnEditError):
    """What a command had to say could not be written."""

    exit_code = ExitCode.DISK
    reason: str

    def __str__(self) -> str:
        return (
            f"the output could not be written: {self.reason}; free some space, or send it "
            "elsewhere, then run the command again"
        )


@dataclass
class OutOfMemory(KnEditError):
    """An allocation that failed."""

    exit_code = ExitCode.ERROR

    def __str__(self) -> str:
        return "the memory does not suffice; end other programs, or use a smaller model"


@dataclass
class TooDeep(KnEditError):
    """Something that stands in itself, or in others, deeper than Python can follow."""

    exit_code = ExitCode.INTEGRITY

    def __str__(self) -> str:
        return "a file is nested deeper than anybody writes by hand" + self.steps(
            "fetch or make it again", "`{verify}` looks at those of the workspace"
        )


@dataclass
class NotText(KnEditError):
    """Bytes that are no UTF-8 where text is needed."""

    exit_code = ExitCode.USAGE
    reason: str

    def __str__(self) -> str:
        return f"a name or a text is not UTF-8 ({self.reason}); write it as UTF-8"
