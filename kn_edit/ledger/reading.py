"""Rows of the ledger as records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from operator import ne
from typing import Any

from sqlalchemy import text

from kn_edit.errors import UnknownId
from kn_edit.ledger import changed, coverage, lists, set_members, written
from kn_edit.ledger.connection import Connection, linked, select
from kn_edit.ledger.events import CURRENT, current_branch
from kn_edit.ledger.lists import each_recipe as each_recipe
from kn_edit.ledger.membership import members, members_of_each
from kn_edit.ledger.parts import parts
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import (
    BaseRecord,
    Blame,
    EditRecord,
    FactChange,
    Publication,
    Ref,
    VersionRecord,
)
from kn_edit.ledger.spans import FANOUT
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import (
    attributions,
    base_models,
    base_places,
    edits,
    evaluations,
    events,
    publications,
    refs,
)
from kn_edit.ledger.writes import NOTHING, Writes, all_of, writers
from kn_edit.neuron import NeuronId

_FEW = 16  # edits that are looked up one by one
_KINDS = ("branch", "remote", "tag")  # of refs, in the order in which they are told

# The digests of a version, after those of the versions that say what it leaves out.
_DIGESTS = text(
    f"""
    WITH RECURSIVE line (id, parent_id, partial, depth) AS (
        SELECT v.id, v.parent_id, v.partial, 0 FROM versions v
        WHERE v.workspace_id = :workspace AND v.id = :version
        UNION ALL
        SELECT v.id, v.parent_id, v.partial, line.depth + 1
        FROM line JOIN versions v ON v.workspace_id = :workspace AND v.id = line.parent_id
        WHERE line.partial AND line.depth < {FANOUT}
    )
    SELECT t.tensor, t.sha256
    FROM line JOIN version_tensors t ON t.workspace_id = :workspace AND t.version_id = line.id
    ORDER BY line.depth DESC
    """
)


def base(connection: Connection) -> BaseRecord:
    """The model that this ledger is about, at the place where it was moved last."""
    row = _base(connection)
    moved = select(base_places).order_by(base_places.c.seq.desc()).limit(1)
    place = connection.execute(moved).mappings().first()
    where = row if place is None else Row("base_places", place)
    return BaseRecord(
        name=row.text("name"),
        repo=row.text_or_none("repo"),
        revision=row.text_or_none("revision"),
        fingerprint=row.text("fingerprint"),
        source=where.text("source"),
        model_type=row.text("model_type"),
        dtype=row.text("dtype"),
        files=where.texts_by_name_or_none("files"),
    )


def fingerprint(connection: Connection) -> str:
    """The fingerprint of the model that this ledger is about."""
    return _base(connection).text("fingerprint")


def _base(connection: Connection) -> Row:
    rows = connection.execute(select(base_models).limit(2)).mappings().all()
    if len(rows) != 1:
        raise DamagedRow("the base model is not there" if not rows else "it has two base models")
    return Row("base_models", rows[0])


def recipe(connection: Connection, version: str) -> Recipe:
    """The edits of a version, in order. Raises DamagedRow where they are not those of its id."""
    return lists.read(connection, fingerprint(connection), version)


def version(connection: Connection, id_: str) -> VersionRecord:
    """A version with its edits and the digests of its tensors."""
    return VersionRecord(id_, recipe(connection, id_), digests(connection, id_))


def digests(connection: Connection, version: str) -> dict[str, str]:
    """sha256 of each tensor that a version touches, by its name."""
    by_tensor: dict[str, str] = {}
    for values in connection.execute(_DIGESTS, {"version": version}).mappings():
        row = Row("version_tensors", values)
        by_tensor[row.text("tensor")] = row.text("sha256")
    return {tensor: by_tensor[tensor] for tensor in sorted(by_tensor) if by_tensor[tensor]}


def edit_records(
    connection: Connection, ids: Iterable[str] | None = None, *, overlaps: bool = True
) -> list[EditRecord]:
    """The edits with these ids, or all of them, oldest first. Raises DamagedRow.

    overlaps: also which edits shared slots with each, for which lists are read

    What an event recorded is compared with its payload, so that nothing else is ever told.
    """
    ids = None if ids is None else list(ids)
    query = select(edits, attributions.c.found).outerjoin(
        attributions, linked(attributions.c.edit_id, edits.c.id)
    )
    rows = [
        Row("edits", row)
        for part in parts(query, edits.c.id, ids)
        for row in connection.execute(part).mappings().all()
    ]
    coverage.require(connection, [row.number("seq") for row in rows])
    facts = changed.of_edits(connection, rows, ids)
    writes, metrics = written.of_edits(connection, ids), _metrics(connection, ids)
    overlapping = _overlaps(connection, writes) if overlaps else {}
    return [
        _edit(
            row,
            facts=facts[row.text("id")],
            writes=writes.get(row.text("id"), NOTHING),
            metrics=metrics.get(row.text("id"), {}),
            overlaps=row.texts("overlaps") or overlapping.get(row.text("id"), ()),
        )
        for row in sorted(rows, key=lambda row: row.number("seq"))
    ]


def newest_edits(connection: Connection, most: int, before: str | None = None) -> list[str]:
    """The ids of the edits that were recorded last, newest first.

    before: the id of an edit; only those that were recorded before it. Raises UnknownId.
    """
    query = select(edits.c.id).order_by(edits.c.seq.desc()).limit(most)
    if before is not None:
        row = connection.execute(select(edits.c.seq).where(edits.c.id == before)).first()
        if row is None:
            raise UnknownId("edit", before)
        query = query.where(edits.c.seq < row.seq)
    return list(connection.execute(query).scalars())


def ids_of_method(connection: Connection, method: str) -> set[str]:
    """The ids of the edits that a method made."""
    query = select(edits.c.id).where(edits.c.method == method)
    return {*connection.execute(query).scalars()}


def made_by(connection: Connection, method: str, ids: Iterable[str]) -> set[str]:
    """Those of the edits that a method made."""
    query = select(edits.c.id).where(edits.c.method == method)
    queries = parts(query, edits.c.id, ids)
    return {edit for part in queries for edit in connection.execute(part).scalars()}


def known_edits(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that there is an edit for."""
    queries = parts(select(edits.c.id), edits.c.id, ids)
    return {edit for query in queries for edit in connection.execute(query).scalars()}


