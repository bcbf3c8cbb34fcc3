"""The texts of ledgers of earlier schemas, and what these hold; without torch."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = Path(__file__).parent


def dump(schema: str) -> str:
    """SQL that makes the database of a ledger of an earlier schema."""
    if schema == "0003_line":
        data = (FOLDER / "schema_0003_line.sql.gz").read_bytes()
        return gzip.decompress(data).decode()
    if schema == "0001":
        first = dump("0002")
        return f"{first}DROP TABLE publications; UPDATE alembic_version SET version_num = '0001';"
    return (FOLDER / f"schema_{schema}.sql").read_text(encoding="utf-8")


def old_recipes(path: Path) -> dict[str, tuple[str, ...]]:
    """The lists of edits of a ledger of an earlier schema, by version."""
    with closing(sqlite3.connect(path)) as plain:
        tables = {row[0] for row in plain.execute("SELECT name FROM sqlite_master")}
        if "version_edits" in tables:
            ids = [row[0] for row in plain.execute("SELECT id FROM versions")]
            query = "SELECT edit_id FROM version_edits WHERE version_id = ? ORDER BY position"
            return {id_: tuple(row[0] for row in plain.execute(query, (id_,))) for id_ in ids}
        parents = dict(plain.execute("SELECT id, parent_id FROM versions"))
        query = "SELECT edit_id, added FROM version_changes WHERE version_id = ? ORDER BY position"
        changes = {id_: plain.execute(query, (id_,)).fetchall() for id_ in parents}
    return {id_: _followed(id_, parents, changes) for id_ in parents}


def _followed(
    version: str, parents: dict[str, str | None], changes: dict[str, list[tuple[str, int]]]
) -> tuple[str, ...]:
    """The list of a version, change by change from the first one on."""
    line = [version]
    while parents[line[-1]] is not None:
        line.append(str(parents[line[-1]]))
    edits: list[str] = []
    for id_ in reversed(line):
        for edit, added in changes[id_]:
            if added:
                edits.append(edit)
            else:
                edits.remove(edit)
    return tuple(edits)
