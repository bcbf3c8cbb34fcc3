"""What a command that was stopped leaves behind, so that its last sentence is true."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kn_edit.canonical import short
from kn_edit.errors import KnEditError
from kn_edit.figures import count

if TYPE_CHECKING:
    from kn_edit.workspace import Workspace

TARGETS = ("target", "file", "folder")  # parameters of commands that name what they write
REMOVES = "days"  # the parameter of `gc`, the one command that removes files of a ledger
NAMES = {
    signal.SIGINT: "stopped",
    signal.SIGTERM: "stopped by SIGTERM",
    signal.SIGHUP: "stopped because the terminal is gone (SIGHUP)",
}

Signature = tuple[int, ...] | None


@dataclass
class Stopped(Exception):
    """The user, or the system, stopped a command.

    head: where the head is now, if the command had moved it
    done: what else it had finished, in words
    """

    head: str | None
    done: str = ""
    signum: int = signal.SIGINT

    def __str__(self) -> str:
        how = NAMES.get(signal.Signals(self.signum), "stopped")
        if self.done:
            return f"{how}; {self.done}"
        if self.head is None:
            return f"{how}; nothing was written"
        return f"{how}; what was recorded before that stays, the head is {short(self.head)}"


@dataclass
class StoppedOnTheWay(Stopped):
    """The same, while a repository on the Hub was changed."""

    repo: str = ""

    def __str__(self) -> str:
        return (
            f"{NAMES.get(signal.Signals(self.signum), 'stopped')}; {self.repo} may have the commit "
            "already: run the command again to finish, it looks before it commits"
        )


@dataclass(frozen=True)
class Before:
    """What stood where a command writes, before it did.

    files: how many the ledger's folder had, of a command that removes some; a long history has
        many deltas, and to count them takes longer than most commands
    """

    head: str | None
    branch: str | None
    refs: Mapping[str, str]
    files: int
    targets: Mapping[Path, Signature]

    @classmethod
    def of(cls, workspace: Workspace, parameters: Mapping[str, Any]) -> Before:
        """The state now. A ledger that cannot be read has none, and is not written either."""
        targets = [parameters[name] for name in TARGETS if isinstance(parameters.get(name), Path)]
        head, branch, refs = None, None, {}
        with suppress(KnEditError):
            current = workspace.ledger.current_branch()
            head, branch = current.version, current.name
            refs = {ref.name: ref.version for ref in workspace.ledger.refs()}
        return cls(
            head,
            branch,
            refs,
            _count(workspace.ledger_folder) if REMOVES in parameters else 0,
            {target: signature(target) for target in targets},
        )

    def stopped(self, workspace: Workspace, parameters: Mapping[str, Any], signum: int) -> Stopped:
        """What to say of a command that began here and was stopped now."""
        now = Before.of(workspace, parameters)
        same_branch = now.branch == self.branch
        moved = now.head if same_branch and now.head != self.head else None
        return Stopped(moved, "" if moved else " and ".join(self._done(now)), signum)

    def _done(self, now: Before) -> list[str]:
        done = [
            f"{name} is version {short(version)}"
            for name, version in now.refs.items()
            if self.refs.get(name) != version
        ]
        done += [f"{name} is deleted" for name in self.refs if name not in now.refs]
        if now.branch != self.branch:
            done.append(f"the current branch is {now.branch}")
        done += [
            f"{target} is written"
            for target, signature_now in now.targets.items()
            if signature_now is not None and self.targets.get(target) != signature_now
        ]
        gone = self.files - now.files
        if gone > 0 and not done:
            done.append(f"{count(gone, 'file')} {'was' if gone == 1 else 'were'} removed")
        return done


def signature(path: Path) -> Signature:
    """What tells a file or folder from an earlier one of its name; None where there is none."""
    try:
        status = path.stat()
        inside = len(os.listdir(path)) if path.is_dir() else 0  # noqa: PTH208
    except (OSError, ValueError):
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size, inside)


def _count(folder: Path) -> int:
    """How many files there are below a folder; links are not followed."""
    return sum(len(names) for _, _, names in os.walk(folder))
