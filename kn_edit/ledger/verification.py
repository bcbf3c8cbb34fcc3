"""What is wrong with a ledger: the file, the chain of events, the rows under it, the deltas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from kn_edit.errors import KnEditError
from kn_edit.ledger import coverage, reading
from kn_edit.ledger.blobs import Blobs
from kn_edit.ledger.database import Database
from kn_edit.ledger.events import FIRST, NO_REF, UPGRADE, event_hash
from kn_edit.ledger.history import version_id
from kn_edit.ledger.records import BRANCH, Problem
from kn_edit.ledger.tables import edits, events, refs, versions


@dataclass
class Chain:
    """The journal as far as its hashes hold."""

    hashes: list[str] = field(default_factory=list)
    payloads: dict[int, str] = field(default_factory=dict)
    placed: dict[str, tuple[str, str]] = field(default_factory=dict)  # ref: its kind, its version
    upgraded: int | None = None  # the event that stands for all rows from before schema 0003
    problems: list[Problem] = field(default_factory=list)


def problems(database: Database, blobs: Blobs) -> list[Problem]:
    """What is wrong: the file, the chain of events, what it covers, recipes, deltas, slots."""
    found = [Problem("database", str(database.path), fault) for fault in database.faults()]
    with database.reading() as connection:
        chain = walk(connection)
        found += chain.problems
        found += _misplaced(connection, chain)
        found += _uncovered(connection, chain)
        found += _other_recipes(connection)
        for edit in connection.execute(select(edits.c.id).order_by(edits.c.seq)).scalars().all():
            found += _edit_problems(connection, blobs, edit)
    return found


def walk(connection: Connection) -> Chain:
    """Follow the journal from its first event, up to the first break."""
    chain = Chain()
    previous = FIRST
    for number, row in enumerate(connection.execute(select(events).order_by(events.c.seq)), 1):
        fault = _break(number, previous, dict(row._mapping), chain)
        if fault is not None:
            chain.problems.append(Problem("events", str(row.seq), fault))
            break
        previous = row.hash
        chain.hashes.append(row.hash)
        if row.payload is not None:
            chain.payloads[row.seq] = row.payload
        if row.kind == UPGRADE and chain.upgraded is None and len(chain.payloads) == 1:
            chain.upgraded = row.seq
        if row.ref != NO_REF:
            chain.placed[row.ref] = (_kind(row.ref, row.kind), row.version_id)
    return chain


def _break(number: int, previous: str, row: Mapping[str, Any], chain: Chain) -> str | None:
    """Why an event is not the next one of the chain."""
    if row["seq"] != number:
        return f"event {number} is missing"
    if row["previous"] != previous or row["hash"] != event_hash(previous, row):
        return "the event was changed after it happened"
    if row["payload"] is None and chain.payloads:
        return "the event covers nothing, and those before it do"
    if row["payload"] is not None and not chain.payloads and number > 1 and row["kind"] != UPGRADE:
        return "the events before it cover nothing"
    return None


def _kind(ref: str, event: str) -> str:
    """The kind of a ref that an event placed."""
    if ref == BRANCH:
        return "branch"
    return "tag" if event == "tag" else "remote"


def _misplaced(connection: Connection, chain: Chain) -> list[Problem]:
    """Refs that are not where, or what, the last event about them made them."""
    if chain.problems:
        return []
    stored = {row.name: (row.kind, row.version_id) for row in connection.execute(select(refs))}
    return [
        Problem("refs", name, "the ref is not where the last event about it put it")
        for name in sorted(chain.placed.keys() | stored.keys() | {BRANCH})
        if name not in chain.placed or chain.placed[name] != stored.get(name)
    ]


def _uncovered(connection: Connection, chain: Chain) -> list[Problem]:
    """Rows that are not those that the events recorded."""
    if chain.problems:
        return []
    digests, homeless = coverage.payloads(connection, chain.upgraded)
    found = [
        Problem("rows", table, "a row names no event that recorded it")
        for table in sorted(homeless)
    ]
    for seq in sorted(digests.keys() | chain.payloads.keys()):
        if seq not in chain.payloads:
            found.append(Problem("rows", f"event {seq}", "rows name an event that is not there"))
        elif digests.get(seq, coverage.NOTHING) != chain.payloads[seq]:
            message = "what it recorded was changed, removed or added to"
            found.append(Problem("rows", f"event {seq}", message))
    return found


def _other_recipes(connection: Connection) -> Iterator[Problem]:
    """Versions whose edits are not those that their id is the digest of."""
    bases = {row.id: row.base for row in connection.execute(select(versions))}
    for id_, recipe in reading.each_recipe(connection):
        if id_ != version_id(bases.pop(id_), recipe):
            yield Problem("version", id_, "its edits are not those of its id")
    for id_ in sorted(bases):
        yield Problem("version", id_, "the version that it is stored as a change of is not there")


def _edit_problems(connection: Connection, blobs: Blobs, edit: str) -> list[Problem]:
    from kn_edit.edits.delta import Delta

    try:
        delta = Delta.from_bytes(blobs.get(edit), edit)
    except KnEditError as error:
        return [Problem("delta", edit, str(error))]
    if reading.modes(connection, edit) != delta.modes():
        return [Problem("slots", edit, "the table of slots does not say what the delta does")]
    return []