def needed_anywhere(connection: Connection, ids: Iterable[str]) -> set[str]:
    """Those of the ids that some workspace of the database has an edit for, or a member of one."""
    ids = [*ids]
    of_edits = set(map(str, connection.everywhere(edits.c.id, ids)))
    rest = [id_ for id_ in ids if id_ not in of_edits]
    return of_edits | set_members.named_anywhere(connection, rest)


def blame(connection: Connection, neuron: NeuronId, head: str) -> list[Blame]:
    """The edits that write the slot of a neuron, oldest first. head: the version that the branch
    points at."""
    modes = written.modes(connection, neuron)
    in_head = {*members(connection, fingerprint(connection), head, modes)}
    return [
        Blame(edit, modes[edit.id], edit.id in in_head) for edit in edit_records(connection, modes)
    ]


def all_refs(connection: Connection) -> list[Ref]:
    """The branches, then what was pulled, then the tags, each by name. Raises DamagedRow."""
    rows = connection.execute(select(refs).order_by(refs.c.name)).mappings()
    stored = [_ref(Row("refs", row)) for row in rows]
    current = current_branch(connection).name
    return [
        replace(ref, current=ref.name == current)
        for ref in sorted(stored, key=lambda ref: _KINDS.index(ref.kind))
    ]


def _ref(row: Row) -> Ref:
    kind = row.text("kind")
    kind = "branch" if kind == CURRENT else kind
    if kind not in _KINDS:
        raise DamagedRow("the kind of a row of refs is none that kn-edit knows")
    return Ref(row.text("name"), kind, row.text("version_id"))


