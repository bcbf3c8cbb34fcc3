"""Changes of a ledger's file that no kn-edit would make, and what is to be read of it."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledgers import (
    FINGERPRINT,
    about,
    delta_of,
    digests,
    low_rank_of,
    move,
    new_ledger,
    record,
    record_many,
)

from kn_edit.edits.changes import Mode
from kn_edit.errors import KnEditError
from kn_edit.ledger import Adoption, Ledger, Publication, Step
from kn_edit.ledger.history import version_id
from kn_edit.neuron import NeuronId

NEXT = delta_of((0, 0), value=9.0)  # an edit that is not in the ledger
DEEP = "[" * 10_000 + "]" * 10_000
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    "[]",
    "{}",
    "null",
    "[1, null]",
    '{"rule": 5, "neurons": "none", "efficacy": "high", "p_old_before": null}',
    "{" + '"a": ',
    DEEP,
    "0" * 64,
    "main",
    b"bytes",
    b"\xff\xfe",
    -1,
    0,
    1,
    7,
    2**62,
    0.5,
)
ALTERED = (  # SQL of a value that is made of the one that is there
    "{0} || 'x'",
    "CAST({0} AS BLOB)",
    "CAST(x'ff41' AS TEXT)",
    "{0} + 100",
    "replace({0}, 'a', 'b')",
)


@dataclass(frozen=True)
class Change:
    """A change of the database's file, and its name for messages."""

    name: str
    apply: Callable[[Path], None]


def rich_ledger(folder: Path) -> None:
    """A ledger with everything in it: edits, an erasure, moves, branches, tags, a pull, ..."""
    a, b, c = delta_of((0, 1)), delta_of((0, 2), (1, 1)), delta_of((0, 1), value=2.0)
    d, e, f = delta_of((1, 3)), delta_of((1, 4)), delta_of((1, 5), mode=Mode.SET)
    with new_ledger(folder) as ledger:
        record(ledger, a)
        second = record(ledger, b, subject="Österreich")
        record(ledger, c)
        ledger.tag("v1")
        move(ledger, ledger.plan_revert(a.id, allow_overlap=True))
        move(ledger, ledger.plan_rewind(second.id))
        plan = ledger.plan_edit(d, "erase", "capital erased")
        erased = replace(about(d, kind="erase"), subject=None, answer=None, target=None)
        ledger.advance(plan, digests([a, b, d]), edit=erased)
        move(ledger, ledger.plan_compose(["v1"]))
        ids = (e.id, f.id)
        version = version_id(FINGERPRINT, ids)
        source = "ann/model@main"
        edits = (about(e), about(f))
        ledger.adopt(Adoption(source, version, ids, edits, f"pull {source}"), digests([e, f]))
        record(ledger, low_rank_of(1, rank=2), subject="Cuba")
        record_many(ledger, delta_of((0, 4)), "Japan", "France", "Spain")
        ledger.tag("v2")
        ledger.make_branch("side", "v1", switch=True)
        record(ledger, delta_of((1, 2)), subject="Peru")
        ledger.make_branch("gone")
        ledger.switch("main")
        ledger.delete_branch("gone")
        head = ledger.head().id
        ledger.note_publication(Publication("ann/m", "main", "c" * 40, head, "delta", None))
        ledger.note_publication(Publication("ann/m", "main", "d" * 40, "e" * 64, "delta", "v1"))
        ledger.set_base("/models/moved", {"config.json": "a" * 64})
        assert ledger.check() == []


def contents(ledger: Ledger, versions: tuple[str, ...], edits: tuple[str, ...]) -> list[object]:
    """All that can be read of a ledger; an error of kn-edit's in place of what it refuses."""
    reads: list[Callable[[], object]] = [
        lambda: ledger.base,
        ledger.head,
        ledger.edits,
        ledger.refs,
        ledger.publications,
        ledger.log,
        ledger.graph,
        ledger.branches,
        lambda: ledger.log(branch="side"),
        ledger.chain,
        lambda: ledger.known_edits(edits),
        lambda: ledger.records(edits),
        lambda: ledger.diff("base", "head"),
        lambda: ledger.plan_edit(NEXT, "update"),
        lambda: ledger.plan_revert(edits[1], allow_overlap=True),
        lambda: ledger.plan_rewind("v1"),
        lambda: ledger.plan_compose(["ann/model@main"], allow_overlap=True),
        *(lambda slot=slot: ledger.blame(NeuronId(*slot)) for slot in ((0, 1), (1, 1), (1, 5))),
        *(lambda id_=id_: ledger.version(id_) for id_ in versions),
        *(lambda id_=id_: ledger.edit(id_) for id_ in edits),
    ]
    return [_result(read) for read in reads]


