"""Errors about versions, edits and tags by name, and about moves of the branch."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed


@dataclass
class SlotOverlap(KnEditError):
    """Edits that write the same value slots, in a move that would mix them."""

    exit_code = ExitCode.CONFLICT
    edits: tuple[tuple[str, str], ...]
    slots: tuple[object, ...]

    def __str__(self) -> str:
        pairs = listed(f"{short(first)} with {short(second)}" for first, second in self.edits)
        return f"edits write the same value slots ({pairs}: {listed(self.slots)})" + self.steps(
            "pass {allow_overlap} to go on, in the order of the list"
        )


@dataclass
class EditAlreadyApplied(KnEditError):
    """An edit that the head has already."""

    exit_code = ExitCode.CONFLICT
    edit: str

    def __str__(self) -> str:
        return (
            f"edit {short(self.edit)} is part of the head already, so there is nothing to record"
            + self.steps("see `{show:edit.12}`")
        )


@dataclass
class EditNotApplied(KnEditError):
    """An edit to revert that the head lacks."""

    edit: str
    head: str

    def __str__(self) -> str:
        return (
            f"edit {short(self.edit)} is not part of the head {short(self.head)}, so it cannot be "
            f"reverted" + self.steps("see `{status}` for the edits that are")
        )


@dataclass
class EmptyEdit(KnEditError):
    """A delta without any slot."""

    def __str__(self) -> str:
        return "the edit changes no value slot, so nothing was recorded; locate more neurons first"


@dataclass
class AlreadyThere(KnEditError):
    """A move that ends where it starts."""

    version: str

    def __str__(self) -> str:
        return f"the head is at {short(self.version)} already" + self.steps(
            "see `{log}` for other versions"
        )


@dataclass
class HeadMoved(KnEditError):
    """The branch is no longer where the change was planned from."""

    exit_code = ExitCode.CONFLICT
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"another process moved the head from {short(self.expected)} to {short(self.actual)} "
            f"meanwhile, so nothing was recorded"
        ) + self.steps("{again_on_head}")


@dataclass
class UnknownId(KnEditError):
    """A name that no version or edit of this ledger has."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.what} {self.name!r} in this ledger" + self.steps("see `{log}`")


@dataclass
class ShortPrefix(KnEditError):
    """An id typed with too few digits."""

    exit_code = ExitCode.USAGE
    prefix: str
    least: int

    def __str__(self) -> str:
        return f"{self.prefix!r} is too short for an id; type at least {self.least} of its digits"


@dataclass
class AmbiguousId(KnEditError):
    """A prefix that several ids share."""

    exit_code = ExitCode.USAGE
    what: str
    prefix: str
    candidates: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"several {self.what}s begin with {self.prefix!r}: {listed(self.candidates)}; "
            f"type more digits"
        )


@dataclass
class BadTagName(KnEditError):
    """A tag that could not be told from an id or a reserved name, or that git would refuse."""

    exit_code = ExitCode.USAGE
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name!r} cannot be a tag: {self.reason}; choose a name such as v1 or no-paris"


@dataclass
class TagExists(KnEditError):
    """A tag that would move."""

    exit_code = ExitCode.CONFLICT
    name: str
    version: str

    def __str__(self) -> str:
        return f"tag {self.name!r} names version {short(self.version)}" + self.steps(
            "pass {move} to move it", "or choose another name"
        )
