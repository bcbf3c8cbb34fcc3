"""Removing what nothing refers to, beside writers that go on.

Writers and `gc` meet in the right to write of the database: `gc` removes deltas only while it holds
it, and a writer looks, inside its transaction, whether its deltas are still there. So no age keeps
a delta safe; it only spares work (docs/decisions/0018).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from kn_edit.atomic import PARTIAL, is_leftover_name
from kn_edit.errors import KnEditError
from kn_edit.ledger import reading
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import SCRATCH, disk_errors
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.leftovers import is_unfinished, moment_in, paths_in, removed

GRACE = timedelta(days=14)
BATCH = 100  # deltas that are removed while writers wait once
RESTORING = "kn-edit"  # begins the names of folders beside .kn-edit that a restore works in


def collect(
    database: Database, blobs: BlobStore, folder: Path, older_than: timedelta = GRACE
) -> list[str]:
    """Remove deltas of no edit, and what killed commands left; where each was.

    older_than: age of what could still be wanted; what certainly is not goes at once
    Raises LedgerBusy, LedgerUnusable.
    """
    age = older_than.total_seconds()
    before = blobs.now() - age
    gone = [*_unreferenced(database, blobs, before), *blobs.remove_unfinished(before)]
    with disk_errors(folder):
        gone += removed(_leftovers(folder), moment_in(folder) - age)
    return sorted(gone)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed `init` or `restore` left in and beside a ledger's folder.

    For a place where there is no ledger yet, and so nothing that `gc` could be asked for.
    """
    with suppress(KnEditError, OSError):
        FolderBlobs(folder / "blobs").remove_unfinished(before=0)
    for path in _leftovers(folder):
        with suppress(OSError):
            removed(iter([path]), before=0)


def _unreferenced(database: Database, blobs: BlobStore, before: float) -> Iterator[str]:
    old = [blob.digest for blob in blobs.stored() if blob.modified < before]
    with database.reading() as connection:
        recorded = reading.known_edits(connection, old)
    rest = [digest for digest in old if digest not in recorded]
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        with database.writing() as connection:
            wanted = reading.known_edits(connection, batch)
            for digest in batch:
                if digest not in wanted and blobs.delete(digest, before):
                    yield blobs.where(digest)


def _leftovers(folder: Path) -> Iterator[Path]:
    """Everything in and beside a ledger's folder that is named as unfinished work is."""
    for place, matches in ((folder, _is_inside), (folder.parent, _is_partial)):
        yield from (path for path in paths_in(place) if matches(path.name))


def _is_inside(name: str) -> bool:
    return is_unfinished(name) or name.startswith(SCRATCH)


def _is_partial(name: str) -> bool:
    """A restore works beside the ledger; exports and backups may be written there, too."""
    return is_leftover_name(name) and name.endswith(PARTIAL)
