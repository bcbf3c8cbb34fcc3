"""The tables, indexes, views and triggers of a database, compared with those that there must be.

Compared is what they are and not the text that made them: other releases of sqlalchemy may write
the same table with other spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    insert,
)
from sqlalchemy.pool import StaticPool

from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import SCHEMA, metadata

OBJECTS = "SELECT type, name, sql FROM sqlite_master"
STATISTICS = ("sqlite_stat1", "sqlite_stat3", "sqlite_stat4")  # of ANALYZE; they change no answer

_WORD = re.compile(r"\w+")
# What lets a database run something by itself, or drop or change what is written to it.
_ACTIVE = {"TRIGGER", "VIRTUAL", "CHECK", "GENERATED", "AS", "CONFLICT", "WHERE", "DEFAULT"}

Shape = dict[tuple[str, str], Any]

_alembic = MetaData()
_schema = Table(
    "alembic_version",
    _alembic,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def make_tables(connection: Connection) -> None:
    """Make every table of the present schema in an empty database.

    As the migrations would one after the other, which takes ten times as long.
    """
    for tables in (metadata, _alembic):
        tables.create_all(connection, checkfirst=False)
    connection.execute(insert(_schema).values(version_num=SCHEMA))


def refuse_programs(objects: Iterable[Any]) -> None:
    """Raise DamagedRow where a database holds what would run when it is read or written.

    kn-edit makes no triggers, views, computed columns or conditions. In a file of a stranger they
    can take what was just recorded away again, or never come to an end.
    objects: the rows of OBJECTS
    """
    program = _program(tuple(map(tuple, objects)))
    if program is not None:
        raise DamagedRow(f"the {program} in it holds a program, and kn-edit makes none")


@lru_cache(maxsize=4)  # each transaction looks, and mostly at the same objects
def _program(objects: tuple[Any, ...]) -> str | None:
    """Kind and name of the first object that would run; None where there is none."""
    for kind, name, sql in objects:
        words = _words(sql)
        runs = kind == "view" and name in (*metadata.tables, "alembic_version", "version_edits")
        runs = runs or (kind != "view" and bool(words & _ACTIVE))
        if runs or (kind == "index" and str(sql).count("(") > 1):
            return f"{kind} {name}"
    return None


def _words(sql: object) -> set[str]:
    return set(_WORD.findall(str(sql or "").upper()))


def faults(connection: Connection) -> Iterator[str]:
    """What is missing, there without reason, or otherwise than this kn-edit makes it."""
    expected, actual = _expected(), _shape(connection)
    for kind, name in sorted(expected.keys() | actual.keys(), key=str):
        if (kind, name) not in actual:
            yield f"the {kind} {name} is missing"
        elif (kind, name) not in expected:
            yield f"the {kind} {name} does not belong there"
        elif not _is_alike(actual[kind, name], expected[kind, name]):
            yield f"the {kind} {name} is not as kn-edit makes it"


def _is_alike(actual: Any, expected: Any) -> bool:
    """Whether two objects are the same. New words are COLLATE, STRICT, a comment and the like."""
    return bool(actual[0] == expected[0] and actual[1] <= expected[1])


@cache
def _expected() -> Shape:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        make_tables(connection)
        shape = _shape(connection)
    engine.dispose()
    return shape


def _shape(connection: Connection) -> Shape:
    """Every object of a database by kind and name: what it is, and the words that made it.

    Tables are told with columns, links and unique keys.
    """
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
    shape: Shape = {}
    for kind, name, table, sql in connection.exec_driver_sql(query).all():
        if kind == "table" and name not in STATISTICS:
            shape[kind, name] = _table(connection, name), _words(sql)
        elif kind == "index" and not str(name).startswith("sqlite_autoindex"):
            shape[kind, name] = (table, _columns(connection, name)), _words(sql)
        elif kind not in ("table", "index"):
            shape[kind, name] = table, _words(sql)
    return shape


def _table(connection: Connection, name: str) -> tuple[Any, Any, Any]:
    columns = _rows(
        connection,
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)',
        name,
    )
    links = _rows(
        connection,
        'SELECT "from", "table", "to", on_update, on_delete FROM pragma_foreign_key_list(?)',
        name,
    )
    indexes = _rows(
        connection, 'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', name
    )
    keys = sorted((*index[1:], _columns(connection, index[0])) for index in indexes)
    return sorted(columns), sorted(links), keys


def _columns(connection: Connection, index: str) -> Any:
    query = 'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE key = 1'
    return _rows(connection, query, index)


def _rows(connection: Connection, query: str, name: str) -> list[Any]:
    return [tuple(map(str, row)) for row in connection.exec_driver_sql(query, (name,)).all()]
