"""The event chain: an append-only journal in which every row carries the hash of the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from kn_edit.ledger.history import canonical
from kn_edit.ledger.records import BRANCH, Problem
from kn_edit.ledger.tables import events, refs

FIRST = "0" * 64
COVERED = ("seq", "created", "kind", "ref", "version_id", "parents", "edit_id", "message")


def event_hash(previous: str, row: Mapping[str, Any]) -> str:
    """sha256 of the hash before and of the canonical JSON of the row."""
    covered = canonical({column: row[column] for column in COVERED})
    return hashlib.sha256(previous.encode() + covered).hexdigest()


def next_seq(connection: Connection) -> int:
    """The number that the next event will have; the first is 1."""
    return int(connection.execute(select(func.max(events.c.seq))).scalar() or 0) + 1


def append(
    connection: Connection,
    *,
    created: str,
    kind: str,
    ref: str,
    version: str,
    parents: Iterable[str] = (),
    edit: str | None = None,
    message: str = "",
) -> int:
    """Add an event at the end of the chain; its number."""
    seq = next_seq(connection)
    before = select(events.c.hash).where(events.c.seq == seq - 1)
    previous = connection.execute(before).scalar() or FIRST
    row: dict[str, Any] = {
        "seq": seq,
        "created": created,
        "kind": kind,
        "ref": ref,
        "version_id": version,
        "parents": list(parents),
        "edit_id": edit,
        "message": message,
    }
    row |= {"previous": previous, "hash": event_hash(previous, row)}
    connection.execute(insert(events).values(row))
    return seq


def problems(connection: Connection) -> list[Problem]:
    """Breaks in the chain, and refs that are not where the last event put them."""
    found: list[Problem] = []
    previous = FIRST
    placed: dict[str, str] = {}
    for number, row in enumerate(connection.execute(select(events).order_by(events.c.seq)), 1):
        facts = dict(row._mapping)
        if row.seq != number:
            found.append(Problem("events", str(row.seq), f"event {number} is missing"))
            break
        if row.previous != previous or row.hash != event_hash(previous, facts):
            found.append(Problem("events", str(row.seq), "the event was changed after it happened"))
            break
        previous = row.hash
        placed[row.ref] = row.version_id
    stored = {row.name: row.version_id for row in connection.execute(select(refs))}
    if not found:
        found += [
            Problem("refs", name, "the ref is not where the last event about it put it")
            for name in sorted(placed.keys() | stored.keys() | {BRANCH})
            if name not in placed or placed[name] != stored.get(name)
        ]
    return found
