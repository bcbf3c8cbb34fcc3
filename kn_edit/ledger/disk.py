"""What every file of the ledger needs: errors that say what to do, no link followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kn_edit.errors import LedgerUnusable, LinkInLedger, TargetInsideLedger, reason_of

FOLDER = ".kn-edit"
SCRATCH = "push-"  # folders of weights that were on their way to the Hub, as an older kn-edit names

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into LedgerUnusable."""
    try:
        yield
    except OSError as error:
        raise LedgerUnusable(path, reason_of(error)) from error


def refuse_link(path: Path) -> None:
    """Raise LinkInLedger where this name is a link. One that is not there is none."""
    if path.is_symlink():
        raise LinkInLedger(path)


def check_files(database: Path) -> None:
    """Refuse links and all that is no regular file, where the database of a ledger should be.

    Raises LinkInLedger, LedgerUnusable.
    """
    refuse_link(database.parent)
    for ending in ("", "-wal", "-shm", "-journal"):
        path = Path(f"{database}{ending}")
        refuse_link(path)
        try:
            regular = stat.S_ISREG(path.stat().st_mode)
        except FileNotFoundError:  # asked once: another process may take it away at any moment
            continue
        if not regular:
            raise LedgerUnusable(path, "it is not a regular file")


@contextmanager
def folder_below(root: Path, *names: str, make: bool = False) -> Iterator[int]:
    """The descriptor of a folder in the ledger's, reached through no link.

    make: make what is not there. Raises LinkInLedger, OSError.
    """
    descriptor, path = _folder(root, str(root), None), root
    try:
        for name in names:
            path /= name
            if make:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=descriptor)
            inner = _folder(path, name, descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_file(path: Path, folder: int) -> int:
    """The descriptor of a regular file in an open folder. Raises LinkInLedger, OSError.

    Neither a named pipe nor a device is read: both can wait for ever.
    """
    _refuse_link_in(path, folder)
    mode = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode):
        raise LedgerUnusable(path, "it is not a regular file")
    return os.open(path.name, _FILE, dir_fd=folder)


def _folder(path: Path, name: str, parent: int | None) -> int:
    _refuse_link_in(path, parent, name)
    return os.open(name, _FOLDER, dir_fd=parent)


def _refuse_link_in(path: Path, folder: int | None, name: str | None = None) -> None:
    with suppress(FileNotFoundError):
        status = os.stat(name or path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            raise LinkInLedger(path)


def refuse_inside(target: Path) -> None:
    """Raise TargetInsideLedger for a path inside of a ledger's folder, of whatever workspace.

    SQLite takes some names there for its own, and what else lies there is not kn-edit's.
    """
    for folder in Path(os.path.realpath(target)).parents:
        if folder.name == FOLDER:
            raise TargetInsideLedger(target, folder)