def _result(read: Callable[[], object]) -> object:
    try:
        result = read()
        if isinstance(result, list):  # lists of versions are read when they are looked at
            [len(each.edits) for each in result if isinstance(each, Step)]
        return result
    except KnEditError as error:
        assert len(str(error)) <= 600
        return type(error)


def rows_of(path: Path) -> list[object]:
    """Every row of every table as it is stored, with the kind of each value; None if unreadable."""
    with closing(sqlite3.connect(path)) as plain:
        plain.text_factory = bytes
        try:
            tables = plain.execute(
                "SELECT name, type, sql FROM sqlite_master ORDER BY 1, 2"
            ).fetchall()
            rows: list[object] = [tables]
            for name, kind, _ in tables:
                if kind == b"table":
                    query = f'SELECT * FROM "{name.decode()}" NOT INDEXED'
                    rows.append(sorted(map(repr, plain.execute(query))))
        except (sqlite3.Error, UnicodeDecodeError):
            return []
        return rows


# --- changes -------------------------------------------------------------------------------------


def tables_of(path: Path) -> dict[str, list[str]]:
    """The columns of every table."""
    with closing(sqlite3.connect(path)) as plain:
        names = [
            row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        return {
            name: [row[1] for row in plain.execute(f"PRAGMA table_info({name})")] for name in names
        }


def row_changes(path: Path, draw: random.Random) -> Iterator[Change]:
    """Changes of single rows, without end: of a value, of all of it, its removal, one more."""
    tables = tables_of(path)
    counts = {}
    with closing(sqlite3.connect(path)) as plain:
        for name in tables:
            counts[name] = plain.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    names = [name for name in tables if counts[name]]
    while True:
        for table in names:
            place = draw.randrange(counts[table])
            column = draw.choice(tables[table])
            kind = draw.choice(("value", "value", "value", "altered", "delete", "insert"))
            yield row_change(table, tables[table], place, column, kind, draw.random())


def row_change(
    table: str, columns: list[str], place: int, column: str, kind: str, chance: float
) -> Change:
    """One change of the row at a place of a table, in the order of its first columns."""
    order = ", ".join(columns)
    key = f"SELECT {order} FROM {table} ORDER BY {order} LIMIT 1 OFFSET {place}"
    same = " AND ".join(f"{name} IS ?" for name in columns)
    value = VALUES[int(chance * len(VALUES))]
    form = ALTERED[int(chance * len(ALTERED))].format(column)

    def apply(file: Path) -> None:
        with lax(file) as plain, suppress(sqlite3.IntegrityError):  # a number in place of a key
            row = plain.execute(key).fetchone()
            if kind == "delete":
                plain.execute(f"DELETE FROM {table} WHERE {same}", row)
            elif kind == "insert":
                copy = [value if name == column else row[i] for i, name in enumerate(columns)]
                marks = ", ".join("?" * len(columns))
                plain.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", copy)
            elif kind == "altered":
                plain.execute(f"UPDATE OR IGNORE {table} SET {column} = {form} WHERE {same}", row)
            else:
                change = f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {same}"
                plain.execute(change, (value, *row))

    what = form if kind == "altered" else repr(value)[:40]
    return Change(f"{kind} {table}.{column} row {place}: {what}", apply)


class lax:  # noqa: N801  # reads as a verb: with lax(file)
    """A connection to a ledger's file that no constraint stops; it stays the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> sqlite3.Connection:
        self._set_sql("replace(sql, 'NOT NULL', '        ')")
        self._plain = sqlite3.connect(self.path, isolation_level=None)
        self._plain.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        return self._plain

    def __exit__(self, *_: object) -> None:
        self._plain.close()
        self._set_sql("replace(sql, '        ', 'NOT NULL')")

    def _set_sql(self, sql: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as plain:
            plain.execute("PRAGMA writable_schema = ON")
            plain.execute(f"UPDATE sqlite_master SET sql = {sql} WHERE type = 'table'")


OBJECTS = (
    *(
        f"DROP TABLE {name}"
        for name in (
            "attributions",
            "evaluations",
            "publications",
            "base_places",
            "base_models",
            "refs",
            "events",
            "edits",
            "facts",
            "versions",
            "version_changes",
            "version_tensors",
            "edit_slots",
            "edit_layers",
            "edit_facts",
            "alembic_version",
            "workspaces",
        )
    ),
    "CREATE TABLE more (id INTEGER)",
    "CREATE VIEW seen AS SELECT * FROM edits",
    "CREATE TRIGGER quiet AFTER INSERT ON events BEGIN DELETE FROM refs; END",
    "CREATE INDEX quick ON events (kind)",
    "CREATE UNIQUE INDEX one ON facts (id, relation)",
    "DROP INDEX ix_facts_workspace_id_seq",
    "ALTER TABLE facts ADD COLUMN more TEXT",
    "ALTER TABLE publications RENAME TO published",
    "ALTER TABLE facts RENAME COLUMN answer TO reply",
    "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
    "DELETE FROM base_models",
    "DELETE FROM refs",
    "DELETE FROM refs WHERE name = 'main'",
    "UPDATE refs SET name = 'trunk' WHERE name = 'main'",
    "UPDATE evaluations SET id = id + 100",
    "UPDATE version_changes SET position = position + 1000",
    "UPDATE facts SET id = id + 100; UPDATE edits SET fact_id = fact_id + 100",
    "UPDATE versions SET parent_id = id",
    "PRAGMA writable_schema = ON; "
    "UPDATE sqlite_master SET sql = CAST(x'c3' || sql AS TEXT) WHERE name = 'facts'",
    "PRAGMA writable_schema = ON; "
    "UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT) WHERE name = 'ix_facts_workspace_id_seq'",
    "UPDATE alembic_version SET version_num = CAST(x'ff41' AS TEXT)",
    "UPDATE alembic_version SET version_num = '0002'",
    "UPDATE alembic_version SET version_num = ''",
    "INSERT INTO alembic_version VALUES ('0002')",
    "INSERT INTO workspaces VALUES (2, 'more')",
    "UPDATE workspaces SET id = 2",
    "DELETE FROM workspaces",
    "UPDATE facts SET workspace_id = 2",
    "INSERT INTO base_models SELECT 1, 'f', name, repo, revision, source, model_type, dtype, "
    "created, files FROM base_models",
)


def object_changes() -> Iterator[Change]:
    """Changes of tables, views, triggers and indexes, and of whole tables."""
    for script in OBJECTS:

        def apply(file: Path, script: str = script) -> None:
            with closing(sqlite3.connect(file)) as plain:
                plain.executescript(f"PRAGMA foreign_keys = OFF; {script};")

        yield Change(script, apply)


def page_changes(draw: random.Random) -> Iterator[Change]:
    """Changes of bytes and pages of the file, without end."""
    while True:
        kind, place, noise = draw.choice("bbbzrs"), draw.random(), draw.randbytes(64)

        def apply(file: Path, kind: str = kind, place: float = place, noise: bytes = noise) -> None:
            data = bytearray(file.read_bytes())
            at = int(place * len(data))
            page = at - at % 4096
            if kind == "b":
                data[at] ^= noise[0] or 1
            elif kind == "z":
                data[page : page + 4096] = bytes(4096)
            elif kind == "r":
                data[at : at + 64] = noise[: len(data) - at]
            else:
                other = (page + 4096 * (1 + noise[0])) % len(data)
                data[page : page + 4096] = data[other : other + 4096]
            file.write_bytes(data)

        yield Change(f"{kind} at {place:.6f}", apply)
