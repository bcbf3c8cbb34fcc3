"""What SQLite's planner is told of the tables of a ledger: most rows are of one workspace.

Without figures SQLite takes any column at the beginning of an index for one that few rows share.
The workspace stands at the beginning of each, so every index would look as good as any other, and
a look-up of one value slot would read all slots. Figures are rows of `sqlite_stat1`; they choose
among ways to the same answer, and ANALYZE may put measured ones in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Table, UniqueConstraint

from kn_edit.ledger.tables import WORKSPACE_ID, metadata

ROWS = 1_000_000  # of a large ledger; only proportions matter
ALIKE = 20  # rows that are alike in an index that is not unique
MANY = {"layer": 50_000, "relation": 1000}  # the same of columns within an index


def record(connection: Connection) -> None:
    """Write the figures into the database of this transaction, in place of those that are there."""
    connection.exec_driver_sql("ANALYZE sqlite_master")  # makes the table that holds them
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    rows = [row for table in metadata.sorted_tables for row in _of_table(table)]
    places = ", ".join("(?, ?, ?)" for _ in rows)
    values = tuple(value for row in rows for value in row)
    connection.exec_driver_sql(f"INSERT INTO sqlite_stat1 VALUES {places}", values)


def _of_table(table: Table) -> Iterator[tuple[str, str, str]]:
    """The rows of each index of a table: its name, how many rows are alike by its columns."""
    keys: list[Sequence[str]] = [[column.name for column in table.primary_key]]
    keys += [
        [column.name for column in constraint.columns]
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    if WORKSPACE_ID not in table.c:
        return
    with_rowid = table.dialect_options["sqlite"]["with_rowid"]
    for number, columns in enumerate(keys, 1):
        automatic = f"sqlite_autoindex_{table.name}_{number}"
        name = automatic if with_rowid or number > 1 else table.name
        yield table.name, name, _figures(columns, last=1)
    for index in table.indexes:
        yield table.name, str(index.name), _figures([c.name for c in index.columns], last=ALIKE)


def _figures(columns: Sequence[str], last: int) -> str:
    """How many rows there are, and how many are alike in the first column, in the first two, ..."""
    between = [MANY.get(name, ALIKE) for name in columns[1:-1]]
    return " ".join(map(str, (ROWS, ROWS, *between, last)))
