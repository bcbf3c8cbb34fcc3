"""Whether a worker lives: it holds a lock on a file, which the kernel releases when it dies."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENDING = ".worker"


class WorkerFiles:
    """Workers by locked files in a folder."""

    def __init__(self, folder: Path) -> None:
        """folder: in which the workers of a workspace have their files; made where it is missing"""
        self._folder = folder

    @contextmanager
    def present(self) -> Iterator[str]:
        """Be a worker inside the block; its name. The lock is gone when this process is, however.

        Raises OSError.
        """
        self._folder.mkdir(exist_ok=True)
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        path = self._folder / f"{name}{_ENDING}"
        descriptor = _locked(path)
        try:
            yield name
        finally:
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)

    def lives(self, name: str) -> bool:
        """Whether a worker holds its lock. What it left behind is removed where it does not.

        Raises OSError.
        """
        path = self._folder / f"{name}{_ENDING}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared: two that look at once do not take each other for the worker.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)

    def living(self) -> list[int]:
        """The process ids of the workers that live. Raises OSError."""
        names = [path.stem for path in sorted(self._folder.glob(f"*{_ENDING}"))]
        return [int(name.partition("-")[0]) for name in names if self.lives(name)]


def _locked(path: Path) -> int:
    """Make a file and lock it, before anybody who looks can take it for one of a dead worker."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
