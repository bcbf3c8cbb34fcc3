"""Recorders of edits take turns, so that an edit that is measured again is not overtaken again.

A courtesy between processes that costs nobody an edit: the ledger itself refuses a move from a
head that is no more, whoever makes it. Nothing that reads, and no revert or tag, waits here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kn_edit.progress import Progress

try:
    import fcntl
except ImportError:  # Windows: recorders meet in the ledger alone
    fcntl = None  # type: ignore[assignment]

PATIENCE = 600.0  # seconds; then a recorder goes on without its turn: another may be suspended
PAUSE = 0.05
TRIES = 20  # times that a move is made again; only moves that take no turn can come between


@contextmanager
def turn(folder: Path, progress: Progress) -> Iterator[None]:
    """Wait until no other process records an edit in this ledger's folder, and keep it so inside.

    The lock lies on the folder and ends with the process; no file is made.
    """
    descriptor = _opened(folder)
    try:
        if descriptor is not None:
            _wait(descriptor, progress)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)  # which gives the lock back


def _opened(folder: Path) -> int | None:
    """The folder's descriptor; None where this system has no such locks."""
    if fcntl is None:
        return None
    with suppress(OSError):
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return None


def _wait(descriptor: int, progress: Progress) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            progress("waiting for another edit to be recorded", 0, 0)
            time.sleep(PAUSE)
        except OSError:  # a file system without locks
            return
