"""Ledgers as earlier schemas had them, with rows in every table.

`schema_0002.sql` was written by the last kn-edit of that schema: updates, an erasure, a revert, a
rewind, a composition, tags, a version that was pulled and two publications.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ledgers import delta_of

from kn_edit.edits.delta import Mode
from kn_edit.ledger.blobs import Blobs

SCHEMAS = ("0001", "0002")
DUMP = Path(__file__).with_name("schema_0002.sql")
DELTAS = (
    delta_of((0, 1)),
    delta_of((0, 2), (1, 1)),
    delta_of((0, 1), value=2.0),
    delta_of((1, 3)),
    delta_of((1, 4)),
    delta_of((1, 5), mode=Mode.SET),
)


def old_ledger(folder: Path, schema: str) -> Path:
    """Make a ledger of an earlier schema in this workspace folder; its database."""
    path = folder / ".kn-edit" / "ledger.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    blobs = Blobs(path.parent / "blobs")
    for delta in DELTAS:
        blobs.put(delta.to_bytes())
    with closing(sqlite3.connect(path)) as plain:
        plain.executescript(DUMP.read_text(encoding="utf-8"))
        if schema == "0001":
            plain.executescript(
                "DROP TABLE publications; UPDATE alembic_version SET version_num = '0001'"
            )
        plain.execute("PRAGMA journal_mode = WAL")
    return path


def old_recipes(path: Path) -> dict[str, tuple[str, ...]]:
    """The recipes of a ledger of an earlier schema."""
    with closing(sqlite3.connect(path)) as plain:
        ids = [row[0] for row in plain.execute("SELECT id FROM versions")]
        query = "SELECT edit_id FROM version_edits WHERE version_id = ? ORDER BY position"
        return {id_: tuple(row[0] for row in plain.execute(query, (id_,))) for id_ in ids}
