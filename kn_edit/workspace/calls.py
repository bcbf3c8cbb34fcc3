"""What one call says beside its verbs: who listens, who may end it, where its edits go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kn_edit.errors import Cancelled, HeadMoved
from kn_edit.progress import Progress


@dataclass(frozen=True)
class PlannedMove:
    """A move of a branch that is recorded next. edit: that comes with it, if one does"""

    branch: str
    version: str
    edit: str | None


@dataclass
class Call:
    """Who listens to a call, who may end it, and the branch that its verbs act on.

    expected_head: the version that the branch has to be at; it moves on with what the call records
    recording: told of a move right before it is recorded
    """

    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None
    branch: str | None = None
    expected_head: str | None = None
    recording: Callable[[PlannedMove], None] | None = None


class Calls(threading.local):
    """The call that each thread is in."""

    def __init__(self) -> None:
        self._inner: list[Call] = []

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """Be in a call inside the block; the innermost listener is told, each may cancel."""
        self._inner.append(call)
        try:
            yield
        finally:
            self._inner.pop()

    @property
    def branch(self) -> str | None:
        """The branch that the innermost call names, if one does."""
        return next((call.branch for call in reversed(self._inner) if call.branch), None)

    @property
    def expected_head(self) -> str | None:
        """The version that a call expects its branch to be at, if one does."""
        return next((call.expected_head for call in self._inner if call.expected_head), None)

    def progress(self, usual: Progress, task: str, done: int, total: int) -> None:
        """Tell the innermost listener, or the usual one. Raises Cancelled."""
        for call in self._inner:
            if call.cancelled is not None and call.cancelled():
                raise Cancelled(task)
        listeners = [call.progress for call in self._inner if call.progress is not None]
        (listeners[-1] if listeners else usual)(task, done, total)

    def require_head(self, version: str) -> None:
        """Raise HeadMoved where a call expects its branch at another version than this one."""
        for call in self._inner:
            if call.expected_head not in (None, version):
                raise HeadMoved(str(call.expected_head), version)

    def recording(self, move: PlannedMove) -> None:
        """Tell whoever keeps moves of one that is recorded next."""
        for call in self._inner:
            if call.recording is not None:
                call.recording(move)

    def moved(self, version: str) -> None:
        """Expect the version that a call has just moved its branch to."""
        for call in self._inner:
            if call.expected_head is not None:
                call.expected_head = version
