"""Where versions stand in the tree of their parents, and how to go far up it in few steps.

A version is stored as changes of its parent, so the versions are a tree. Each one keeps its depth
and, beside its parent, one version further up: its jump. How far that is depends on the depth
alone, as in the skew-binary lists of Myers (1983): to any version above, `n` steps up, lead some
`2 log n` steps by parents and jumps. Both are made of `parent_id`; `verify` makes them again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

from sqlalchemy import TextClause, text

from kn_edit.canonical import short
from kn_edit.ledger.connection import Connection, linked, select
from kn_edit.ledger.parts import chunks
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import versions

_MOST_STEPS = 256  # more than lead to any depth, or from one wanted depth to the next
_DEPTHS_AT_ONCE = 64

# From a version up through the wanted depths: by its jump, unless that leads beyond the next one,
# else by its parent. Depths fall with every step, so that a damaged ledger is not followed in a
# circle, and the steps are counted.
_UP = """
    WITH RECURSIVE wanted (depth) AS (VALUES {depths}),
    way (id, depth, parent_id, jump_id, goal, step) AS (
        SELECT v.id, v.depth, v.parent_id, v.jump_id,
            (SELECT max(w.depth) FROM wanted w WHERE w.depth < v.depth), 0
        FROM versions v WHERE v.workspace_id = :workspace AND v.id = :version
        UNION ALL
        SELECT up.id, up.depth, up.parent_id, up.jump_id,
            CASE WHEN up.depth > way.goal THEN way.goal
            ELSE (SELECT max(w.depth) FROM wanted w WHERE w.depth < up.depth) END,
            CASE WHEN up.depth > way.goal THEN way.step + 1 ELSE 0 END
        FROM way
        LEFT JOIN versions jump ON jump.workspace_id = :workspace AND jump.id = way.jump_id
        JOIN versions up ON up.workspace_id = :workspace AND up.id =
            CASE WHEN jump.depth >= way.goal THEN way.jump_id ELSE way.parent_id END
        WHERE way.goal IS NOT NULL AND up.depth < way.depth AND way.step < {most_steps}
    )
    SELECT way.id, way.depth FROM way LEFT JOIN wanted ON wanted.depth = way.depth
    WHERE wanted.depth IS NOT NULL OR way.id = :version
