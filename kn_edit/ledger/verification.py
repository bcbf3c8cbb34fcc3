"""What is wrong with a ledger: the file, the chain of events, the rows under it, the deltas.

Nothing that is read here is believed. A part that cannot be read at all is a problem of its own,
and the others are looked at all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kn_edit.canonical import is_digest
from kn_edit.errors import BadDigest, KnEditError, LedgerUnusable, phrase, prefixed
from kn_edit.ledger import (
    ancestry,
    changed,
    coverage,
    journal,
    lists,
    reading,
    set_members,
    written,
)
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.database import NO_TEXT, Database
from kn_edit.ledger.events import CURRENT, FIRST, NO_REF, UPGRADE, event_hash
from kn_edit.ledger.records import BRANCH, Problem, Report
from kn_edit.ledger.stored import DamagedRow, stored_json
from kn_edit.ledger.strays import strays
from kn_edit.ledger.tables import edits, events, refs, versions
from kn_edit.ledger.writes import Writes
from kn_edit.safetext import escaped, shortened

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta

_MOST_REASON = 200  # letters of what the database says
_RAW_EVENTS = text(
    f"SELECT {', '.join(column.name for column in events.columns)} FROM events "
    "WHERE events.workspace_id = :workspace ORDER BY seq"
)


@dataclass
class Chain:
    """The journal as far as its hashes hold."""

    hashes: list[str] = field(default_factory=list)
    payloads: dict[int, str] = field(default_factory=dict)
    placed: dict[str, tuple[str, str]] = field(default_factory=dict)  # ref: its kind, its version
    upgraded: int | None = None  # the event that stands for all rows from before schema 0003
    sound: bool = False  # up to its last event


def report(
    database: Database, blobs: BlobStore, since: str | None, delta: Callable[[str], Delta]
) -> Report:
    """Everything that is wrong with a ledger.

    since: a digest that the chain once ended with; delta: reads an edit's file and compares it
    Raises BadDigest for what is no digest.
    """
    if since is not None and not is_digest(since):
        raise BadDigest(since)
    try:
        with database.reading() as connection:
            chain, problems, ids = _examine(connection, database, blobs, since, delta)
    except KnEditError as error:
        return Report((Problem("database", str(database.place), error.phrase()),), (), None)
    notes = list(_notes(chain))

    def needed(digests: list[str]) -> set[str]:
        with database.reading() as connection:
            return reading.needed_anywhere(connection, digests)

    try:
        foreign, unused = strays(blobs, ids, needed)
    except LedgerUnusable as error:
        problems.append(Problem("files", blobs.place, error.reason))
    except KnEditError as error:
        problems.append(Problem("files", blobs.place, error.phrase()))
    else:
        problems += [Problem("files", place, "it is no delta of any edit") for place in foreign]
        if unused:
            note = f"{unused} deltas in {blobs.place} belong to no edit; "
            notes.append(prefixed(note, phrase("`{gc}` tidies")))
    return Report(tuple(problems), tuple(notes), chain.hashes[-1] if chain.sound else None)


def _examine(
    connection: Connection,
    database: Database,
    blobs: BlobStore,
    since: str | None,
    delta: Callable[[str], Delta],
) -> tuple[Chain, list[Problem], set[str]]:
    """The journal, everything that is wrong in the file, the ids of its edits."""
    chain, all_problems, ids = Chain(), list[Problem](), set[str]()
    place = str(database.place)
    readable = _Readable(database.dialect.driver_errors)

    def look(part: str, problems: Callable[[], Iterable[Problem]]) -> None:
        all_problems.extend(readable.problems(part, place, problems))

    look("database", lambda: _faults(connection, database))
    look("events", lambda: walk(connection, chain))
    look("events", lambda: _since(chain, since))
    look("refs", lambda: _misplaced(connection, chain))
    look("rows", lambda: _uncovered(connection, chain))
    look("rows", lambda: _other_facts(connection))
    for read in (reading.base, reading.all_refs, _moves, reading.all_publications):
        look("rows", partial(_unreadable, connection, read))
    look("version", lambda: _other_recipes(connection))
    look("version", lambda: _other_spans(connection))
    look("version", lambda: _misplaced_versions(connection))
    look("delta", lambda: _other_deltas(connection, delta, ids, readable))
    look("files", lambda: _other_members(connection, blobs))
    return chain, all_problems, ids


@dataclass(frozen=True)
class _Readable:
    """Looks at parts of a ledger of which some may be unreadable."""

    driver_errors: tuple[type[Exception], ...]

    def problems(
        self, part: str, subject: str, problems: Callable[[], Iterable[Problem]]
    ) -> Iterator[Problem]:
        """The problems of one part, or the one that it cannot be read."""
        driver_errors: tuple[type[Exception], ...] = (DBAPIError, *self.driver_errors)
        try:
            yield from problems()
        except KnEditError as error:
            yield Problem(part, subject, error.phrase())
        except DamagedRow as error:
            yield Problem(part, subject, error.reason)
        except UnicodeError:
            yield Problem(part, shortened(escaped(subject), _MOST_REASON), NO_TEXT)
        except driver_errors as error:
            reason = str(error.orig if isinstance(error, DBAPIError) else error)
            yield Problem(part, subject, shortened(escaped(reason), _MOST_REASON))


def _faults(connection: Connection, database: Database) -> Iterator[Problem]:
    """What the database's own checks say, and which tables are not those of a ledger."""
    dialect = database.dialect
    for fault in (*dialect.faults(connection.raw), *dialect.shape_faults(connection.raw)):
        yield Problem("database", str(database.place), shortened(escaped(fault), _MOST_REASON))