def all_publications(connection: Connection) -> list[Publication]:
    """What was published from this ledger, oldest first."""
    query = select(publications).order_by(publications.c.id)
    stored = (Row("publications", row) for row in connection.execute(query).mappings())
    return [
        Publication(
            repo=row.text("repo"),
            branch=row.text("branch"),
            commit=row.text("commit_id"),
            version=row.text("version_id"),
            form=row.text("form"),
            tag=row.text_or_none("tag"),
            created=row.text("created"),
        )
        for row in stored
    ]


def _overlaps(connection: Connection, writes: Mapping[str, Writes]) -> dict[str, tuple[str, ...]]:
    """For each of these edits, those that share slots and stood before it when it was recorded.

    writes: what each of the edits writes
    """
    sharing_edits = writers(written.sharing(connection, all_of(writes.values())), writes)
    recorded = _recorded_with(connection, [edit for edit in writes if len(sharing_edits[edit]) > 1])
    stood = _stood(connection, recorded, sharing_edits)
    return {edit: tuple(takewhile(partial(ne, edit), stood[edit])) for edit in recorded}


def _stood(
    connection: Connection, recorded: Mapping[str, str], sharing: Mapping[str, Collection[str]]
) -> dict[str, Sequence[str]]:
    """For each edit those sharing slots with it that the version has which it came with, in order.

    recorded: the versions that they came with. Where they are many, lists are read.
    """
    if len(recorded) <= _FEW:
        wanted: dict[str, set[str]] = defaultdict(set)
        for edit, version in recorded.items():
            wanted[version] |= {*sharing[edit]}
        members = members_of_each(connection, fingerprint(connection), wanted)
        return {
            edit: [other for other in members[version] if other in sharing[edit]]
            for edit, version in recorded.items()
        }
    recipes = recipes_of(connection, list(dict.fromkeys(recorded.values())))
    places = {
        edit: recipes.get(version, Recipe()).places(sharing[edit])
        for edit, version in recorded.items()
    }
    return {edit: sorted(places[edit], key=places[edit].__getitem__) for edit in recorded}


def _recorded_with(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """The version that each of these edits came with."""
    query = select(edits.c.id, events.c.version_id).join(events, linked(events.c.seq, edits.c.seq))
    return {
        row.id: row.version_id
        for part in parts(query, edits.c.id, ids)
        for row in connection.execute(part)
    }


def recipes_of(connection: Connection, ids: Collection[str]) -> dict[str, Recipe]:
    """The edits of several versions; those that are not there are left out. Raises DamagedRow."""
    return lists.look_at_each(connection, fingerprint(connection), ids)


def _metrics(connection: Connection, ids: Iterable[str] | None) -> dict[str, Any]:
    """What was measured when each of these edits was recorded first."""
    query = select(evaluations.c.edit_id, evaluations.c.metrics).order_by(evaluations.c.id)
    measured: dict[str, Any] = {}
    for part in parts(query.where(evaluations.c.edit_id.is_not(None)), evaluations.c.edit_id, ids):
        for row in connection.execute(part).mappings():
            stored = Row("evaluations", row)
            measured.setdefault(stored.text("edit_id"), stored.mapping("metrics"))
    return measured


def _edit(
    row: Row,
    *,
    facts: tuple[FactChange, ...],
    writes: Writes,
    metrics: Any,
    overlaps: tuple[str, ...],
) -> EditRecord:
    return EditRecord(
        id=row.text("id"),
        kind=row.text("kind"),
        **vars(facts[0]),
        further=facts[1:],
        method=row.text("method"),
        found=row.mapping("found"),
        metrics=metrics,
        message=row.text("message"),
        created=row.text("created"),
        overlaps=overlaps,
        neurons=tuple(writes.slots),
        layers=writes.changes,
    )
