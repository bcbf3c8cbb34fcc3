"""Several workspaces in one database: every row names its own, first in its key and in each link.

Each table is made anew and filled by one statement. What stands there already is the workspace
`default`, number 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = "workspace_id"
SHA256 = sa.String(64)
MOMENT = sa.String(32)


Kind = sa.types.TypeEngine[Any]


class Field(NamedTuple):
    """A column of a table."""

    name: str
    kind: Kind
    nullable: bool


class Rebuilt(NamedTuple):
    """A table as it is from now on, without the column of the workspace, which comes first."""

    name: str
    key: Sequence[str]
    columns: Sequence[Field]
    links: Sequence[tuple[str, str]] = ()  # columns, and what they name
    indexes: Sequence[str] = ()  # the columns of each, with spaces between
    unique: str = ""
    with_rowid: bool = True


def needed(name: str, kind: Kind = SHA256) -> Field:
    return Field(name, kind, nullable=False)


def maybe(name: str, kind: Kind = SHA256) -> Field:
    return Field(name, kind, nullable=True)


INTEGER, TEXT, JSON = sa.Integer(), sa.Text(), sa.JSON()
TABLES = (
    Rebuilt(
        "base_models",
        ("fingerprint",),
        (
            needed("fingerprint"),
            needed("name", TEXT),
            maybe("repo", TEXT),
            maybe("revision", TEXT),
            needed("source", TEXT),
            needed("model_type", TEXT),
            needed("dtype", TEXT),
            needed("created", MOMENT),
            maybe("files", JSON),
        ),
        with_rowid=False,
    ),
    Rebuilt(
        "base_places",
        ("seq",),
        (needed("seq", INTEGER), needed("source", TEXT), maybe("files", JSON)),
        with_rowid=False,
    ),
    Rebuilt(
        "facts",
        ("id",),
        (
            needed("id", INTEGER),
            needed("relation", TEXT),
            maybe("subject", TEXT),
            maybe("answer", TEXT),
            maybe("seq", INTEGER),
        ),
        indexes=("relation subject", "seq"),
        with_rowid=False,
    ),
    Rebuilt(
        "edits",
        ("id",),
        (
            needed("id"),
            needed("seq", INTEGER),
            needed("base"),
            needed("kind", sa.String(16)),
            needed("fact_id", INTEGER),
            maybe("target", TEXT),
            needed("method", TEXT),
            needed("message", TEXT),
            needed("overlaps", JSON),
            needed("created", MOMENT),
        ),
        links=(
            ("base", "base_models.fingerprint"),
            ("fact_id", "facts.id"),
        ),
        unique="seq",
    ),
    Rebuilt(
        "edit_facts",
        ("edit_id", "position"),
        (
            needed("edit_id"),
            needed("position", INTEGER),
            needed("fact_id", INTEGER),
            maybe("target", TEXT),
        ),
        links=(
            ("edit_id", "edits.id"),
            ("fact_id", "facts.id"),
        ),
        with_rowid=False,
    ),
    Rebuilt(
        "attributions",
        ("edit_id",),
        (needed("edit_id"), needed("found", JSON)),
        links=(("edit_id", "edits.id"),),
        with_rowid=False,
    ),
    Rebuilt(
        "edit_slots",
        ("edit_id", "layer", "neuron"),
        (
            needed("edit_id"),
            needed("layer", INTEGER),
            needed("neuron", INTEGER),
            needed("mode", sa.String(8)),
        ),
        links=(("edit_id", "edits.id"),),
        indexes=("layer neuron",),
        with_rowid=False,
    ),
    Rebuilt(
        "edit_layers",
        ("edit_id", "layer"),
        (
            needed("edit_id"),
            needed("layer", INTEGER),
            needed("kind", sa.String(16)),
            needed("rank", INTEGER),
        ),
        links=(("edit_id", "edits.id"),),
        indexes=("layer",),
        with_rowid=False,
    ),
    Rebuilt(
        "versions",
        ("id",),
        (
            needed("id"),
            needed("base"),
            needed("created", MOMENT),
            maybe("parent_id"),
            maybe("seq", INTEGER),
            maybe("partial", sa.Boolean()),
            maybe("depth", INTEGER),
            maybe("jump_id"),
        ),
        links=(
            ("base", "base_models.fingerprint"),
            ("parent_id", "versions.id"),
            ("jump_id", "versions.id"),
        ),
        indexes=("seq",),
    ),
    Rebuilt(
        "version_changes",
        ("version_id", "position"),
        (
            needed("version_id"),
            needed("position", INTEGER),
            needed("edit_id"),
            needed("added", sa.Boolean()),
        ),
        links=(
            ("version_id", "versions.id"),
            ("edit_id", "edits.id"),
        ),
        indexes=("edit_id",),
        with_rowid=False,
    ),
    Rebuilt(
        "version_spans",
        ("version_id",),
        (
            needed("version_id"),
            maybe("ancestor_id"),
            needed("level", INTEGER),
            needed("dropped", sa.LargeBinary()),
            needed("appended", sa.LargeBinary()),
        ),
        links=(
            ("version_id", "versions.id"),
            ("ancestor_id", "versions.id"),
        ),
    ),
    Rebuilt(
        "version_tensors",
        ("version_id", "tensor"),
        (needed("version_id"), needed("tensor", sa.String(255)), needed("sha256")),
        links=(("version_id", "versions.id"),),
        with_rowid=False,
    ),
    Rebuilt(
        "evaluations",
        ("id",),
        (
            needed("id", INTEGER),
            needed("version_id"),
            maybe("edit_id"),
            needed("metrics", JSON),
            needed("created", MOMENT),
            maybe("seq", INTEGER),
        ),
        links=(
            ("version_id", "versions.id"),
            ("edit_id", "edits.id"),
        ),
        indexes=("edit_id", "seq"),
    ),
    Rebuilt(
        "refs",
        ("name",),
        (needed("name", sa.String(255)), needed("kind", sa.String(8)), needed("version_id")),
        links=(("version_id", "versions.id"),),
        with_rowid=False,
    ),
    Rebuilt(
        "events",
        ("seq",),
        (
            needed("seq", INTEGER),
            needed("created", MOMENT),
            needed("kind", sa.String(16)),
            needed("ref", sa.String(255)),
            needed("version_id"),
            needed("parents", JSON),
            maybe("edit_id"),
            needed("message", TEXT),
            needed("previous"),
            needed("hash"),
            maybe("payload"),
        ),
        links=(
            ("version_id", "versions.id"),
            ("edit_id", "edits.id"),
        ),
    ),
    Rebuilt(
        "publications",
        ("id",),
        (
            needed("id", INTEGER),
            needed("repo", TEXT),
            needed("branch", TEXT),
            needed("commit_id"),
            needed("version_id"),
            needed("form", sa.String(16)),
            maybe("tag", TEXT),
            needed("created", MOMENT),
            maybe("seq", INTEGER),
        ),
        indexes=("version_id", "seq"),
        with_rowid=False,
    ),
)


def upgrade() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("name", name=op.f("uq_workspaces_name")),
    )
    # Not in a database that is new: who makes it gives its workspace a name. One that is damaged
    # may lack the rows of any table.
    filled = " OR ".join(f"EXISTS (SELECT 1 FROM {table.name})" for table in TABLES)
    op.execute(f"INSERT INTO workspaces SELECT 1, 'default' WHERE {filled}")
    for table in TABLES:
        _rebuild(table)


def _rebuild(table: Rebuilt) -> None:
    """Make a table anew under another name, fill it, and give it the name of the former one.

    Links lead to names: those to and from this table hold through it all.
    """
    name = table.name
    fields = (sa.Column(each.name, each.kind, nullable=each.nullable) for each in table.columns)
    key = sa.PrimaryKeyConstraint(ID, *table.key, name=op.f(f"pk_{name}"))
    options: dict[str, bool] = {} if table.with_rowid else {"sqlite_with_rowid": False}
    op.create_table(
        f"new_{name}",
        sa.Column(ID, INTEGER, autoincrement=False, nullable=False),
        *fields,
        key,
        *_constraints(table),
        **options,
    )
    columns = ", ".join(column.name for column in table.columns)
    op.execute(f"INSERT INTO new_{name} ({ID}, {columns}) SELECT 1, {columns} FROM {name}")
    op.drop_table(name)
    op.rename_table(f"new_{name}", name)
    for index in table.indexes:
        names = [ID, *index.split()]
        op.create_index(op.f(f"ix_{name}_{'_'.join(names)}"), name, names, unique=False)


def _constraints(table: Rebuilt) -> list[sa.Constraint]:
    """What holds the rows of a table to those of others, and to their workspace."""
    name = table.name
    constraints: list[sa.Constraint] = [
        sa.ForeignKeyConstraint([ID], ["workspaces.id"], name=op.f(f"fk_{name}_{ID}_workspaces"))
    ]
    for column, target in table.links:
        other, _, _ = target.partition(".")
        constraints.append(
            sa.ForeignKeyConstraint(
                [ID, column],
                [f"{other}.{ID}", target],
                name=op.f(f"fk_{name}_{ID}_{column}_{other}"),
            )
        )
    if table.unique:
        unique = op.f(f"uq_{name}_{ID}_{table.unique}")
        constraints.append(sa.UniqueConstraint(ID, table.unique, name=unique))
    return constraints