def walk(connection: Connection, chain: Chain) -> Iterator[Problem]:
    """Follow the journal from its first event, up to the first break."""
    previous = FIRST
    for number, raw in enumerate(connection.execute(_RAW_EVENTS).mappings(), 1):
        row = dict(raw)
        fault = _break(number, previous, row, chain)
        if fault is not None:
            yield Problem("events", str(row["seq"]), fault)
            return
        previous = row["hash"]
        chain.hashes.append(previous)
        if row["payload"] is not None:
            chain.payloads[number] = row["payload"]
        if row["kind"] == UPGRADE and chain.upgraded is None and len(chain.payloads) == 1:
            chain.upgraded = number
        if row["ref"] != NO_REF:
            _place(chain, row["ref"], row["kind"], row["version_id"])
    chain.sound = bool(chain.hashes)
    if not chain.sound:
        yield Problem("events", "1", "event 1 is missing")


def _break(number: int, previous: str, row: dict[str, Any], chain: Chain) -> str | None:
    """Why an event is not the next one of the chain; its parents are made a list."""
    if row["seq"] != number:
        return f"event {number} is missing"
    if row["previous"] != previous or not _is_genuine(previous, row):
        return "the event was changed after it happened"
    if row["payload"] is None and chain.payloads:
        return "the event covers nothing, and those before it do"
    if row["payload"] is not None and not chain.payloads and number > 1 and row["kind"] != UPGRADE:
        return "the events before it cover nothing"
    return None


def _is_genuine(previous: str, row: dict[str, Any]) -> bool:
    """Whether the hash of an event is that of its columns."""
    if not all(value is None or isinstance(value, (str, int)) for value in row.values()):
        return False
    try:
        row["parents"] = stored_json(row["parents"])
    except DamagedRow:
        return False
    return bool(row["hash"] == event_hash(previous, row))


def _place(chain: Chain, ref: str, event: str, version: str) -> None:
    """Put a ref where an event put it, or take it away."""
    former, _ = chain.placed.get(ref, (None, None))
    branch = former in ("branch", CURRENT)
    if event == journal.DELETE:
        chain.placed.pop(ref, None)
    elif event == journal.SWITCH:
        for name, (kind, position) in chain.placed.items():
            if kind == CURRENT:
                chain.placed[name] = ("branch", position)
        chain.placed[ref] = (CURRENT, version)
    elif event == journal.TAG:
        chain.placed[ref] = ("tag", version)
    elif branch and former is not None:
        chain.placed[ref] = (former, version)
    else:
        new = event == journal.START or ref == BRANCH
        chain.placed[ref] = ("branch" if new else "remote", version)


def _since(chain: Chain, since: str | None) -> Iterator[Problem]:
    """Whether the journal still holds what it once ended with."""
    if since is not None and since not in chain.hashes:
        message = "the journal never was at this digest: events were cut off or exchanged"
        yield Problem("events", since, message)


