"""Where a version stands in the tree of parents, and a version far up it, so that few steps lead
from any version to any one above it. And an index that tells which versions change an edit's place.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("depth", sa.Integer(), nullable=True))
    # In words of SQL, as alembic adds no column that is a link without making the table anew.
    op.execute(
        "ALTER TABLE versions ADD COLUMN jump_id VARCHAR(64) "
        "CONSTRAINT fk_versions_jump_id_versions REFERENCES versions (id)"
    )
    op.create_index(op.f("ix_version_changes_edit_id"), "version_changes", ["edit_id"])
    connection = op.get_bind()
    rows = [
        {"version": version, "depth": depth, "jump": jump}
        for version, depth, jump in _places(connection)
    ]
    if rows:
        change = "UPDATE versions SET depth = :depth, jump_id = :jump WHERE id = :version"
        connection.execute(sa.text(change), rows)


def _places(connection: sa.Connection) -> Iterator[tuple[object, int, object]]:
    """Every version with its depth and its jump; parents come before their children.

    Versions whose parents go round in a circle, or are not there, are left out.
    """
    children: dict[object, list[object]] = defaultdict(list)
    query = sa.text("SELECT id, parent_id FROM versions WHERE id IS NOT NULL")
    for version, parent in connection.execute(query):
        children[parent].append(version)
    jumps: dict[object, object] = {}
    waiting: list[tuple[object, int, object]] = [(root, 0, None) for root in children[None]]
    while waiting:
        version, depth, jump = waiting.pop()
        jumps[version] = jump
        yield version, depth, jump
        below = version if _jump_depth(depth + 1) == depth else jumps[jumps[version]]
        waiting += [(child, depth + 1, below) for child in children[version]]


def _jump_depth(depth: int) -> int:
    """The depth that a jump leads to: without the last skew-binary number of the sum."""
    rest, last = depth, 1
    while rest:
        last = (1 << (rest + 1).bit_length() - 1) - 1
        rest -= last
    return depth - last
