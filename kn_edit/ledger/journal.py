"""The journal of branches: which moves led to where a branch is, newest first.

Events are read from the end, a page at a time, and followed as long as somebody waits for them: a
branch waits for the event before on it, a branch that was made waits for what it was made from, and
a merge waits for the versions that it took in. So what is read is about what is listed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice

from kn_edit.canonical import short
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.events import NO_REF
from kn_edit.ledger.parts import parts
from kn_edit.ledger.reading import all_refs
from kn_edit.ledger.recipes import LateRecipe, Recipe
from kn_edit.ledger.records import Ref, Step
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import edits as recorded_edits
from kn_edit.ledger.tables import events, versions

START, SWITCH, DELETE, TAG = "branch", "switch", "delete", "tag"  # kinds of events that move none
REVERT = "revert"
JOINS = ("compose", "merge")  # kinds of events whose parents are versions of other branches, too
_REMOTE = "@"  # in the name of what was pulled, and in no name of a branch
_FROM = re.compile(r"branch \S+ from (\S+)")
_PAGE = 32  # events that are read at once, at first
_MOVES = (events.c.ref != NO_REF) & events.c.kind.not_in((SWITCH, DELETE, TAG))
_BRANCHES = _MOVES & ~events.c.ref.contains(_REMOTE)

ListsOf = Callable[[Collection[str]], Mapping[str, Recipe]]  # of versions
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


@dataclass(eq=False)
class Node:
    """An event that is listed; the branches that are there; those that it came after, by place."""

    event: Event
    branches: tuple[str, ...] = ()
    before: dict[int, Node] = field(default_factory=dict)

    @property
    def after(self) -> tuple[int, ...]:
        places = sorted(self.before)
        return tuple(dict.fromkeys(self.before[place].event.seq for place in places))


@dataclass
class _Waiting:
    """Who waits for an event: nodes, each with the place of it there, and names of branches."""

    nodes: list[tuple[Node, int]] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)


def started(branch: str) -> str:
    """How the event of a new branch says which branch it was made from."""
    return f"from {branch}"


def made_at(version: str) -> str:
    """How the event of a new branch says at which version it was made."""
    return f"at {short(version)}"


def steps(
    connection: Connection, lists_of: ListsOf, branch: str, most: int | None = None
) -> list[Step]:
    """The moves that led to a branch, newest first, down to the root version, or only so many.

    lists_of: reads the edits of versions, once somebody looks at those of a step
    """
    nodes = list(islice(_walk(connection, [branch], merges=False), most))
    names: dict[str, list[str]] = defaultdict(list)
    for ref in all_refs(connection):
        names[ref.version].append(ref.name)
    recipes = _recipes(connection, lists_of, nodes)
    # A version may come back in a later step; its names stand at the newest one.
    return [_step(node, recipes, names.pop(node.event.version, ())) for node in nodes]


def graph(connection: Connection, lists_of: ListsOf, most: int | None = None) -> list[Step]:
    """The moves of all branches, newest first, each with those that it came after.

    lists_of: reads the edits of versions, once somebody looks at those of a step
    """
    refs = all_refs(connection)
    branches = [ref for ref in refs if ref.kind == "branch"]
    nodes = list(islice(_walk(connection, [ref.name for ref in branches], merges=True), most))
    names_at: dict[str, list[str]] = defaultdict(list)
    for ref in refs:
        if ref.kind != "branch":
            names_at[ref.version].append(ref.name)
    recipes = _recipes(connection, lists_of, nodes)
    listed = {node.event.seq for node in nodes}
    return [
        _step(
            node,
            recipes,
            (*_in_order(node.branches, branches), *_other_names(node, names_at)),
            tuple(seq for seq in node.after if seq in listed),
        )
        for node in nodes
    ]


def _other_names(node: Node, names_at: dict[str, list[str]]) -> list[str]:
    """The tags of a node's version, and what was pulled, where they did not stand yet.

    Where a branch begins at a version, that is not how the version came to be.
    """
    return [] if node.event.kind == START else names_at.pop(node.event.version, [])


def last_move(connection: Connection, branch: str) -> Event | None:
    """The move that led to where a branch is, be it on the branch that it was made from."""
    return next((node.event for node in _walk(connection, [branch], merges=False)), None)


def reverted(connection: Connection, branch: str, edits: Sequence[str]) -> tuple[str, ...]:
    """Those of these edits that were reverted on the way to where a branch is, in order."""
    oldest = select(recorded_edits.c.seq).order_by(recorded_edits.c.seq).limit(1)
    first_seq = parts(oldest, recorded_edits.c.id, edits)
    since = min((connection.execute(query).scalar() or 0 for query in first_seq), default=0)
    # No event about an edit is older than it: what was recorded lately is looked for there only.
    reverts = select(events.c.edit_id).where((events.c.kind == REVERT) & (events.c.seq >= since))
    queries = parts(reverts, events.c.edit_id, edits)
    anywhere = {edit for query in queries for edit in connection.execute(query).scalars()}
    if not anywhere:  # which is seen without following the journal
        return ()
    nodes = _walk(connection, [branch], merges=False)
    here = {node.event.edit for node in nodes if node.event.kind == REVERT}
    return tuple(edit for edit in edits if edit in here)


def moves_to(connection: Connection, version: str, edits: Recipe) -> list[Step]:
    """The moves of any branch that led to a version, newest first. edits: those of the version"""
    query = select(events).where(_BRANCHES & (events.c.version_id == version))
    rows = connection.execute(query.order_by(events.c.seq.desc())).mappings()
    nodes = [Node(_event(Row("events", row))) for row in rows]
    return [_step(node, {version: edits}, ()) for node in nodes]


def versions_moved_to(connection: Connection) -> list[str]:
    """Every version that any branch ever was at, oldest first."""
    query = select(events.c.version_id).where(_BRANCHES)
    ids = connection.execute(query.order_by(events.c.seq)).scalars()
    return list(dict.fromkeys(map(str, ids)))


def _in_order(names: Sequence[str], branches: Sequence[Ref]) -> list[str]:
    """Names of branches, the current one first."""
    current = [ref.name for ref in branches if ref.current]
    return sorted(names, key=lambda name: (name not in current, name))


def _walk(connection: Connection, branches: Sequence[str], *, merges: bool) -> Iterator[Node]:
    """The events that led to where branches are, newest first.

    merges: also those of what was merged into them
    """
    waiting: dict[Target, _Waiting] = {}
    for branch in branches:
        waiting.setdefault(("ref", branch), _Waiting()).branches.append(branch)
    for event in _events(connection):
        ref_key, version_key = ("ref", event.ref), ("version", event.version)
        if event.kind == START:
            if ref_key not in waiting:
                continue
            origin = _FROM.fullmatch(event.message)
            if origin is not None:  # it is no move: who waits for it waits for what is before it
                _pass_on(waiting, ref_key, ("ref", origin[1]))
                continue
            node = _arrived(event, [waiting.pop(ref_key)])
            waiting.setdefault(version_key, _Waiting()).nodes.append((node, 0))
        else:
            keys = [ref_key] if _REMOTE in event.ref else [ref_key, version_key]
            reached = [waiting.pop(key) for key in keys if key in waiting]
            if not reached:
                continue
            node = _arrived(event, reached)
            waiting.setdefault(ref_key, _Waiting()).nodes.append((node, 0))
            for place, version in enumerate(_taken_in(connection, event) if merges else (), 1):
                waiting.setdefault(("version", version), _Waiting()).nodes.append((node, place))
        yield node


def _pass_on(waiting: dict[Target, _Waiting], key: Target, to: Target) -> None:
    """Let those who wait for one thing wait for another one."""
    former, there = waiting.pop(key), waiting.setdefault(to, _Waiting())
    there.nodes += former.nodes
    there.branches += former.branches


def _arrived(event: Event, reached: Sequence[_Waiting]) -> Node:
    """The node of an event that was waited for."""
    node = Node(event, tuple(name for each in reached for name in each.branches))
    for each in reached:
        for child, place in each.nodes:
            child.before[place] = node
    return node


def _taken_in(connection: Connection, event: Event) -> list[str]:
    """The versions that a merge took in, beside the one that its branch was at."""
    if event.kind not in JOINS:
        return []
    before = (
        select(events.c.version_id)
        .where(_MOVES & (events.c.ref == event.ref) & (events.c.seq < event.seq))
        .order_by(events.c.seq.desc())
        .limit(1)
    )
    former = connection.execute(before).scalar()
    return [version for version in event.parents if version != former]


def _events(connection: Connection) -> Iterator[Event]:
    """The events that moved a ref, or made a branch, newest first."""
    size, last = _PAGE, None
    while True:
        query = select(events).where(_MOVES).order_by(events.c.seq.desc()).limit(size)
        if last is not None:
            query = query.where(events.c.seq < last)
        rows = [Row("events", row) for row in connection.execute(query).mappings()]
        yield from map(_event, rows)
        if len(rows) < size:
            return
        last, size = rows[-1].number("seq"), 4 * size


def _event(row: Row) -> Event:
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


def _recipes(
    connection: Connection, lists_of: ListsOf, nodes: Sequence[Node]
) -> Mapping[str, Recipe]:
    """The edits of the versions of these nodes, all read together when one is looked at.

    A version that is not there is left out.
    """
    ids = dict.fromkeys(node.event.version for node in nodes)
    existing = [
        id_
        for part in parts(select(versions.c.id), versions.c.id, ids)
        for id_ in connection.execute(part).scalars()
    ]

    @cache
    def lists() -> Mapping[str, Recipe]:
        return lists_of(existing)

    return {id_: LateRecipe(partial(_listed, lists, id_)) for id_ in existing}


def _listed(lists: Callable[[], Mapping[str, Recipe]], version: str) -> Recipe:
    return lists()[version]


def _step(
    node: Node,
    recipes: Mapping[str, Recipe],
    names: Sequence[str],
    after: tuple[int, ...] = (),
) -> Step:
    event = node.event
    edits = recipes.get(event.version)
    if edits is None:
        raise DamagedRow(f"the version of event {event.seq} is not there")
    return Step(
        seq=event.seq,
        created=event.created,
        kind=event.kind,
        version=event.version,
        parents=event.parents,
        edits=edits,
        edit=event.edit,
        message=event.message,
        refs=tuple(names),
        branch=event.ref,
        after=after,
    )
