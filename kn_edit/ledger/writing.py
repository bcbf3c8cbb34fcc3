"""Inserting what a move of the branch adds. All of it runs in the caller's one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, update

from kn_edit.errors import DigestsDiffer, HeadMoved, NameTaken, TagExists, UnknownBranch
from kn_edit.ledger import ancestry, changed, events, lists, written
from kn_edit.ledger.connection import Connection, next_number, select
from kn_edit.ledger.history import changes
from kn_edit.ledger.reading import digests as read_digests
from kn_edit.ledger.records import (
    BRANCH,
    Adoption,
    Advance,
    BaseRecord,
    FactChange,
    NewEdit,
    Publication,
)
from kn_edit.ledger.spans import Effect, Span, effect_of, level_due, new_span
from kn_edit.ledger.tables import (
    attributions,
    base_models,
    base_places,
    edits,
    evaluations,
    facts,
    publications,
    refs,
    version_changes,
    version_spans,
    version_tensors,
    versions,
)
from kn_edit.ledger.writes import Writes


def first_rows(connection: Connection, base: BaseRecord, root: str, now: str) -> None:
    """The base model, the version without edits, and the branch that points at it."""
    seq = events.next_seq(connection)
    connection.insert(base_models, {**vars(base), "created": now})
    row = {"id": root, "base": base.fingerprint, "created": now, "seq": seq, "depth": 0}
    connection.insert(versions, row)
    connection.insert(refs, {"name": BRANCH, "kind": "branch", "version_id": root})
    message = f"init {base.name}"
    event = events.NewEvent(created=now, kind="init", ref=BRANCH, version=root, message=message)
    events.append(connection, event)


def check_head(connection: Connection, plan: Advance) -> None:
    """Raise HeadMoved unless the branch is still where the move was planned from.

    Whether it is still the current one does not matter. Raises UnknownBranch where it is no more.
    """
    # The lock is for databases other than SQLite, where BEGIN IMMEDIATE holds it already.
    query = select(refs.c.version_id).where(refs.c.name == plan.branch).with_for_update()
    head = connection.execute(query).scalar()
    if head is None:
        raise UnknownBranch(plan.branch)
    if head != plan.from_head:
        raise HeadMoved(plan.from_head, head)


def move_branch(connection: Connection, plan: Advance, now: str) -> None:
    """Move the branch and write the event of it."""
    move = update(refs).where(refs.c.name == plan.branch).values(version_id=plan.version)
    connection.execute(move)
    events.append(
        connection,
        events.NewEvent(
            created=now,
            kind=plan.kind,
            ref=plan.branch,
            version=plan.version,
            parents=plan.parents,
            edit=plan.edit,
            message=plan.message,
        ),
    )


def place_tag(connection: Connection, name: str, target: str, move: bool, now: str) -> None:
    """Put a tag at a version, and write the event of it.

    Raises NameTaken where a branch has the name, and TagExists unless it may move.
    """
    query = select(refs.c.version_id, refs.c.kind).where(refs.c.name == name).with_for_update()
    existing = connection.execute(query).first()
    if existing is not None and existing.kind != "tag":
        raise NameTaken(name, "branch", "tag")
    if existing is not None and existing.version_id == target:
        return
    if existing is not None and not move:
        raise TagExists(name, existing.version_id)
    connection.execute(delete(refs).where(refs.c.name == name))
    connection.insert(refs, {"name": name, "kind": "tag", "version_id": target})
    event = events.NewEvent(created=now, kind="tag", ref=name, version=target)
    events.append(connection, event)


def place_base(
    connection: Connection, source: str, files: Mapping[str, str] | None, now: str
) -> None:
    """Note where the base lies from now on, and write the event of it."""
    values = {"seq": events.next_seq(connection), "source": source, "files": files}
    connection.insert(base_places, values)
    events.note(connection, created=now, kind="base", message="base moved")


@dataclass(frozen=True)
class _Stored:
    """How a version is stored: as changes of a parent, and the digests of its tensors.

    digests: only those that differ from the parent's where it is partial
    """

    parent: str | None
    steps: Sequence[tuple[str, bool]]
    place: ancestry.Place
    span: Span | None
    digests: Mapping[str, str]
    partial: bool


def add_version(
    connection: Connection, plan: Advance, digests: Mapping[str, str], fingerprint: str, now: str
) -> None:
    """Add the version, or check that a known one gave the same bits. Raises DigestsDiffer."""
    if not _is_known(connection, plan.version, digests):
        seq = events.next_seq(connection)
        form = _form(connection, plan, digests, plan.parents, fingerprint)
        _begin_version(connection, plan.version, form, _Origin(fingerprint, now, seq))
        _fill_version(connection, plan.version, form)


def _form(
    connection: Connection,
    plan: Advance | Adoption,
    digests: Mapping[str, str],
    parents: Sequence[str],
    fingerprint: str,
) -> _Stored:
    """How to store a new version, as changes of one of these."""
    parent, steps = _shortest(connection, fingerprint, plan.recipe, parents)
    span = _span(connection, parent, effect_of(steps), len(plan.recipe))
    # A span ends the line of versions that are read together for their digests, too.
    parent_digests = {} if parent is None or span else read_digests(connection, parent)
    partial = {name: digests.get(name, "") for name in {*parent_digests, *digests}}
    partial = {
        name: digest for name, digest in partial.items() if parent_digests.get(name) != digest
    }
    is_partial = bool(parent_digests) and len(partial) < len(digests)
    return _Stored(
        parent=parent,
        steps=steps,
        place=ancestry.place_of_child(connection, parent),
        span=span,
        digests=partial if is_partial else digests,
        partial=is_partial,
    )


@dataclass(frozen=True)
class _Origin:
    """Which base a version is of; when it was recorded, and by which event."""

    base: str
    created: str
    seq: int


def _begin_version(connection: Connection, version: str, form: _Stored, origin: _Origin) -> None:
    """Add the row of a version, whole: a row that grows later leaves its page half empty."""
    row = {
        "id": version,
        **vars(origin),
        "parent_id": form.parent,
        "partial": True if form.partial else None,
        "depth": form.place.depth,
        "jump_id": form.place.jump,
    }
    connection.insert(versions, row)


def _fill_version(connection: Connection, version: str, form: _Stored) -> None:
    """Add the edits of a version and the digests of its tensors."""
    changed_edits = [
        {"version_id": version, "position": position, "edit_id": edit, "added": added}
        for position, (edit, added) in enumerate(form.steps)
    ]
    tensors = [
        {"version_id": version, "tensor": tensor, "sha256": digest}
        for tensor, digest in form.digests.items()
    ]
    connection.insert(version_changes, changed_edits)
    connection.insert(version_tensors, tensors)
    if form.span is not None:
        _add_span(connection, version, form.span)


def _span(
    connection: Connection, parent: str | None, own_effect: Effect, length: int
) -> Span | None:
    """The span to store with a new version, if it is time for one: mostly no ids are read."""
    outlines = [] if parent is None else lists.outlines(connection, parent)
    if not level_due(own_effect.size, outlines, length):
        return None
    hops = [] if parent is None else lists.way_back(connection, parent)
    return new_span(own_effect, hops, length)


def _add_span(connection: Connection, version: str, span: Span) -> None:
    """Store what a version does to the list of one far before it."""
    row = {
        "version_id": version,
        "ancestor_id": span.ancestor,
        "level": span.level,
        "dropped": span.effect.dropped,
        "appended": span.effect.appended,
    }
    connection.insert(version_spans, row)


def _shortest(
    connection: Connection, fingerprint: str, recipe: Sequence[str], parents: Sequence[str]
) -> tuple[str | None, list[tuple[str, bool]]]:
    """The version whose recipe needs the fewest changes to become this one, and the changes."""
    best: tuple[str | None, list[tuple[str, bool]]] | None = None
    for candidate in parents:
        before = lists.proven_before(fingerprint, candidate)
        if before is None:
            hops = lists.way_back(connection, candidate)
            before = lists.as_recipe(fingerprint, lists.list_of(hops))
        fewest = len(best[1]) if best else len(recipe)
        if abs(len(recipe) - len(before)) >= fewest:  # so many changes are needed at least
            continue
        steps = changes(before, recipe)
        if len(steps) < fewest:
            best = candidate, steps
    return best or (None, changes((), recipe))


def adopt(
    connection: Connection, plan: Adoption, digests: Mapping[str, str], fingerprint: str, now: str
) -> None:
    """Add a version from elsewhere with its edits, an event for each new one, and its ref.

    Raises DigestsDiffer.
    """
    # Before its events, which refer to it; its recipe has to wait for the edits, and is recorded
    # by the event of the ref that comes after theirs.
    form = None
    if not _is_known(connection, plan.version, digests):
        last = events.next_seq(connection) + len(plan.edits)
        form = _form(connection, plan, digests, [events.head_id(connection)], fingerprint)
        _begin_version(connection, plan.version, form, _Origin(fingerprint, now, last))
    for edit in plan.edits:
        # Its event comes right after it: an edit is numbered as the event that made it.
        add_edit(connection, edit, now)
        add_evaluation(connection, plan.version, edit, now)
        _pulled(connection, plan, now, edit.delta.id, edit.message)
    if form is not None:
        _fill_version(connection, plan.version, form)
    query = select(refs.c.version_id).where(refs.c.name == plan.source)
    if connection.execute(query).scalar() != plan.version:
        connection.execute(delete(refs).where(refs.c.name == plan.source))
        row = {"name": plan.source, "kind": "remote", "version_id": plan.version}
        connection.insert(refs, row)
        _pulled(connection, plan, now, None, plan.message)


def _pulled(
    connection: Connection, plan: Adoption, now: str, edit: str | None, message: str
) -> None:
    events.append(
        connection,
        events.NewEvent(
            created=now,
            kind="pull",
            ref=plan.source,
            version=plan.version,
            edit=edit,
            message=message,
        ),
    )


def _is_known(connection: Connection, version: str, digests: Mapping[str, str]) -> bool:
    """Whether the ledger has a version, with these digests. Raises DigestsDiffer."""
    query = select(versions.c.id).where(versions.c.id == version)
    if connection.execute(query).scalar() is None:
        return False
    stored = read_digests(connection, version)
    names = stored.keys() | digests.keys()
    differing = sorted(name for name in names if stored.get(name) != digests.get(name))
    if differing:
        raise DigestsDiffer(version, tuple(differing))
    return True


def add_publication(connection: Connection, publication: Publication, now: str) -> None:
    """Note that a version was published. A push that found all in place adds no second row."""
    columns = {
        "repo": publication.repo,
        "branch": publication.branch,
        "commit_id": publication.commit,
        "version_id": publication.version,
        "form": publication.form,
        "tag": publication.tag,
    }
    matches = (publications.c[name].is_not_distinct_from(value) for name, value in columns.items())
    if connection.execute(select(publications.c.id).where(*matches)).first() is None:
        id_, seq = next_number(connection, publications.c.id), events.next_seq(connection)
        connection.insert(publications, {"id": id_, **columns, "created": now, "seq": seq})
        events.note(
            connection, created=now, kind="publish", message=f"publish {publication.version}"
        )


def add_edit(connection: Connection, edit: NewEdit, now: str) -> None:
    """Add the edit with its facts, writes and attribution. A known one stays as it is recorded."""
    delta = edit.delta
    if connection.execute(select(edits.c.id).where(edits.c.id == delta.id)).scalar() is not None:
        return
    rows = [(_fact(connection, fact), fact.target) for fact in edit.facts]
    row = {
        "id": delta.id,
        "seq": events.next_seq(connection),
        "base": delta.base.fingerprint,
        "kind": edit.kind,
        "fact_id": rows[0][0],
        "target": edit.target,
        "method": edit.method,
        "message": edit.message,
        "overlaps": [],
        "created": now,
    }
    connection.insert(edits, row)
    connection.insert(attributions, {"edit_id": delta.id, "found": dict(edit.found)})
    changed.add(connection, delta.id, rows)
    written.add(connection, delta.id, Writes.of(delta))


def add_evaluation(connection: Connection, version: str, edit: NewEdit, now: str) -> None:
    """Add what was measured right after the edit."""
    values = {
        "id": next_number(connection, evaluations.c.id),
        "version_id": version,
        "edit_id": edit.delta.id,
        "metrics": dict(edit.metrics),
        "created": now,
        "seq": events.next_seq(connection),
    }
    connection.insert(evaluations, values)


def _fact(connection: Connection, fact: FactChange) -> int:
    """The number of a fact, which is added where it is not known."""
    query = select(facts.c.id).where(
        facts.c.relation == fact.relation,
        facts.c.subject.is_not_distinct_from(fact.subject),
        facts.c.answer.is_not_distinct_from(fact.answer),
    )
    existing_id = connection.execute(query).scalar()
    if existing_id is not None:
        return int(existing_id)
    number = next_number(connection, facts.c.id)
    values = {
        "id": number,
        "relation": fact.relation,
        "subject": fact.subject,
        "answer": fact.answer,
        "seq": events.next_seq(connection),
    }
    connection.insert(facts, values)
    return number
