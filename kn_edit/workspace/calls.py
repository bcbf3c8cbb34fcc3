"""Progress and cancellation of one call, among others of the same workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kn_edit.errors import Cancelled
from kn_edit.progress import Progress


@dataclass(frozen=True)
class Call:
    """Who listens to a call, and who may end it."""

    progress: Progress | None = None
    cancelled: Callable[[], bool] | None = None


class Calls(threading.local):
    """The call that each thread is in."""

    def __init__(self) -> None:
        self._inner: list[Call] = []

    @contextmanager
    def during(
        self, progress: Progress | None, cancelled: Callable[[], bool] | None
    ) -> Iterator[None]:
        """Listen inside the block; the innermost listener is told, each may cancel."""
        self._inner.append(Call(progress, cancelled))
        try:
            yield
        finally:
            self._inner.pop()

    def progress(self, usual: Progress, task: str, done: int, total: int) -> None:
        """Tell the innermost listener, or the usual one. Raises Cancelled."""
        for call in self._inner:
            if call.cancelled is not None and call.cancelled():
                raise Cancelled(task)
        listeners = [call.progress for call in self._inner if call.progress is not None]
        (listeners[-1] if listeners else usual)(task, done, total)