"""

# From two versions of one depth up to the first one that both have above them, or both are.
_MEETING = text(
    f"""
    WITH RECURSIVE way (a, b, depth, a_up, b_up, step) AS (
        SELECT a.id, b.id, a.depth,
            CASE WHEN a.jump_id = b.jump_id THEN a.parent_id ELSE a.jump_id END,
            CASE WHEN a.jump_id = b.jump_id THEN b.parent_id ELSE b.jump_id END, 0
        FROM versions a JOIN versions b ON b.workspace_id = a.workspace_id AND b.depth = a.depth
        WHERE a.workspace_id = :workspace AND a.id = :a AND b.id = :b
        UNION ALL
        SELECT a.id, b.id, a.depth,
            CASE WHEN a.jump_id = b.jump_id THEN a.parent_id ELSE a.jump_id END,
            CASE WHEN a.jump_id = b.jump_id THEN b.parent_id ELSE b.jump_id END, way.step + 1
        FROM way
        JOIN versions a ON a.workspace_id = :workspace AND a.id = way.a_up
        JOIN versions b ON b.workspace_id = :workspace AND b.id = way.b_up
        WHERE way.a <> way.b AND a.depth < way.depth AND b.depth = a.depth
            AND way.step < {_MOST_STEPS}
    )
    SELECT a, b, depth FROM way ORDER BY step DESC LIMIT 1
    """
)


@dataclass(frozen=True)
class Place:
    """Where a version stands: how many versions are above it, and which one its jump leads to."""

    depth: int = 0
    jump: str | None = None


def jump_depth(depth: int) -> int:
    """The depth that the jump of a version leads to: its own without the last of the skew-binary
    numbers (1, 3, 7, 15, ...) that it is the sum of."""
    rest, last = depth, 1
    while rest:
        last = (1 << (rest + 1).bit_length() - 1) - 1
        rest -= last
    return depth - last


def place_below(parent: str, depth: int, second_jump: str | None) -> Place:
    """The place of a version with this parent.

    depth: of the parent; second_jump: where the jump of its jump leads
    """
    is_near = jump_depth(depth + 1) == depth
    return Place(depth + 1, parent if is_near else second_jump)


def place_of_child(connection: Connection, parent: str | None) -> Place:
    """The place of a new version with this parent. Raises DamagedRow."""
    if parent is None:
        return Place()
    above = versions.alias("above")
    query = (
        select(versions.c.depth, above.c.jump_id)
        .outerjoin(above, linked(above.c.id, versions.c.jump_id))
        .where(versions.c.id == parent)
    )
    row = connection.execute(query).first()
    if row is None or not isinstance(row.depth, int) or row.depth < 0:
        raise DamagedRow(f"the depth of version {short(parent)} is not told")
    place = place_below(parent, row.depth, row.jump_id)
    if not isinstance(place.jump, str):
        raise DamagedRow(f"the jump of version {short(parent)} leads nowhere")
    return place


def misplaced(connection: Connection) -> Iterator[str]:
    """Versions whose depth or jump is not what their parents make of it.

    Those whose parents go round in a circle, or are not there, are left out.
    """
    columns = (versions.c.id, versions.c.parent_id, versions.c.depth, versions.c.jump_id)
    stored = {row.id: row for row in connection.execute(select(*columns)) if row.id is not None}
    children: dict[object, list[str]] = {}
    for id_, row in stored.items():
        children.setdefault(row.parent_id, []).append(id_)
    places: dict[str | None, Place] = {None: Place()}
    waiting = [(root, Place()) for root in children.get(None, ())]
    while waiting:
        id_, place = waiting.pop()
        places[id_] = place
        if (stored[id_].depth, stored[id_].jump_id) != (place.depth, place.jump):
            yield id_
        below = place_below(id_, place.depth, places[place.jump].jump)
        waiting += [(child, below) for child in children.get(id_, ())]


def at_depths(connection: Connection, version: str, depths: Collection[int]) -> dict[int, str]:
    """The version at each of these depths above a version, or that one itself, by depth.

    Depths beyond its own are left out. Raises DamagedRow.
    """
    ids: dict[int, str] = {}
    start = version
    # From the deepest on, so that each part goes on from where the one before has come to.
    for part in chunks(sorted(set(depths), reverse=True), _DEPTHS_AT_ONCE):
        values = {f"d{place}": depth for place, depth in enumerate(part)}
        rows = connection.execute(_up(len(part)), {**values, "version": start}).all()
        reached = {row.depth: row.id for row in rows}
        depth = next((row.depth for row in rows if row.id == start), None)
        above = [each for each in part if isinstance(depth, int) and each <= depth]
        if depth not in reached or not reached.keys() >= {*above}:
            raise DamagedRow(f"the versions above version {short(version)} are not told")
        ids |= {each: reached[each] for each in above}
        start = ids[above[-1]] if above else start
    return ids


def meeting(connection: Connection, a: str, b: str) -> str | None:
    """The deepest version that two versions both have above them, or are; None: there is none.

    Raises DamagedRow.
    """
    query = select(versions.c.id, versions.c.depth).where(versions.c.id.in_((a, b)))
    depths = {row.id: row.depth for row in connection.execute(query)}
    if len(depths) != len({a, b}) or not all(isinstance(each, int) for each in depths.values()):
        raise DamagedRow(f"the depths of the versions {short(a)} and {short(b)} are not told")
    depth = min(depths.values())
    a, b = (at_depths(connection, each, [depth])[depth] for each in (a, b))
    row = connection.execute(_MEETING, {"a": a, "b": b}).first()
    if row is None or (row.a != row.b and row.depth != 0):
        raise DamagedRow(f"the versions above version {short(a)} are not told")
    return str(row.a) if row.a == row.b else None  # else they begin with other lists


@cache
def _up(count: int) -> TextClause:
    """The query for so many wanted depths."""
    depths = ", ".join(f"(:d{place})" for place in range(count))
    return text(_UP.format(depths=depths, most_steps=_MOST_STEPS))
