"""Removing what nothing refers to, beside writers that go on.

Writers and `gc` meet in the right to write of the database: `gc` removes deltas only while it holds
it, and a writer looks, inside its transaction, whether its deltas are still there. So no age keeps
a delta safe; it only spares work (docs/decisions/0018).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kn_edit.ledger import reading
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.database import Database

GRACE = timedelta(days=14)
BATCH = 100  # deltas that are removed while writers wait once


def collect(database: Database, blobs: BlobStore, older_than: timedelta = GRACE) -> list[str]:
    """Remove deltas of no edit of any workspace, and what killed commands left; where each was.

    older_than: age of what could still be wanted; what certainly is not goes at once
    Raises LedgerBusy, LedgerUnusable.
    """
    age = older_than.total_seconds()
    before = blobs.now() - age
    gone = [*_unreferenced(database, blobs, before), *blobs.remove_unfinished(before)]
    return sorted([*gone, *database.dialect.remove_unfinished(age)])


def _unreferenced(database: Database, blobs: BlobStore, before: float) -> Iterator[str]:
    old = [blob.digest for blob in blobs.stored() if blob.modified < before]
    with database.reading() as connection:
        recorded = reading.needed_anywhere(connection, old)
    rest = [digest for digest in old if digest not in recorded]
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        with database.writing() as connection:
            connection.lock_blobs()
            wanted = reading.needed_anywhere(connection, batch)
            for digest in batch:
                if digest not in wanted and blobs.delete(digest, before):
                    yield blobs.where(digest)
