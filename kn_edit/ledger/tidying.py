"""Removing what nothing refers to, beside writers that go on.

Writers and `gc` meet in the right to write of the database: `gc` removes deltas only while it holds
it, and a writer looks, inside its transaction, whether its deltas are still there. So no age keeps
a delta safe; it only spares work (docs/decisions/0018).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from kn_edit.atomic import PARTIAL, is_leftover_name, new_time, opened_folder, remove_leftover
from kn_edit.ledger import reading
from kn_edit.ledger.blobs import Blobs
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import SCRATCH, disk_errors

GRACE = timedelta(days=14)
BATCH = 100  # deltas that are removed while writers wait once
RESTORING = "kn-edit"  # begins the names of folders beside .kn-edit that a restore works in

# What an older kn-edit names its unfinished files: with the number of the process in it.
_OLDER = re.compile(r"(?:ledger\.db|[0-9a-f]{64})\.(\d{1,9})(?:\.\d+)?\.tmp(?:-wal|-shm|-journal)?")


def collect(
    database: Database, blobs: Blobs, folder: Path, older_than: timedelta = GRACE
) -> list[Path]:
    """Remove deltas of no edit, and what killed commands left; the paths that were removed.

    older_than: age of what could still be wanted; what certainly is not goes at once
    Raises LedgerBusy, LedgerUnusable.
    """
    with disk_errors(folder):
        with opened_folder(folder) as descriptor:
            before = new_time(descriptor) - older_than.total_seconds()
        removed = list(_unreferenced(database, blobs, before))
        removed += [path for path in _leftovers(blobs, folder) if _remove(path, before)]
    return sorted(removed)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed `init` or `restore` left in and beside a ledger's folder.

    For a place where there is no ledger yet, and so nothing that `gc` could be asked for.
    """
    blobs = Blobs(folder / "blobs")
    for path in _leftovers(blobs, folder):
        with suppress(OSError):
            _remove(path, before=0)


def _unreferenced(database: Database, blobs: Blobs, before: float) -> Iterator[Path]:
    files = [digest for digest, path in blobs.files() if _modified(path) < before]
    with database.reading() as connection:
        recorded = reading.known_edits(connection, files)
    rest = [digest for digest in files if digest not in recorded]
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        with database.writing() as connection:
            wanted = reading.known_edits(connection, batch)
            for digest in batch:
                if digest not in wanted and blobs.remove(digest, before):
                    yield blobs.path(digest)


def _leftovers(blobs: Blobs, folder: Path) -> Iterator[Path]:
    """Everything named as unfinished work is, by this kn-edit or an older one."""
    places = ((folder, _is_inside), *((shard, _is_unfinished) for shard in blobs.shards()))
    for place, matches in (*places, (folder.parent, _is_partial)):
        yield from (path for path in _listed(place) if matches(path.name))


def _is_unfinished(name: str) -> bool:
    return is_leftover_name(name) or _OLDER.fullmatch(name) is not None


def _is_inside(name: str) -> bool:
    return _is_unfinished(name) or name.startswith(SCRATCH)


def _is_partial(name: str) -> bool:
    """A restore works beside the ledger; exports and backups may be written there, too."""
    return is_leftover_name(name) and name.endswith(PARTIAL)


def _remove(path: Path, before: float) -> bool:
    old = _modified(path) < before
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


def _modified(path: Path) -> float:
    """When a file was last written; never, where it is gone already."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
