"""Ledgers as earlier schemas had them, with rows in every table.

`schema_0002.sql` to `schema_0007.sql` were written by the last kn-edit of that schema: updates, an
erasure, a revert, a rewind, a composition, tags, a version that was pulled and two publications;
the last three have an edit of low rank, too, the last two a branch, and the last one an edit of
many facts.
`schema_0003_line.sql.gz` has 84 edits with a revert after every tenth, compositions and further
reverts, so that the way to a list is long.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ledgers import delta_of, low_rank_of
from old_dumps import dump

from kn_edit.edits.changes import Mode
from kn_edit.ledger.folder_blobs import FolderBlobs

SCHEMAS = ("0001", "0002", "0003", "0003_line", "0004", "0005", "0006", "0007")
DELTAS = (
    delta_of((0, 1)),
    delta_of((0, 2), (1, 1)),
    delta_of((0, 1), value=2.0),
    delta_of((1, 3)),
    delta_of((1, 4)),
    delta_of((1, 5), mode=Mode.SET),
)
LOW_RANK = low_rank_of(1, rank=2)
LINE = tuple(delta_of((i % 2, (i // 2) % 6), value=float(i + 1)) for i in range(92))
EDITS = {
    "0003_line": LINE,
    "0005": (*DELTAS, LOW_RANK),
    "0006": (*DELTAS, LOW_RANK),
    "0007": (*DELTAS, LOW_RANK, delta_of((0, 4)), delta_of((1, 2))),
}  # DELTAS in the others


def old_ledger(folder: Path, schema: str) -> Path:
    """Make a ledger of an earlier schema in this workspace folder; its database."""
    path = folder / ".kn-edit" / "ledger.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = FolderBlobs(path.parent / "blobs")
    for delta in EDITS.get(schema, DELTAS):
        blobs.put(delta.to_bytes())
    with closing(sqlite3.connect(path)) as plain:
        plain.executescript(dump(schema))
        plain.execute("PRAGMA journal_mode = WAL")
    return path
