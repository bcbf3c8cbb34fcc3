"""Which event recorded which rows, and the digest of them that its `payload` holds.

Every row that a user can read belongs to one event: its own column `seq` says so, or the edit or
version that it is about. So a row that was changed, removed, renumbered or invented shows: the
digest of some event comes out otherwise, or the row names an event that never was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from kn_edit.canonical import digest, digest_of
from kn_edit.errors import phrase
from kn_edit.ledger import tables
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.parts import AT_ONCE, chunks
from kn_edit.ledger.stored import DamagedRow

NOTHING = digest(b"")  # the digest of an event that recorded no row
FIRST_EVENT = "1"
_FEW = 8  # events that are looked up one by one, however few there are
_ALL_AT_ONCE = 8  # events of which all are read in the time that one is looked up in
OWN = "t.seq"
OF_EDIT = ("o.seq", "LEFT JOIN edits o ON o.workspace_id = t.workspace_id AND o.id = t.edit_id")
OF_VERSION = (
    "o.seq",
    "LEFT JOIN versions o ON o.workspace_id = t.workspace_id AND o.id = t.version_id",
)


@dataclass(frozen=True)
class Covered:
    """A table whose rows are covered. owner: SQL of the event that recorded a row `t`.

    only: SQL of the rows that are; the others say nothing new, and are compared
    later: a column that came after schema 0003, at the end; where it is NULL, a row is hashed as
    if there were no such column, as it was before.
    derived: columns that are made of the others, and compared with them
    """

    table: Table
    owner: str = OWN
    join: str = ""
    later: str | None = None
    only: str = "1 = 1"
    derived: tuple[str, ...] = ()

    def query(self, condition: str) -> str:
        """SQL of (owner, every covered column as it is stored), in the order of the primary key.

        The workspace is no part of it: a ledger has the same digests in whichever it lies.
        """
        left_out = (tables.WORKSPACE_ID, *self.derived)
        names = (column.name for column in self.table.columns if column.name not in left_out)
        columns = ", ".join(f"t.{name}" for name in names)
        order = ", ".join(f"t.{column.name}" for column in self.table.primary_key)
        return (
            f"SELECT {self.owner}, {columns} FROM {self.table.name} t {self.join} "
            f"WHERE t.{tables.WORKSPACE_ID} = :workspace AND {condition} AND {self.only} "
            f"ORDER BY {order}"
        )

    def line(self, values: Any) -> bytes:
        """What is hashed of a row, as `query` gives it without the event."""
        covered = values[:-1] if self.later and values[-1] is None else values
        return _line(self.table.name, covered)


# What a payload is made of: the tables in this order, each with all columns that it has in schema
# 0003. Whoever adds a column or a table keeps this rule for the events that have it. A table that
# came later (edit_layers, 0005; edit_facts, 0006) stands at the end, and adds nothing to events
# without its rows. The first fact of an edit is covered with its row of `edits`.
COVERED = (
    Covered(tables.base_models, FIRST_EVENT),
    Covered(tables.base_places),
    Covered(tables.facts),
    Covered(tables.edits),
    Covered(tables.attributions, *OF_EDIT),
    Covered(tables.edit_slots, *OF_EDIT),
    Covered(tables.versions, later="partial", derived=("depth", "jump_id")),
    Covered(tables.version_changes, *OF_VERSION),
    Covered(tables.version_tensors, *OF_VERSION),
    Covered(tables.evaluations),
    Covered(tables.publications),
    Covered(tables.edit_layers, *OF_EDIT),
    Covered(tables.edit_facts, *OF_EDIT, only="(t.position <> 0 OR t.position IS NULL)"),
)


def payload(connection: Connection, seq: int) -> str:
    """The digest of the rows that an event recorded, as they stand in the transaction."""
    return digest_of(
        covered.line(row[1:])
        for covered in COVERED
        for row in connection.stored(covered.query(f"{covered.owner} = :seq"), seq=seq)
    )


def snapshot(connection: Connection) -> str:
    """The digest of all rows that there are: what an upgrade puts under the chain."""
    return digest_of(line for _table, _event, line in _lines(connection))


def payloads(connection: Connection, upgraded: int | None) -> tuple[dict[int, str], set[str]]:
    """The digest of each event's rows, and the tables with rows that name no event, in one pass.

    upgraded: the event that stands for all rows from before it, if there is one
    """
    digests: dict[int, Any] = {}
    homeless: set[str] = set()
    for name, owner, line in _lines(connection):
        event = upgraded if upgraded and _before(owner, upgraded) else owner
        if isinstance(event, int):
            digests.setdefault(event, hashlib.sha256()).update(line)
        else:
            homeless.add(name)
    return {event: digest.hexdigest() for event, digest in digests.items()}, homeless


def require(connection: Connection, seqs: Sequence[int]) -> None:
    """Raise DamagedRow where what one of these events recorded is not what its payload says."""
    upgraded = _first_covering(connection)
    recording = {max(seq, upgraded) for seq in seqs}
    expected = _payloads_of(connection, recording)
    if _are_few(connection, recording) and upgraded not in recording - {1}:
        digests = {seq: payload(connection, seq) for seq in recording}
    else:
        digests, _ = payloads(connection, upgraded if upgraded > 1 else None)
    for seq in sorted(recording):
        if digests.get(seq) != expected.get(seq):
            raise DamagedRow(phrase(f"what event {seq} recorded was changed, see `{{verify}}`"))


def _first_covering(connection: Connection) -> int:
    """The first event with a payload: 1, or that of the upgrade which brought payloads; else 1."""
    events = tables.events
    query = select(events.c.seq).where(events.c.payload.is_not(None)).order_by(events.c.seq)
    return int(connection.execute(query.limit(1)).scalar() or 1)


def _payloads_of(connection: Connection, seqs: Collection[int]) -> dict[int, str | None]:
    """The payloads that these events name."""
    events = tables.events
    query = select(events.c.seq, events.c.payload)
    payload_by_seq: dict[int, str | None] = {}
    for part in chunks(sorted(seqs), AT_ONCE):
        for row in connection.execute(query.where(events.c.seq.in_(part))):
            payload_by_seq[row.seq] = row.payload
    return payload_by_seq


def _are_few(connection: Connection, seqs: Collection[int]) -> bool:
    """Whether the rows of these events are looked up sooner than all rows are read."""
    events = tables.events
    query = select(events.c.seq).order_by(events.c.seq.desc()).limit(1)
    last = connection.execute(query).scalar() or 0
    return len(seqs) <= max(_FEW, last // _ALL_AT_ONCE)


def _lines(connection: Connection) -> Iterator[tuple[str, object, bytes]]:
    """Every covered row: its table, the event that it names, what is hashed of it."""
    for covered in COVERED:
        for row in connection.stored(covered.query("1 = 1")):
            yield covered.table.name, row[0], covered.line(row[1:])


def _before(owner: object, upgraded: int) -> bool:
    return owner is None or (isinstance(owner, int) and owner <= upgraded)


def _line(table: str, values: Any) -> bytes:
    row = json.dumps([table, *values], separators=(",", ":"), default=_stored)
    return f"{row}\n".encode()


def _stored(value: object) -> dict[str, str]:
    """Bytes in a place for text: never written by kn-edit, and never the same as any text."""
    return {"bytes": bytes(value).hex() if isinstance(value, (bytes, memoryview)) else repr(value)}
