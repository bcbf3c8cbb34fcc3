"""Where versions stand in the tree of their parents, and how to go far up it in few steps.

A version is stored as changes of its parent, so the versions are a tree. Each one keeps its depth
and, beside its parent, one version further up: its jump. How far that is depends on the depth
alone, as in the skew-binary lists of Myers (1983): to any version above, `n` steps up, lead some
`2 log n` steps by parents and jumps. Both are made of `parent_id`; `verify` makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from kn_edit.canonical import short
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import versions


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
        .outerjoin(above, above.c.id == versions.c.jump_id)
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
