"""What killed commands leave on disk: how it is named, when it may go."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kn_edit.atomic import PARTIAL, is_leftover_name, new_time, opened_folder, remove_leftover
from kn_edit.ledger.disk import SCRATCH, disk_errors

# What an older kn-edit names its unfinished files: with the number of the process in it.
_OLDER = re.compile(r"(?:ledger\.db|[0-9a-f]{64})\.(\d{1,9})(?:\.\d+)?\.tmp(?:-wal|-shm|-journal)?")


def is_unfinished(name: str) -> bool:
    """Whether a file is named as one on its way is, by this kn-edit or an older one."""
    return is_leftover_name(name) or _OLDER.fullmatch(name) is not None


def moment_in(folder: Path) -> float:
    """This moment, Unix time, by the clock of a folder's file system. Raises LedgerUnusable."""
    with disk_errors(folder), opened_folder(folder) as descriptor:
        return new_time(descriptor)


def removed(paths: Iterator[Path], before: float) -> list[str]:
    """Remove those of these files and folders that nobody works on any more; the paths of them.

    before: Unix time; what nobody locked, of no dead process, goes if it is older
    Raises OSError.
    """
    return [str(path) for path in paths if _remove(path, before)]


def leftovers_of(folder: Path) -> Iterator[Path]:
    """Everything in and beside a ledger's folder that is named as unfinished work is."""
    for place, matches in ((folder, _is_inside), (folder.parent, _is_partial)):
        yield from (path for path in paths_in(place) if matches(path.name))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed `init` or `restore` left in and beside a ledger's folder.

    For a place where there is no ledger yet, and so nothing that `gc` could be asked for.
    """
    for path in leftovers_of(folder):
        with suppress(OSError):
            removed(iter([path]), before=0)


def modified(path: Path) -> float:
    """When a file was last written, Unix time; never, where it is gone already."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def paths_in(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where there is none, or a file in its place."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_inside(name: str) -> bool:
    return is_unfinished(name) or name.startswith(SCRATCH)


def _is_partial(name: str) -> bool:
    """A restore works beside the ledger; exports and backups may be written there, too."""
    return is_leftover_name(name) and name.endswith(PARTIAL)


def _remove(path: Path, before: float) -> bool:
    old = modified(path) < before
    if not is_leftover_name(path.name) and not old and not _of_a_dead_process(path.name):
        return False  # its maker locked nothing, so only its age, or its process, can tell
    return remove_leftover(path, old=old)


def _of_a_dead_process(name: str) -> bool:
    older = _OLDER.fullmatch(name)
    if older is None:
        return False
    try:
        os.kill(int(older[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
