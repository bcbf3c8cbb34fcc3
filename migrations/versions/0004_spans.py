"""Spans over many changes, so that few rows lead from any version to its list of edits.

And digests of tensors that need not be told where they are those of the parent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WIDTH = 32  # bytes of an id
FANOUT = 32  # changes of a span, spans of a span of the next level
WHOLE = 15  # the level of a span that holds the whole list
WASTE = 8 * FANOUT  # changes that may be read beyond twice the length of a list


def upgrade() -> None:
    op.create_table(
        "version_spans",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("ancestor_id", sa.String(length=64), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.LargeBinary(), nullable=False),
        sa.Column("appended", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ancestor_id"], ["versions.id"], name=op.f("fk_version_spans_ancestor_id_versions")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_version_spans_version_id_versions")
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_version_spans")),
    )
    _add_spans(op.get_bind())
    op.add_column("versions", sa.Column("partial", sa.Boolean(), nullable=True))
    op.create_table(
        "compact_tensors",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("tensor", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_version_tensors_version_id_versions")
        ),
        sa.PrimaryKeyConstraint("version_id", "tensor", name=op.f("pk_version_tensors")),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO compact_tensors SELECT version_id, tensor, sha256 FROM version_tensors")
    op.drop_table("version_tensors")
    op.rename_table("compact_tensors", "version_tensors")


class Way(NamedTuple):
    """A step on the way back from a version to the empty list, and the rest of the way."""

    version: str
    level: int  # 0 for the changes of one version
    dropped: bytes
    appended: bytes
    rest: Way | None

    @property
    def size(self) -> int:
        return (len(self.dropped) + len(self.appended)) // WIDTH


def _add_spans(connection: sa.Connection) -> None:
    """Store the spans of a ledger as if each version had been recorded with its own."""
    insert = sa.text(
        "INSERT INTO version_spans VALUES (:version, :ancestor, :level, :dropped, :appended)"
    )
    changes = _changes(connection)
    children: dict[object, list[str]] = defaultdict(list)
    for version, parent in connection.execute(
        sa.text("SELECT id, parent_id FROM versions ORDER BY seq, id")
    ):
        children[parent].append(version)
    waiting: list[tuple[str, Way | None, int]] = [(root, None, 0) for root in children[None]]
    while waiting:
        version, rest, length = waiting.pop()
        effect = changes.get(version, (b"", b""))
        if effect is None:  # damaged: nothing can be told of it, or of what follows
            continue
        way = Way(version, 0, *effect, rest)
        length += (len(way.appended) - len(way.dropped)) // WIDTH
        span = _span(way, length)
        if span is not None:
            row: dict[str, object] = {"version": version, "level": span.level}
            row |= {"ancestor": span.rest.version if span.rest else None}
            row |= {"dropped": span.dropped, "appended": span.appended}
            connection.execute(insert, row)
        waiting += [(child, span or way, length) for child in children[version]]


def _changes(connection: sa.Connection) -> dict[str, tuple[bytes, bytes] | None]:
    """What each version drops and appends, packed; None where that names no edits."""
    query = sa.text("SELECT version_id, edit_id, added FROM version_changes ORDER BY 1, position")
    changes: dict[str, tuple[bytes, bytes] | None] = {}
    for version, group in groupby(connection.execute(query), lambda row: row[0]):
        rows = list(group)
        try:
            changes[version] = (
                b"".join(_packed(edit) for _, edit, added in rows if not added),
                b"".join(_packed(edit) for _, edit, added in rows if added),
            )
        except ValueError:
            changes[version] = None
    return changes


def _packed(edit: object) -> bytes:
    data = bytes.fromhex(edit) if isinstance(edit, str) else b""
    if len(data) != WIDTH or data.hex() != edit:
        raise ValueError("no id of an edit")
    return data


def _span(way: Way, length: int) -> Way | None:
    """The span to store with a version, if it is time for one; its rest begins at the ancestor."""
    near = _total(_until(way, 1))
    if near < FANOUT:
        return None
    every = list(_until(way, WHOLE + 1))
    if _total(every) > 2 * length + WASTE:
        return Way(way.version, WHOLE, *_joined(every), None)
    level = 1
    while level < WHOLE - 1 and sum(hop.level == level for hop in every[1:]) + 1 >= FANOUT:
        level += 1
    between = list(_until(way, level))
    return Way(way.version, level, *_joined(between), between[-1].rest)


def _until(way: Way | None, level: int) -> Iterator[Way]:
    """The steps of a way before the first one of this level or a higher one."""
    while way is not None and way.level < level:
        yield way
        way = way.rest


def _total(ways: Iterable[Way]) -> int:
    return sum(way.size for way in ways)


def _joined(ways: Iterable[Way]) -> tuple[bytes, bytes]:
    """What steps come to, the newest first. What a newer one drops again is in neither part."""
    gone: set[bytes] = set()
    pieces: list[bytes] = []
    for way in ways:
        kept = []
        for id_ in _ids(way.appended):
            if id_ in gone:
                gone.remove(id_)
            else:
                kept.append(id_)
        pieces.append(b"".join(kept))
        gone.update(_ids(way.dropped))
    return b"".join(sorted(gone)), b"".join(reversed(pieces))


def _ids(data: bytes) -> Iterator[bytes]:
    return (data[at : at + WIDTH] for at in range(0, len(data), WIDTH))