def _misplaced(connection: Connection, chain: Chain) -> Iterator[Problem]:
    """Refs that are not where, or what, the last event about them made them."""
    if not chain.sound:
        return
    stored = {row.name: (row.kind, row.version_id) for row in connection.execute(select(refs))}
    for name in sorted(chain.placed.keys() | stored.keys(), key=str):
        if name not in chain.placed or chain.placed[name] != stored.get(name):
            yield Problem("refs", str(name), "the ref is not where the last event about it put it")


def _uncovered(connection: Connection, chain: Chain) -> Iterator[Problem]:
    """Rows that are not those that the events recorded."""
    digests, homeless = coverage.payloads(connection, chain.upgraded)
    for table in sorted(homeless):
        yield Problem("rows", table, "a row names no event that recorded it")
    for seq in sorted(digests.keys() | chain.payloads.keys()):
        if seq in chain.payloads:
            if digests.get(seq, coverage.NOTHING) != chain.payloads[seq]:
                message = "what it recorded was changed, removed or added to"
                yield Problem("rows", f"event {seq}", message)
        elif chain.sound:  # else it may be one of those behind the break
            yield Problem("rows", f"event {seq}", "rows name an event that is not there")


def _other_facts(connection: Connection) -> Iterator[Problem]:
    """Edits of which two tables do not name the same first fact."""
    for edit in changed.misplaced(connection):
        subject = shortened(escaped(edit), _MOST_REASON)
        yield Problem("rows", subject, "the table of facts does not say what the edit does")


def _unreadable(connection: Connection, read: Callable[[Connection], object]) -> Iterator[Problem]:
    """Rows that no command can show: DamagedRow, also where an older kn-edit left them so."""
    read(connection)
    yield from ()


def _moves(connection: Connection) -> object:
    """All moves of branches; the lists of their versions are looked at by themselves."""
    return journal.graph(connection, partial(reading.recipes_of, connection))


def _other_recipes(connection: Connection) -> Iterator[Problem]:
    """Versions whose edits are not those that their id is the digest of."""
    rows = connection.execute(select(versions.c.id, versions.c.base))
    bases: dict[object, object] = {row.id: row.base for row in rows}
    for id_, recipe in lists.each_recipe(connection):
        base = bases.pop(id_, None)
        if recipe is None or not isinstance(base, str) or id_ != recipe.version_id(base):
            yield Problem("version", str(id_), "its edits are not those of its id")
    for version in sorted(bases, key=str):
        message = "the version that it is stored as a change of is not there"
        yield Problem("version", str(version), message)


def _other_spans(connection: Connection) -> Iterator[Problem]:
    """Spans that are not made of the changes of their versions."""
    for id_, message in lists.other_spans(connection):
        yield Problem("version", str(id_), message)


def _misplaced_versions(connection: Connection) -> Iterator[Problem]:
    """Versions that are not where their parents put them."""
    for id_ in ancestry.misplaced(connection):
        yield Problem("version", str(id_), "its depth or its jump is not what its parents make it")


def _other_deltas(
    connection: Connection, delta: Callable[[str], Delta], ids: set[str], readable: _Readable
) -> Iterator[Problem]:
    """Edits whose delta is not there, not sound, or does not write what the tables say.

    ids: takes the ids of all edits
    """
    for edit in connection.execute(select(edits.c.id).order_by(edits.c.seq)).scalars().all():
        ids.add(str(edit))
        problems = partial(_edit_problems, connection, delta, edit)
        yield from readable.problems("delta", str(edit), problems)


def _edit_problems(
    connection: Connection, delta: Callable[[str], Delta], edit: object
) -> Iterator[Problem]:
    if not isinstance(edit, str) or not is_digest(edit):
        yield Problem("edits", shortened(escaped(str(edit)), _MOST_REASON), "it has no id")
        return
    if written.of_edit(connection, edit) != Writes.of(delta(edit)):
        yield Problem("slots", edit, "the tables of slots do not say what the delta does")


def _other_members(connection: Connection, blobs: BlobStore) -> Iterator[Problem]:
    """Files of members of joint edits that are not what their ids promise.

    One that is not there is no problem: it is computed again where it is needed.
    """
    for member, message in set_members.unsound(blobs, set_members.named(connection)):
        yield Problem("files", member, message)


def _notes(chain: Chain) -> Iterator[str]:
    if chain.upgraded is not None:
        yield (
            f"the first {chain.upgraded - 1} events were recorded by an older kn-edit: what they "
            f"recorded beside the moves is proven since event {chain.upgraded} only"
        )
