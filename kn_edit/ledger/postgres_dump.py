"""A workspace of a PostgreSQL database as one SQLite file, row for row, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table

from kn_edit.ledger.dialect import WRITES, Dialect
from kn_edit.ledger.sqlite_file import SQLiteFile
from kn_edit.ledger.tables import WORKSPACE_ID, metadata, workspaces

_AT_ONCE = 2000  # rows that are held in memory


def dump(connection: Connection, dialect: Dialect, path: Path, workspace: int) -> None:
    """Write the rows of a workspace to a new SQLite file.

    connection: a transaction that sees one state; dialect: of it
    """
    _make_file(path)
    with closing(sqlite3.connect(path)) as target, target:
        for table in metadata.sorted_tables:
            rows = dialect.stored(connection, _query(table), {"workspace": workspace})
            places = ", ".join("?" for _ in table.columns)
            insert = f"INSERT INTO {table.name} ({_columns(table)}) VALUES ({places})"
            for batch in _batches(rows):
                target.executemany(insert, batch)


def _make_file(path: Path) -> None:
    file = SQLiteFile(path)
    with file.upgrader().connect().execution_options(**{WRITES: True}) as raw, raw.begin():
        file.make_tables(raw)
    file.close()


def _query(table: Table) -> str:
    """SQL of all rows of a workspace, in the order of the primary key."""
    number = "id" if table is workspaces else WORKSPACE_ID
    key = ", ".join(column.name for column in table.primary_key)
    condition = f"{table.name}.{number} = :workspace"
    return f"SELECT {_columns(table)} FROM {table.name} WHERE {condition} ORDER BY {key}"


def _columns(table: Table) -> str:
    # In quotes: OVERLAPS is a word of SQL.
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, _AT_ONCE)):
        yield batch
