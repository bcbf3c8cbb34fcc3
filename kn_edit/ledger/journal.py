"""The journal of branches: which moves led to where a branch is, newest first.

Events are read from the end, a page at a time, and followed as long as somebody waits for them: a
branch waits for the event before on it, a branch that was made waits for what it was made from, and
a merge waits for the versions that it took in. So what is read is about what is listed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import chain, islice

from sqlalchemy import func

from kn_edit.canonical import short
from kn_edit.errors import UnknownId
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.moves import (
    DELETE,
    JOINS,
    MOVES,
    REMOTE,
    START,
    SWITCH,
    TAG,
    Event,
    Target,
    arrival,
    decisive,
    event_of,
    moves_below,
)
from kn_edit.ledger.parts import parts
from kn_edit.ledger.reading import all_refs
from kn_edit.ledger.recipes import LateRecipe, Recipe
from kn_edit.ledger.records import Ref, Step
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import edits as recorded_edits
from kn_edit.ledger.tables import events, versions

__all__ = ["DELETE", "JOINS", "START", "SWITCH", "TAG"]  # kinds of events, for who notes some

REVERT = "revert"
_BRANCHES = MOVES & ~events.c.ref.contains(REMOTE)

ListsOf = Callable[[Collection[str]], Mapping[str, Recipe]]  # of versions


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
    connection: Connection,
    lists_of: ListsOf,
    branch: str,
    most: int | None = None,
    before: int | None = None,
) -> list[Step]:
    """The moves that led to a branch, newest first, down to the root version, or only so many.

    lists_of: reads the edits of versions, once somebody looks at those of a step
    before: only those of lower numbers; those above are passed over without reading them all
    """
    names: dict[str, list[str]] = defaultdict(list)
    for ref in all_refs(connection):
        names[ref.version].append(ref.name)
    waiting = _waiting_for([branch])
    coming = _coming(connection, before, names, merges=False)
    # A version may come back in a later step; its names stand at the newest one.
    named = (
        (node, names.pop(node.event.version, ()))
        for node in _walk(connection, waiting, coming, merges=False)
    )
    listed = list(islice((each for each in named if _is_below(each[0], before)), most))
    recipes = _recipes(connection, lists_of, [node for node, _ in listed])
    return [_step(node, recipes, names_there) for node, names_there in listed]


def graph(
    connection: Connection,
    lists_of: ListsOf,
    most: int | None = None,
    before: int | None = None,
) -> list[Step]:
    """The moves of all branches, newest first, each with those that it came after.

    lists_of: reads the edits of versions, once somebody looks at those of a step
    before: only moves of lower numbers, as a part of a list that goes on: the moves that each one
    came after are told also where they are not listed. By default only those that are.
    """
    refs = all_refs(connection)
    branches = [ref for ref in refs if ref.kind == "branch"]
    names_at: dict[str, list[str]] = defaultdict(list)
    for ref in refs:
        if ref.kind != "branch":
            names_at[ref.version].append(ref.name)
    waiting = _waiting_for([ref.name for ref in branches])
    coming = _coming(connection, before, names_at, merges=True)
    named = (
        (node, _other_names(node, names_at))
        for node in _walk(connection, waiting, coming, merges=True)
    )
    listed = list(islice((each for each in named if _is_below(each[0], before)), most))
    nodes = [node for node, _ in listed]
    if before is not None and nodes:
        _look_ahead(connection, waiting, nodes[-1].event.seq)
    recipes = _recipes(connection, lists_of, nodes)
    numbers = {node.event.seq for node in nodes}
    return [
        _step(
            node,
            recipes,
            (*_in_order(node.branches, branches), *other_names),
            tuple(seq for seq in node.after if before is not None or seq in numbers),
        )
        for node, other_names in listed
    ]


def _coming(
    connection: Connection, before: int | None, versions: Collection[str], *, merges: bool
) -> Iterable[Event]:
    """The events that a walk goes through: down from one, and of those above what decides.

    versions: whose moves are all wanted
    """
    if before is None:
        return moves_below(connection)
    above = decisive(connection, before, versions, merges=merges)
    return chain(above, moves_below(connection, before))


def _is_below(node: Node, seq: int | None) -> bool:
    return seq is None or node.event.seq < seq


def _look_ahead(connection: Connection, waiting: dict[Target, _Waiting], seq: int) -> None:
    """Tell the nodes that still wait, after the event with this number, what they come after."""
    for target, there in waiting.items():
        event = arrival(connection, target, seq) if there.nodes else None
        if event is not None:
            _arrived(event, [there])


def _other_names(node: Node, names_at: dict[str, list[str]]) -> list[str]:
    """The tags of a node's version, and what was pulled, where they did not stand yet.

    Where a branch begins at a version, that is not how the version came to be.
    """
    return [] if node.event.kind == START else names_at.pop(node.event.version, [])


def last_move(connection: Connection, branch: str) -> Event | None:
    """The move that led to where a branch is, be it on the branch that it was made from."""
    return arrival(connection, ("ref", branch))


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
    nodes = _walk(connection, _waiting_for([branch]), moves_below(connection), merges=False)
    here = {node.event.edit for node in nodes if node.event.kind == REVERT}
    return tuple(edit for edit in edits if edit in here)


def moves_to(connection: Connection, version: str, edits: Recipe) -> list[Step]:
    """The moves of any branch that led to a version, newest first. edits: those of the version"""
    query = select(events).where(_BRANCHES & (events.c.version_id == version))
    rows = connection.execute(query.order_by(events.c.seq.desc())).mappings()
    nodes = [Node(event_of(Row("events", row))) for row in rows]
    return [_step(node, {version: edits}, ()) for node in nodes]


def versions_moved_to(connection: Connection) -> list[str]:
    """Every version that any branch ever was at, oldest first."""
    query = select(events.c.version_id).where(_BRANCHES)
    ids = connection.execute(query.order_by(events.c.seq)).scalars()
    return list(dict.fromkeys(map(str, ids)))


def newest_versions(connection: Connection, most: int, before: str | None = None) -> list[str]:
    """The versions that some branch came to last, newest first; each by its first move.

    before: the id of a version; only those that a branch came to before it. Raises UnknownId.
    """
    query = select(events.c.seq, events.c.version_id).where(_BRANCHES)
    if before is not None:
        first = _first_moves(connection, [before]).get(before)
        if first is None:
            raise UnknownId("version", before)
        query = query.where(events.c.seq < first)
    query = query.order_by(events.c.seq.desc()).limit(most)
    ids: list[str] = []
    rows = connection.execute(query).all()
    while rows and len(ids) < most:
        firsts = _first_moves(connection, [row.version_id for row in rows])
        ids += [row.version_id for row in rows if firsts[row.version_id] == row.seq]
        rows = connection.execute(query.where(events.c.seq < rows[-1].seq)).all()
    return ids[:most]


def _first_moves(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """The numbers of the events by which some branch first came to versions."""
    query = select(events.c.version_id, func.min(events.c.seq).label("seq")).where(_BRANCHES)
    queries = parts(query.group_by(events.c.version_id), events.c.version_id, ids)
    return {row.version_id: row.seq for part in queries for row in connection.execute(part)}


def _in_order(names: Sequence[str], branches: Sequence[Ref]) -> list[str]:
    """Names of branches, the current one first."""
    current = [ref.name for ref in branches if ref.current]
    return sorted(names, key=lambda name: (name not in current, name))


def _waiting_for(branches: Sequence[str]) -> dict[Target, _Waiting]:
    """Who waits before the newest event: the branches."""
    return {("ref", branch): _Waiting(branches=[branch]) for branch in branches}


def _walk(
    connection: Connection,
    waiting: dict[Target, _Waiting],
    coming: Iterable[Event],
    *,
    merges: bool,
) -> Iterator[Node]:
    """The events that led to where branches are, newest first.

    waiting: who waits for what, which each event changes; coming: the events, newest first
    merges: also those of what was merged into the branches
    """
    for event in coming:
        reached = [waiting.pop(key) for key in event.keys if key in waiting]
        if not reached:
            continue
        if event.origin is not None:  # it is no move: who waits for it waits for what is before it
            _pass_on(waiting, reached[0], ("ref", event.origin))
            continue
        node = _arrived(event, reached)
        key = ("version", event.version) if event.kind == START else ("ref", event.ref)
        waiting.setdefault(key, _Waiting()).nodes.append((node, 0))
        for place, version in enumerate(_taken_in(connection, event) if merges else (), 1):
            waiting.setdefault(("version", version), _Waiting()).nodes.append((node, place))
        yield node


def _pass_on(waiting: dict[Target, _Waiting], former: _Waiting, to: Target) -> None:
    """Let those who waited for one thing wait for another one."""
    there = waiting.setdefault(to, _Waiting())
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
        .where(MOVES & (events.c.ref == event.ref) & (events.c.seq < event.seq))
        .order_by(events.c.seq.desc())
        .limit(1)
    )
    former = connection.execute(before).scalar()
    return [version for version in event.parents if version != former]


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
