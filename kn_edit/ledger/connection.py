"""A connection to a ledger's database that sees the rows of one workspace, and no others.

What reads or writes rows of a ledger takes a `Connection`, and makes its queries by `select` from
here. So the condition on the workspace stands in one place. A joined table gets it by the link
that it is joined by: links lead within a workspace. `everywhere` is for the few queries that mean
all workspaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy
from sqlalchemy import (
    Column,
    ColumnElement,
    CursorResult,
    Delete,
    FromClause,
    Integer,
    RowMapping,
    Select,
    Table,
    TextClause,
    Update,
    and_,
    bindparam,
    insert,
)

from kn_edit.ledger.dialect import Dialect
from kn_edit.ledger.parts import parts
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import WORKSPACE_ID

LARGEST = 2**63 - 1  # a number in a row goes no further
_PARAMETER = "workspace"  # holds the number of the workspace, in SQL as text too
_WORKSPACE = bindparam(_PARAMETER, type_=Integer)


@lru_cache(maxsize=256)  # a query is never changed, and making one takes as long as asking it
def select(first: FromClause | Column[Any], *columns: Any) -> Select[Any]:
    """A query for rows of one workspace, for `Connection.execute`.

    first: a table, or a column of it; further tables are joined by their links to it
    """
    table = first if isinstance(first, FromClause) else first.table
    return sqlalchemy.select(first, *columns).where(table.c[WORKSPACE_ID] == _WORKSPACE)


def linked(column: Column[Any], target: Column[Any]) -> ColumnElement[bool]:
    """The condition that joins two tables by a column of each, within a workspace."""
    left, right = (each.table.c[WORKSPACE_ID] for each in (column, target))
    return and_(left == right, column == target)


def next_number(connection: Connection, column: Column[int]) -> int:
    """The number that the next row of a table gets in its workspace; the first is 1.

    Raises DamagedRow.
    """
    newest = connection.execute(_newest(column)).scalar() or 0
    if not isinstance(newest, int) or not 0 <= newest < LARGEST:
        table = column.table.description
        raise DamagedRow(f"its {table} are not numbered as kn-edit numbers them")
    return newest + 1


@lru_cache(maxsize=256)
def _newest(column: Column[int]) -> Select[Any]:
    return select(column).order_by(column.desc()).limit(1)


class Connection:
    """A transaction on the rows of one workspace.

    workspace: its number in the table `workspaces`
    """

    def __init__(self, raw: sqlalchemy.Connection, dialect: Dialect, workspace: int) -> None:
        self.raw = raw
        self.workspace = workspace
        self.last_event: tuple[int, str] | None = None  # number and hash of what was appended last
        self._dialect = dialect
        self._values = {_PARAMETER: workspace}
        self._column = {WORKSPACE_ID: workspace}

    def execute(
        self,
        statement: Select[Any] | Update | Delete | TextClause,
        values: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        """Execute a statement on rows of the workspace.

        values: parameters of SQL as text, which holds `:workspace` for each table that it names
        """
        if isinstance(statement, Update | Delete):
            condition = statement.table.c[WORKSPACE_ID] == self.workspace
            return self.raw.execute(statement.where(condition))
        return self.raw.execute(statement, {**(values or {}), **self._values})

    def insert(self, table: Table, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Add a row to a table of the workspace, or several."""
        if isinstance(rows, Mapping):
            self.raw.execute(insert(table), {**rows, **self._column})
        elif rows:
            self.raw.execute(insert(table), [{**row, **self._column} for row in rows])

    def everywhere(self, column: Column[Any], ids: Iterable[object]) -> list[object]:
        """Those of these values that a column holds in some workspace of the database."""
        queries = parts(sqlalchemy.select(column), column, ids)
        return [value for query in queries for value in self.raw.execute(query).scalars()]

    def joined_everywhere(
        self, columns: Sequence[Column[Any]], joined: Table, condition: ColumnElement[bool]
    ) -> Iterator[RowMapping]:
        """Rows of every workspace of the database: these columns, where a condition holds.

        joined: a table that the condition is about, whose rows are linked to those of the columns
        """
        query = sqlalchemy.select(*columns).join(joined).where(condition)
        yield from self.raw.execute(query).mappings()

    def stored(self, query: str, **values: int | str) -> Iterator[Sequence[Any]]:
        """Rows as the database stores them, whatever they hold: no value is read as its type.

        query: SQL that holds `:workspace` for each table, and `:name` for each of the values
        """
        return self._dialect.stored(self.raw, query, {**values, **self._values})

    def lock_chain(self) -> None:
        """Let nobody else append to the events of the workspace before the transaction ends."""
        self._dialect.lock_chain(self.raw, self.workspace)

    def lock_blobs(self) -> None:
        """Let nobody else delete blobs, or rely on some, before the transaction ends.

        Writers and `gc` of all workspaces take this one lock: they share the blobs.
        """
        self._dialect.lock_blobs(self.raw)
