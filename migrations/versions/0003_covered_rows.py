"""Recipes as changes of another one, and events that cover the rows they recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RECORDED = ("facts", "versions", "evaluations", "publications")  # tables whose rows name an event


def upgrade() -> None:
    for table in RECORDED:
        op.add_column(table, sa.Column("seq", sa.Integer(), nullable=True))
        op.create_index(op.f(f"ix_{table}_seq"), table, ["seq"], unique=False)
    op.add_column("events", sa.Column("payload", sa.String(length=64), nullable=True))
    op.add_column("base_models", sa.Column("files", sa.JSON(), nullable=True))
    op.create_table(
        "base_places",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_base_places")),
    )
    # Written out: alembic adds a column and its link in two steps, of which SQLite has one.
    op.execute(
        "ALTER TABLE versions ADD COLUMN parent_id VARCHAR(64) "
        "CONSTRAINT fk_versions_parent_id_versions REFERENCES versions (id)"
    )
    op.create_table(
        "version_changes",
        sa.Column("version_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("edit_id", sa.String(length=64), nullable=False),
        sa.Column("added", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edit_id"], ["edits.id"], name=op.f("fk_version_changes_edit_id_edits")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_version_changes_version_id_versions")
        ),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_changes")),
        sqlite_with_rowid=False,
    )
    _carry_recipes_over(op.get_bind())
    op.drop_table("version_edits")


def _carry_recipes_over(connection: sa.Connection) -> None:
    """Store each recipe by what sets it apart from the one stored before it, where that is less."""
    parent: tuple[str, list[str]] | None = None
    for version, recipe in _recipes(connection):
        changes = [(edit, True) for edit in recipe]
        if parent is not None:
            shorter = _changes(parent[1], recipe)
            if len(shorter) < len(changes):
                changes = shorter
                connection.execute(
                    sa.text("UPDATE versions SET parent_id = :parent WHERE id = :version"),
                    {"parent": parent[0], "version": version},
                )
        rows = [
            {"version": version, "position": position, "edit": edit, "added": added}
            for position, (edit, added) in enumerate(changes)
        ]
        if rows:  # a damaged ledger can hold two versions of one recipe
            insert = "INSERT INTO version_changes VALUES (:version, :position, :edit, :added)"
            connection.execute(sa.text(insert), rows)
        parent = version, recipe


def _recipes(connection: sa.Connection) -> Iterator[tuple[str, list[str]]]:
    """The versions that have edits, in the order in which they came, one at a time."""
    rows = connection.execute(
        sa.text(
            "SELECT r.version_id, r.edit_id FROM version_edits r LEFT JOIN "
            "(SELECT version_id, min(seq) AS seq FROM events GROUP BY version_id) e "
            "ON e.version_id = r.version_id ORDER BY e.seq, r.version_id, r.position"
        )
    )
    for version, group in groupby(rows, lambda row: str(row[0])):
        yield version, [str(row[1]) for row in group]


def _changes(parent: Sequence[str], recipe: Sequence[str]) -> list[tuple[str, bool]]:
    """Which edits to drop from a recipe, then which to append, so that it becomes another one."""
    place = {edit: number for number, edit in enumerate(parent)}
    kept, last = 0, -1
    for edit in recipe:
        if place.get(edit, -1) <= last:
            break
        kept, last = kept + 1, place[edit]
    stay = set(recipe[:kept])
    dropped = [(edit, False) for edit in parent if edit not in stay]
    return dropped + [(edit, True) for edit in recipe[kept:]]
