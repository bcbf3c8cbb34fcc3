"""Errors about branches, and about facts that two of them answer otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed

_CLAIM = ("answer", "edit", "since")  # what one side says of a fact


@dataclass
class BadBranchName(KnEditError):
    """A branch that could not be told from an id or a reserved name, or that git would refuse."""

    exit_code = ExitCode.USAGE
    name: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} cannot be a branch: {self.reason}; "
            f"choose a name such as capitals or try-1"
        )


@dataclass
class UnknownBranch(KnEditError):
    """A name that no branch of this ledger has. kind: of what else is called so, if anything"""

    name: str
    kind: str | None = None

    def __str__(self) -> str:
        if self.kind is not None:
            return (
                f"{self.name!r} is no branch but a {self.kind}, which stays where it is"
                + self.steps("`{branch_off:name}` makes a branch there, and goes to it")
            )
        return f"there is no branch {self.name!r} in this ledger" + self.steps(
            "`{branches}` lists those that there are", "`{new_branch}` makes one and goes to it"
        )


@dataclass
class BranchExists(KnEditError):
    """A branch to make that there is already."""

    exit_code = ExitCode.CONFLICT
    name: str

    def __str__(self) -> str:
        return f"there is a branch {self.name!r} already" + self.steps(
            "`{switch:name}` goes there", "or choose another name"
        )


@dataclass
class NameTaken(KnEditError):
    """A name for a branch or a tag that the other of them has."""

    exit_code = ExitCode.CONFLICT
    name: str
    kind: str
    wanted: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} is a {self.kind} of this ledger, so it cannot be a {self.wanted} too; "
            f"choose another name"
        )


@dataclass
class BranchIsCurrent(KnEditError):
    """The current branch, which cannot be deleted."""

    exit_code = ExitCode.CONFLICT
    name: str

    def __str__(self) -> str:
        return f"{self.name!r} is the current branch, so it stays" + self.steps(
            "go to another one first: `{switch:=OTHER}`"
        )


@dataclass
class FactsDiffer(KnEditError):
    """Facts to which two sides of a merge give different answers, and nobody said which stays.

    ours, theirs: what the sides are called
    facts: of each one its relation, subject, and for both sides answer, edit and when it was made
    """

    exit_code = ExitCode.CONFLICT
    tries_are = "say which answers stay"
    ours: str
    theirs: str
    facts: tuple[tuple[str, str, str, str, str, str, str, str], ...]

    def __str__(self) -> str:
        differences = [
            f"{relation}: {subject} is {_dated(*sides[:3])} and {_dated(*sides[3:])}"
            for relation, subject, *sides in self.facts[:1]
        ]
        rest = len(self.facts) - 1
        remainder = f", and {rest} more" if rest > 0 else ""
        return (
            f"{self.ours} and {self.theirs} give a fact different answers "
            f"({'; '.join(differences)}{remainder})"
            + self.steps("add {keep_ours}, {keep_theirs} or {keep_both} to say which stay")
        )

    def detail(self) -> dict[str, object]:
        return {
            "ours": self.ours,
            "theirs": self.theirs,
            "conflicts": [
                {
                    "relation": relation,
                    "subject": subject,
                    "ours": dict(zip(_CLAIM, sides[:3], strict=True)),
                    "theirs": dict(zip(_CLAIM, sides[3:], strict=True)),
                }
                for relation, subject, *sides in self.facts
            ],
        }


def _dated(answer: str, edit: str, since: str) -> str:
    """An answer with the edit that gave it, and the day."""
    return f"{answer} (edit {short(edit)}, {since[:10]})"


@dataclass
class ChoicesClash(KnEditError):
    """An edit of many facts that has to stay for one of them and to go for another one."""

    exit_code = ExitCode.CONFLICT
    edit: str
    facts: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"edit {short(self.edit)} changes {listed(self.facts, 3)} at once, so it cannot stay "
            f"for one of them and go for another; choose the same for all of them"
        )


@dataclass
class OnlyThere(KnEditError):
    """A branch to delete that has edits which no other branch or tag has."""

    exit_code = ExitCode.CONFLICT
    name: str
    edits: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"no other branch or tag has {listed((short(edit) for edit in self.edits), 4)} of "
            f"branch {self.name!r}, so it stays"
            + self.steps(
                "`{merge:name}` takes its edits in",
                "`{tag:name}` keeps them",
                "{force} deletes the branch all the same",
            )
        )
