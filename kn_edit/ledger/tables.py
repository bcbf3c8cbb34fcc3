"""The tables of the ledger. `SCHEMA` is the migration that made them so.

A database holds one workspace or several. Every row names its workspace, first in its key; what
reads and writes rows goes through `Connection`, which sees those of one workspace alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

from kn_edit.ledger.columns import JSON, MOMENT, NUMBER, SHA256, TEXT, label

SCHEMA = "0008"
WORKSPACE_ID = "workspace_id"  # the column that every table begins with, but for `workspaces`

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The ledgers that lie in this database, one each.
workspaces = Table(
    "workspaces",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=False),
    Column("name", label(100), nullable=False, unique=True),
)


def _table(name: str, items: Iterable[SchemaItem], **options: Any) -> Table:
    """A table of the ledger with these columns, constraints and indices, by workspace."""
    workspace = Column(
        WORKSPACE_ID, NUMBER, ForeignKey(workspaces.c.id), primary_key=True, autoincrement=False
    )
    return Table(name, metadata, workspace, *items, **options)


def _number(name: str) -> Column[int]:
    """A number in a primary key, counted within the workspace."""
    return Column(name, NUMBER, primary_key=True, autoincrement=False)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, TEXT, nullable=nullable)


def _files() -> Column[Any]:
    """sha256 of the base's config, tokenizer and the like, by file name; NULL: not known."""
    return Column("files", JSON, nullable=True)


def _event() -> tuple[SchemaItem, ...]:
    """The event that recorded a row, whose payload covers it; NULL before schema 0003."""
    return Column("seq", NUMBER, nullable=True), _index("seq")


def _index(*columns: str) -> Index:
    """An index of rows of a workspace by these columns."""
    return Index(None, WORKSPACE_ID, *columns)


def _link(
    name: str, target: str, *, key: bool = False, nullable: bool = False, kind: Any = SHA256
) -> tuple[SchemaItem, ...]:
    """A column that names a row of another table, in the same workspace."""
    table, _, _ = target.partition(".")
    return (
        Column(name, kind, primary_key=key, autoincrement=False, nullable=nullable),
        ForeignKeyConstraint([WORKSPACE_ID, name], [f"{table}.{WORKSPACE_ID}", target]),
    )


base_models = _table(
    "base_models",
    [
        Column("fingerprint", SHA256, primary_key=True),
        _text("name"),
        _text("repo", nullable=True),
        _text("revision", nullable=True),
        _text("source"),
        _text("model_type"),
        _text("dtype"),
        Column("created", MOMENT, nullable=False),
        _files(),
    ],
    sqlite_with_rowid=False,
)

# Where the base lies since it was moved; the last row counts, before that `base_models`.
base_places = _table(
    "base_places",
    [
        _number("seq"),
        _text("source"),
        _files(),
    ],
    sqlite_with_rowid=False,
)

facts = _table(
    "facts",
    [
        _number("id"),
        _text("relation"),
        _text("subject", nullable=True),
        _text("answer", nullable=True),
        *_event(),
        _index("relation", "subject"),
    ],
    sqlite_with_rowid=False,
)

