"""The event chain: an append-only journal in which every row carries the hash of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kn_edit.canonical import canonical_json, digest
from kn_edit.ledger import coverage
from kn_edit.ledger.connection import Connection, next_number, select
from kn_edit.ledger.records import BRANCH, Ref
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import events, refs

FIRST = "0" * 64
NO_REF = ""
UPGRADE = "upgrade"
CURRENT = "current"  # the kind of the current branch in `refs`; before any switch it is `main`
COVERED = ("seq", "created", "kind", "ref", "version_id", "parents", "edit_id", "message")


@dataclass(frozen=True)
class NewEvent:
    """An event to append to the chain: what was done to a ref, when, and where that is now.

    payload: where it is not the digest of the rows that name this event
    """

    created: str
    kind: str
    ref: str
    version: str
    parents: tuple[str, ...] = ()
    edit: str | None = None
    message: str = ""
    payload: str | None = None


def event_hash(previous: str, row: Mapping[str, Any]) -> str:
    """sha256 of the hash before and of the canonical JSON of the row.

    Events from before schema 0003 have no payload, and their hash does not name it.
    """
    covered = COVERED if row.get("payload") is None else (*COVERED, "payload")
    text = canonical_json({column: row[column] for column in covered})
    return digest(previous.encode() + text)


def next_seq(connection: Connection) -> int:
    """The number that the next event will have; the first is 1. Raises DamagedRow."""
    return next_number(connection, events.c.seq)


def last(connection: Connection) -> tuple[int, str] | None:
    """Number and hash of the newest event: the end of the chain."""
    query = select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else (row.seq, row.hash)


def is_there(connection: Connection, event: tuple[int, str] | None) -> bool:
    """Whether an event with this number and hash stands in the chain."""
    if event is None:
        return False
    query = select(events.c.hash).where(events.c.seq == event[0])
    return bool(connection.execute(query).scalar() == event[1])


def append(connection: Connection, event: NewEvent) -> int:
    """Add an event at the end of the chain, after the rows that it records; its number.

    Nothing else adds any, and the lock of the chain is taken first: so it has no fork.
    """
    connection.lock_chain()
    seq = next_seq(connection)
    before = select(events.c.hash).where(events.c.seq == seq - 1)
    previous = connection.execute(before).scalar() or FIRST
    if not isinstance(previous, str):
        raise DamagedRow(f"event {seq - 1} has no hash")
    row: dict[str, Any] = {
        "seq": seq,
        "created": event.created,
        "kind": event.kind,
        "ref": event.ref,
        "version_id": event.version,
        "parents": list(event.parents),
        "edit_id": event.edit,
        "message": event.message,
        "payload": event.payload or coverage.payload(connection, seq),
    }
    row |= {"previous": previous, "hash": event_hash(previous, row)}
    connection.insert(events, row)
    connection.last_event = seq, row["hash"]
    return seq


def note(
    connection: Connection, *, created: str, kind: str, message: str, payload: str | None = None
) -> int:
    """Add an event that moves no ref: it has no name of one, and the version of the branch.

    payload: where it is not the digest of the rows that name this event
    """
    return append(
        connection,
        NewEvent(
            created=created,
            kind=kind,
            ref=NO_REF,
            version=head_id(connection),
            message=message,
            payload=payload,
        ),
    )


def note_upgrade(connection: Connection, *, created: str, schema: str, to: str) -> int:
    """Note the upgrade of a schema. Where older events cover no rows, this one covers them all."""
    covered = select(events.c.seq).where(events.c.payload.is_not(None)).limit(1)
    covers = connection.execute(covered).first() is None
    return note(
        connection,
        created=created,
        kind=UPGRADE,
        message=f"schema {schema} to {to}",
        payload=coverage.snapshot(connection) if covers else None,
    )


def current_branch(connection: Connection) -> Ref:
    """The branch that edits go to. Raises DamagedRow."""
    query = select(refs).where((refs.c.kind == CURRENT) | (refs.c.name == BRANCH))
    rows = [Row("refs", row) for row in connection.execute(query).mappings()]
    chosen = [row for row in rows if row.text("kind") == CURRENT] or rows
    if len(chosen) != 1:
        raise DamagedRow("two branches are current" if chosen else f"the ref {BRANCH} is not there")
    return Ref(chosen[0].text("name"), "branch", chosen[0].text("version_id"), current=True)


def head_id(connection: Connection) -> str:
    """The version that the current branch points at. Raises DamagedRow."""
    return current_branch(connection).version
