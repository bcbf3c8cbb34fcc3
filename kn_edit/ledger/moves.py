"""The events of the journal that move a branch, or make one, and those that decide what is listed.

Who lists a part of the journal far down need not read all that is above it. Few events there decide
which branches and versions are waited for: `decisive` gives these.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func

from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.events import NO_REF
from kn_edit.ledger.parts import parts
from kn_edit.ledger.stored import Row
from kn_edit.ledger.tables import events

START, SWITCH, DELETE, TAG = "branch", "switch", "delete", "tag"  # kinds of events that move none
JOINS = ("compose", "merge")  # kinds of events whose parents are versions of other branches, too
REMOTE = "@"  # in the name of what was pulled, and in no name of a branch
MOVES = (events.c.ref != NO_REF) & events.c.kind.not_in((SWITCH, DELETE, TAG))
_FROM = re.compile(r"branch \S+ from (\S+)")
_PAGE = 32  # events that are read at once, at first

Target = tuple[str, str]  # what is waited for: ("ref", its name) or ("version", its id)


@dataclass(frozen=True)
class Event:
    """What an event says of the ref that it moved."""

    seq: int
    created: str
    kind: str
    ref: str
    version: str
    parents: tuple[str, ...]
    edit: str | None
    message: str

    @property
    def origin(self) -> str | None:
        """The branch that a new branch was made from; None for one that was made at a version, and
        for any other event."""
        start = _FROM.fullmatch(self.message) if self.kind == START else None
        return start and start[1]

    @property
    def keys(self) -> tuple[Target, ...]:
        """Who waits for one of these waits for this event."""
        ref = ("ref", self.ref)
        own_only = self.kind == START or REMOTE in self.ref
        return (ref,) if own_only else (ref, ("version", self.version))


def event_of(row: Row) -> Event:
    """A row of `events`. Raises DamagedRow."""
    return Event(
        seq=row.number("seq"),
        created=row.text("created"),
        kind=row.text("kind"),
        ref=row.text("ref"),
        version=row.text("version_id"),
        parents=row.texts("parents"),
        edit=row.text_or_none("edit_id"),
        message=row.text("message"),
    )


def moves_below(connection: Connection, seq: int | None = None) -> Iterator[Event]:
    """The events that moved a ref, or made a branch, newest first. seq: only those before it"""
    size = _PAGE
    while True:
        query = _newest(size)
        if seq is not None:
            query = query.where(events.c.seq < seq)
        page = _events(connection, query)
        yield from page
        if len(page) < size:
            return
        seq, size = page[-1].seq, 4 * size


def decisive(
    connection: Connection, seq: int, versions: Collection[str], *, merges: bool
) -> list[Event]:
    """Of the moves from one on, those that decide who waits for what before it, newest first.

    A move of a branch that is listed changes nothing of that, but for the first one of a branch,
    or of its origin. versions: whose moves are all wanted; merges: whether what was merged is
    waited for, too
    """
    above = select(events).where(MOVES & (events.c.seq >= seq))
    turns = (START, *JOINS) if merges else (START,)
    turning = _events(connection, above.where(events.c.kind.in_(turns)))
    waited = {*versions}
    for event in turning:
        waited |= {event.version} if event.kind == START else {*event.parents}
    queries = [*parts(above, events.c.version_id, waited)]
    newest = select(events.c.ref, func.max(events.c.seq).label("number"))
    rows = connection.execute(newest.where(MOVES & (events.c.seq >= seq)).group_by(events.c.ref))
    numbers = [row.number for row in rows]
    queries += parts(above, events.c.seq, numbers)
    queries += [
        _newest(1).where((events.c.ref == start.origin) & (events.c.seq.between(seq, start.seq)))
        for start in turning
        if start.origin is not None
    ]
    found = {event.seq: event for event in turning}
    for query in queries:
        found |= {event.seq: event for event in _events(connection, query)}
    return [found[number] for number in sorted(found, reverse=True)]


def arrival(connection: Connection, target: Target, seq: int | None = None) -> Event | None:
    """The event that somebody who waits for a target comes to. seq: only those before it"""
    kind, name = target
    query = _newest(1)
    if seq is not None:
        query = query.where(events.c.seq < seq)
    if kind == "version":
        branches_only = ~events.c.ref.contains(REMOTE) & (events.c.kind != START)
        query = query.where(branches_only & (events.c.version_id == name))
    else:
        query = query.where(events.c.ref == name)
    event = next(iter(_events(connection, query)), None)
    if event is not None and event.origin is not None:
        return arrival(connection, ("ref", event.origin), event.seq)
    return event


def _newest(most: int) -> Select[Any]:
    return select(events).where(MOVES).order_by(events.c.seq.desc()).limit(most)


def _events(connection: Connection, query: Select[Any]) -> list[Event]:
    return [event_of(Row("events", row)) for row in connection.execute(query).mappings()]