edits = _table(
    "edits",
    [
        Column("id", SHA256, primary_key=True),
        Column("seq", NUMBER, nullable=False),  # the event that recorded it
        *_link("base", "base_models.fingerprint"),
        Column("kind", label(16), nullable=False),
        # Of the first fact, as `edit_facts` says it at position 0: events cover them since
        # schema 0003.
        *_link("fact_id", "facts.id", kind=NUMBER),
        _text("target", nullable=True),
        _text("method"),
        _text("message"),
        # Edits before it with common slots, recorded before schema 0003 only. Slots and recipes
        # tell the same, and among a thousand edits of the same neurons the lists are half a
        # million ids.
        Column("overlaps", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        UniqueConstraint(WORKSPACE_ID, "seq"),
    ],
)

# The facts that an edit changes, in order.
edit_facts = _table(
    "edit_facts",
    [
        *_link("edit_id", "edits.id", key=True),
        _number("position"),
        *_link("fact_id", "facts.id", kind=NUMBER),
        _text("target", nullable=True),
    ],
    sqlite_with_rowid=False,
)

attributions = _table(
    "attributions",
    [
        *_link("edit_id", "edits.id", key=True),
        Column("found", JSON, nullable=False),
    ],
    sqlite_with_rowid=False,
)

edit_slots = _table(
    "edit_slots",
    [
        *_link("edit_id", "edits.id", key=True),
        _number("layer"),
        _number("neuron"),
        Column("mode", label(8), nullable=False),
        _index("layer", "neuron"),
    ],
    sqlite_with_rowid=False,
)

# Changes of all slots of a layer at once. A layer is in this table or in the one above, never both.
edit_layers = _table(
    "edit_layers",
    [
        *_link("edit_id", "edits.id", key=True),
        _number("layer"),
        Column("kind", label(16), nullable=False),  # low-rank
        Column("rank", NUMBER, nullable=False),
        _index("layer"),
    ],
    sqlite_with_rowid=False,
)

# A version is stored as what sets its recipe apart from its parent's, so that a thousand edits
# take a thousand rows. The parent says how it is stored, not how it came to be: see `events`.
versions = _table(
    "versions",
    [
        Column("id", SHA256, primary_key=True),
        *_link("base", "base_models.fingerprint"),
        Column("created", MOMENT, nullable=False),
        *_link("parent_id", "versions.id", nullable=True),
        *_event(),
        # Whether only those digests are stored that its parent has not: then what is not said of a
        # tensor is as in the parent, and no digest at all says that nothing touches it any more.
        Column("partial", Boolean, nullable=True),
        # Where it stands in the tree of parents, and a version far up it: see `ancestry`. Made of
        # `parent_id`, and no part of what an event covers.
        Column("depth", NUMBER, nullable=True),
        *_link("jump_id", "versions.id", nullable=True),
    ],
)

version_changes = _table(
    "version_changes",
    [
        *_link("version_id", "versions.id", key=True),
        _number("position"),
        *_link("edit_id", "edits.id"),
        Column("added", Boolean, nullable=False),  # at the end of the recipe, or dropped from it
        _index("edit_id"),
    ],
    sqlite_with_rowid=False,
)

# What the changes of many versions come to, so that few rows lead back from any of them: see
# `spans`. Made of `version_changes`, and no part of what an event covers.
version_spans = _table(
    "version_spans",
    [
        *_link("version_id", "versions.id", key=True),
        *_link("ancestor_id", "versions.id", nullable=True),  # NULL: the empty list
        Column("level", NUMBER, nullable=False),
        Column("dropped", LargeBinary, nullable=False),  # ids of edits, 32 bytes each
        Column("appended", LargeBinary, nullable=False),
    ],
)

version_tensors = _table(
    "version_tensors",
    [
        *_link("version_id", "versions.id", key=True),
        Column("tensor", label(255), primary_key=True),
        Column("sha256", SHA256, nullable=False),  # empty in a partial list: not touched
    ],
    sqlite_with_rowid=False,
)

evaluations = _table(
    "evaluations",
    [
        _number("id"),
        *_link("version_id", "versions.id"),
        *_link("edit_id", "edits.id", nullable=True),
        Column("metrics", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        *_event(),
        _index("edit_id"),
    ],
)

refs = _table(
    "refs",
    [
        Column("name", label(255), primary_key=True),
        Column("kind", label(8), nullable=False),
        *_link("version_id", "versions.id"),
    ],
    sqlite_with_rowid=False,
)

# Append-only. `hash` covers `previous` and every other column, so a changed row shows; `payload`
# is the digest of the rows that the event recorded. An event that moves no ref has an empty `ref`.
events = _table(
    "events",
    [
        _number("seq"),
        Column("created", MOMENT, nullable=False),
        Column("kind", label(16), nullable=False),
        Column("ref", label(255), nullable=False),
        *_link("version_id", "versions.id"),
        Column("parents", JSON, nullable=False),
        *_link("edit_id", "edits.id", nullable=True),
        _text("message"),
        Column("previous", SHA256, nullable=False),
        Column("hash", SHA256, nullable=False),
        Column("payload", SHA256, nullable=True),  # NULL before schema 0003
    ],
)

# What stands on the Hub, as far as this ledger put it there. No link to `versions`: a rollback may
# publish one that this ledger does not know.
publications = _table(
    "publications",
    [
        _number("id"),
        _text("repo"),
        _text("branch"),
        Column("commit_id", label(64), nullable=False),
        Column("version_id", SHA256, nullable=False),
        Column("form", label(16), nullable=False),
        _text("tag", nullable=True),
        Column("created", MOMENT, nullable=False),
        *_event(),
        _index("version_id"),
    ],
    sqlite_with_rowid=False,
)
