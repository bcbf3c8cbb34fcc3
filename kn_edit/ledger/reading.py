"""Rows of the ledger as records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, RowMapping, select

from kn_edit.ledger.history import Recipe
from kn_edit.ledger.records import (
    BRANCH,
    BaseRecord,
    Blame,
    EditRecord,
    Publication,
    Ref,
    Step,
    VersionRecord,
)
from kn_edit.ledger.tables import (
    attributions,
    base_models,
    edit_slots,
    edits,
    evaluations,
    events,
    facts,
    publications,
    refs,
    version_edits,
    version_tensors,
)
from kn_edit.neuron import NeuronId

_AT_ONCE = 500  # variables of one statement; older SQLite takes 999


def base(connection: Connection) -> BaseRecord:
    """The model that this ledger is about."""
    row = dict(connection.execute(select(base_models)).mappings().one())
    del row["created"]
    return BaseRecord(**row)


def recipe(connection: Connection, version: str) -> Recipe:
    """The edits of a version, in order."""
    query = select(version_edits.c.edit_id).where(version_edits.c.version_id == version)
    return tuple(connection.execute(query.order_by(version_edits.c.position)).scalars())


def version(connection: Connection, id_: str) -> VersionRecord:
    """A version with its edits and the digests of its tensors."""
    query = select(version_tensors.c.tensor, version_tensors.c.sha256).where(
        version_tensors.c.version_id == id_
    )
    rows = connection.execute(query.order_by(version_tensors.c.tensor)).all()
    return VersionRecord(id_, recipe(connection, id_), {row.tensor: row.sha256 for row in rows})


def modes(connection: Connection, edit: str) -> dict[NeuronId, str]:
    """The slots that an edit writes, and whether it adds to them or sets them."""
    query = (
        select(edit_slots)
        .where(edit_slots.c.edit_id == edit)
        .order_by(edit_slots.c.layer, edit_slots.c.neuron)
    )
    return {NeuronId(row.layer, row.neuron): row.mode for row in connection.execute(query)}


def edit_records(connection: Connection, ids: Iterable[str] | None = None) -> list[EditRecord]:
    """The edits with these ids, or all of them, oldest first."""
    query = (
        select(
            edits,
            facts.c.relation,
            facts.c.subject,
            facts.c.answer,
            attributions.c.found,
        )
        .join(facts, facts.c.id == edits.c.fact_id)
        .join(attributions, attributions.c.edit_id == edits.c.id)
        .order_by(edits.c.seq)
    )
    if ids is not None:
        query = query.where(edits.c.id.in_(list(ids)))
    return [_edit(connection, row) for row in connection.execute(query).mappings().all()]


def known_edits(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that there is an edit for."""
    wanted = list(ids)
    found: set[str] = set()
    for first in range(0, len(wanted), _AT_ONCE):
        some = edits.c.id.in_(wanted[first : first + _AT_ONCE])
        found.update(connection.execute(select(edits.c.id).where(some)).scalars())
    return found


def blame(connection: Connection, neuron: NeuronId, head: Recipe) -> list[Blame]:
    """The edits that write the slot of a neuron, oldest first."""
    query = select(edit_slots.c.edit_id, edit_slots.c.mode).where(
        edit_slots.c.layer == neuron.layer, edit_slots.c.neuron == neuron.index
    )
    found = {row.edit_id: row.mode for row in connection.execute(query)}
    return [
        Blame(edit, found[edit.id], edit.id in head) for edit in edit_records(connection, found)
    ]


def all_refs(connection: Connection) -> list[Ref]:
    """The branch, then what was pulled, then the tags, each by name."""
    rows = connection.execute(select(refs).order_by(refs.c.kind, refs.c.name))
    return [Ref(row.name, row.kind, row.version_id) for row in rows]


def steps(connection: Connection) -> list[Step]:
    """The moves of the branch, newest first, down to the root version."""
    names: dict[str, list[str]] = defaultdict(list)
    for ref in all_refs(connection):
        names[ref.version].append(ref.name)
    query = select(events).where(events.c.ref == BRANCH).order_by(events.c.seq.desc())
    return [
        Step(
            seq=row.seq,
            created=row.created,
            kind=row.kind,
            version=row.version_id,
            parents=tuple(row.parents),
            edits=recipe(connection, row.version_id),
            edit=row.edit_id,
            message=row.message,
            # A version may come back in a later step; its names stand at the newest one.
            refs=tuple(names.pop(row.version_id, ())),
        )
        for row in connection.execute(query).all()
    ]


def all_publications(connection: Connection) -> list[Publication]:
    """What was published from this ledger, oldest first."""
    query = select(publications).order_by(publications.c.id)
    return [
        Publication(
            row.repo, row.branch, row.commit_id, row.version_id, row.form, row.tag, row.created
        )
        for row in connection.execute(query)
    ]


def _edit(connection: Connection, row: RowMapping) -> EditRecord:
    measured = (
        select(evaluations.c.metrics)
        .where(evaluations.c.edit_id == row["id"])
        .order_by(evaluations.c.id)
        .limit(1)
    )
    return EditRecord(
        id=row["id"],
        kind=row["kind"],
        relation=row["relation"],
        subject=row["subject"],
        answer=row["answer"],
        target=row["target"],
        method=row["method"],
        found=row["found"],
        metrics=connection.execute(measured).scalar() or {},
        message=row["message"],
        created=row["created"],
        overlaps=tuple(row["overlaps"]),
        neurons=tuple(modes(connection, row["id"])),
    )
