"""The tables of the ledger. `SCHEMA` is the migration that made them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

SCHEMA = "0007"
SHA256 = String(64)
MOMENT = String(32)  # ISO 8601, UTC

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, items: Sequence[SchemaItem], **options: Any) -> Table:
    """A table of the ledger with these columns, constraints and indices."""
    return Table(name, metadata, *items, **options)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _files() -> Column[Any]:
    """sha256 of the base's config, tokenizer and the like, by file name; NULL: not known."""
    return Column("files", JSON(none_as_null=True), nullable=True)


def _event() -> Column[int]:
    """The event that recorded a row, whose payload covers it; NULL before schema 0003."""
    return Column("seq", Integer, nullable=True, index=True)


def _link(name: str, target: str, *, key: bool = False, nullable: bool = False) -> Column[str]:
    return Column(name, SHA256, ForeignKey(target), primary_key=key, nullable=nullable)


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
        Column(
            "files", JSON(none_as_null=True), nullable=True
        ),  # sha256 of config, tokenizer, ... by name
    ],
)

# Where the base lies since it was moved; the last row counts, before that `base_models`.
base_places = _table(
    "base_places",
    [
        Column("seq", Integer, primary_key=True, autoincrement=False),
        _text("source"),
        _files(),
    ],
)

facts = _table(
    "facts",
    [
        Column("id", Integer, primary_key=True),
        _text("relation"),
        _text("subject", nullable=True),
        _text("answer", nullable=True),
        _event(),
        Index(None, "relation", "subject"),
    ],
)

edits = _table(
    "edits",
    [
        Column("id", SHA256, primary_key=True),
        Column("seq", Integer, nullable=False),  # the event that recorded it
        _link("base", "base_models.fingerprint"),
        Column("kind", String(16), nullable=False),
        # Of the first fact, as `edit_facts` says it at position 0: events cover them since
        # schema 0003.
        Column("fact_id", Integer, ForeignKey("facts.id"), nullable=False),
        _text("target", nullable=True),
        _text("method"),
        _text("message"),
        # Edits before it with common slots, recorded before schema 0003 only. Slots and recipes
        # tell the same, and among a thousand edits of the same neurons the lists are half a
        # million ids.
        Column("overlaps", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        UniqueConstraint("seq"),
    ],
)

# The facts that an edit changes, in order.
edit_facts = _table(
    "edit_facts",
    [
        _link("edit_id", "edits.id", key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("fact_id", Integer, ForeignKey("facts.id"), nullable=False),
        _text("target", nullable=True),
    ],
    sqlite_with_rowid=False,
)

attributions = _table(
    "attributions",
    [
        _link("edit_id", "edits.id", key=True),
        Column("found", JSON, nullable=False),
    ],
)

edit_slots = _table(
    "edit_slots",
    [
        _link("edit_id", "edits.id", key=True),
        Column("layer", Integer, primary_key=True),
        Column("neuron", Integer, primary_key=True),
        Column("mode", String(8), nullable=False),
        Index(None, "layer", "neuron"),
    ],
)

# Changes of all slots of a layer at once. A layer is in this table or in the one above, never both.
edit_layers = _table(
    "edit_layers",
    [
        _link("edit_id", "edits.id", key=True),
        Column("layer", Integer, primary_key=True),
        Column("kind", String(16), nullable=False),  # low-rank
        Column("rank", Integer, nullable=False),
        Index(None, "layer"),
    ],
)

# A version is stored as what sets its recipe apart from its parent's, so that a thousand edits
# take a thousand rows. The parent says how it is stored, not how it came to be: see `events`.
versions = _table(
    "versions",
    [
        Column("id", SHA256, primary_key=True),
        _link("base", "base_models.fingerprint"),
        Column("created", MOMENT, nullable=False),
        _link("parent_id", "versions.id", nullable=True),
        _event(),
        # Whether only those digests are stored that its parent has not: then what is not said of a
        # tensor is as in the parent, and no digest at all says that nothing touches it any more.
        Column("partial", Boolean, nullable=True),
        # Where it stands in the tree of parents, and a version far up it: see `ancestry`. Made of
        # `parent_id`, and no part of what an event covers.
        Column("depth", Integer, nullable=True),
        _link("jump_id", "versions.id", nullable=True),
    ],
)

version_changes = _table(
    "version_changes",
    [
        _link("version_id", "versions.id", key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        _link("edit_id", "edits.id"),
        Column("added", Boolean, nullable=False),  # at the end of the recipe, or dropped from it
        Index(None, "edit_id"),
    ],
    sqlite_with_rowid=False,
)

# What the changes of many versions come to, so that few rows lead back from any of them: see
# `spans`. Made of `version_changes`, and no part of what an event covers.
version_spans = _table(
    "version_spans",
    [
        _link("version_id", "versions.id", key=True),
        _link("ancestor_id", "versions.id", nullable=True),  # NULL: the empty list
        Column("level", Integer, nullable=False),
        Column("dropped", LargeBinary, nullable=False),  # ids of edits, 32 bytes each
        Column("appended", LargeBinary, nullable=False),
    ],
)

version_tensors = _table(
    "version_tensors",
    [
        _link("version_id", "versions.id", key=True),
        Column("tensor", String(255), primary_key=True),
        Column("sha256", SHA256, nullable=False),  # empty in a partial list: not touched
    ],
    sqlite_with_rowid=False,
)

evaluations = _table(
    "evaluations",
    [
        Column("id", Integer, primary_key=True),
        _link("version_id", "versions.id"),
        _link("edit_id", "edits.id", nullable=True),
        Column("metrics", JSON, nullable=False),
        Column("created", MOMENT, nullable=False),
        _event(),
        Index(None, "edit_id"),
    ],
)

refs = _table(
    "refs",
    [
        Column("name", String(255), primary_key=True),
        Column("kind", String(8), nullable=False),
        _link("version_id", "versions.id"),
    ],
)

# Append-only. `hash` covers `previous` and every other column, so a changed row shows; `payload`
# is the digest of the rows that the event recorded. An event that moves no ref has an empty `ref`.
events = _table(
    "events",
    [
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("created", MOMENT, nullable=False),
        Column("kind", String(16), nullable=False),
        Column("ref", String(255), nullable=False),
        _link("version_id", "versions.id"),
        Column("parents", JSON, nullable=False),
        _link("edit_id", "edits.id", nullable=True),
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
        Column("id", Integer, primary_key=True),
        _text("repo"),
        _text("branch"),
        Column("commit_id", String(64), nullable=False),
        Column("version_id", SHA256, nullable=False),
        Column("form", String(16), nullable=False),
        _text("tag", nullable=True),
        Column("created", MOMENT, nullable=False),
        _event(),
        Index(None, "version_id"),
    ],
)
