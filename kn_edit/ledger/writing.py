"""Inserting what a move of the branch adds. All of it runs in the caller's one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from kn_edit.errors import DigestsDiffer, HeadMoved, TagExists
from kn_edit.ledger import events
from kn_edit.ledger.reading import modes
from kn_edit.ledger.reading import version as read_version
from kn_edit.ledger.records import BRANCH, Adoption, Advance, BaseRecord, NewEdit, Publication
from kn_edit.ledger.tables import (
    attributions,
    base_models,
    edit_slots,
    edits,
    evaluations,
    facts,
    publications,
    refs,
    version_edits,
    version_tensors,
    versions,
)


def first_rows(connection: Connection, base: BaseRecord, root: str, now: str) -> None:
    """The base model, the version without edits, and the branch that points at it."""
    connection.execute(insert(base_models).values(**vars(base), created=now))
    connection.execute(insert(versions).values(id=root, base=base.fingerprint, created=now))
    connection.execute(insert(refs).values(name=BRANCH, kind="branch", version_id=root))
    events.append(
        connection, created=now, kind="init", ref=BRANCH, version=root, message=f"init {base.name}"
    )


def check_head(connection: Connection, plan: Advance) -> None:
    """Raise HeadMoved unless the branch is still where the move was planned from."""
    # The lock is for databases other than SQLite, where BEGIN IMMEDIATE holds it already.
    query = select(refs.c.version_id).where(refs.c.name == BRANCH).with_for_update()
    head = connection.execute(query).scalar_one()
    if head != plan.from_head:
        raise HeadMoved(plan.from_head, head)


def move_branch(connection: Connection, plan: Advance, now: str) -> None:
    """Move the branch and write the event of it."""
    move = update(refs).where(refs.c.name == BRANCH).values(version_id=plan.version)
    connection.execute(move)
    events.append(
        connection,
        created=now,
        kind=plan.kind,
        ref=BRANCH,
        version=plan.version,
        parents=plan.parents,
        edit=plan.edit,
        message=plan.message,
    )


def place_tag(connection: Connection, name: str, target: str, move: bool, now: str) -> None:
    """Put a tag at a version, and write the event of it. Raises TagExists unless it may move."""
    query = select(refs.c.version_id).where(refs.c.name == name).with_for_update()
    known = connection.execute(query).scalar()
    if known == target:
        return
    if known is not None and not move:
        raise TagExists(name, known)
    connection.execute(delete(refs).where(refs.c.name == name))
    connection.execute(insert(refs).values(name=name, kind="tag", version_id=target))
    events.append(connection, created=now, kind="tag", ref=name, version=target)


def add_version(
    connection: Connection, plan: Advance, digests: Mapping[str, str], fingerprint: str, now: str
) -> None:
    """Add the version, or check that a known one gave the same bits. Raises DigestsDiffer."""
    if _begin_version(connection, plan, digests, fingerprint, now):
        _describe_version(connection, plan, digests)


def _begin_version(
    connection: Connection,
    plan: Advance | Adoption,
    digests: Mapping[str, str],
    fingerprint: str,
    now: str,
) -> bool:
    """Add the version with nothing in it; whether it is new. Raises DigestsDiffer."""
    known = _is_known(connection, plan.version, digests)
    if not known:
        row = {"id": plan.version, "base": fingerprint, "created": now}
        connection.execute(insert(versions).values(row))
    return not known


def _describe_version(
    connection: Connection, plan: Advance | Adoption, digests: Mapping[str, str]
) -> None:
    """What makes up a version that was just added: its edits, the digests of its tensors."""
    recipe = [
        {"version_id": plan.version, "position": position, "edit_id": edit}
        for position, edit in enumerate(plan.recipe)
    ]
    tensors = [
        {"version_id": plan.version, "tensor": tensor, "sha256": digest}
        for tensor, digest in digests.items()
    ]
    if recipe:
        connection.execute(insert(version_edits), recipe)
    if tensors:
        connection.execute(insert(version_tensors), tensors)


def adopt(
    connection: Connection, plan: Adoption, digests: Mapping[str, str], fingerprint: str, now: str
) -> None:
    """Add a version from elsewhere with its edits, an event for each new one, and its ref.

    Raises DigestsDiffer.
    """
    # Before its events, which refer to it; its recipe has to wait for the edits.
    new = _begin_version(connection, plan, digests, fingerprint, now)
    for edit in plan.edits:
        before = plan.recipe[: plan.recipe.index(edit.delta.id)]
        # Its event comes right after it: an edit is numbered as the event that made it.
        add_edit(connection, _overlapping(connection, edit, before), edit, now)
        _pulled(connection, plan, now, edit.delta.id, edit.message)
        add_evaluation(connection, plan.version, edit, now)
    if new:
        _describe_version(connection, plan, digests)
    query = select(refs.c.version_id).where(refs.c.name == plan.source)
    if connection.execute(query).scalar() != plan.version:
        connection.execute(delete(refs).where(refs.c.name == plan.source))
        row = {"name": plan.source, "kind": "remote", "version_id": plan.version}
        connection.execute(insert(refs).values(row))
        _pulled(connection, plan, now, None, plan.message)


def _pulled(
    connection: Connection, plan: Adoption, now: str, edit: str | None, message: str
) -> None:
    events.append(
        connection,
        created=now,
        kind="pull",
        ref=plan.source,
        version=plan.version,
        edit=edit,
        message=message,
    )


def _overlapping(connection: Connection, edit: NewEdit, before: Sequence[str]) -> tuple[str, ...]:
    """The edits of a recipe that write some of the slots of one that comes after them."""
    slots = set(edit.delta.neurons())
    return tuple(other for other in before if slots & modes(connection, other).keys())


def _is_known(connection: Connection, version: str, digests: Mapping[str, str]) -> bool:
    """Whether the ledger has a version, with these digests. Raises DigestsDiffer."""
    query = select(versions.c.id).where(versions.c.id == version)
    if connection.execute(query).scalar() is None:
        return False
    known = read_version(connection, version).digests
    names = known.keys() | digests.keys()
    differing = sorted(name for name in names if known.get(name) != digests.get(name))
    if differing:
        raise DigestsDiffer(version, tuple(differing))
    return True


def add_publication(connection: Connection, one: Publication, now: str) -> None:
    """Note that a version was published. A push that found all in place adds no second row."""
    columns = {
        "repo": one.repo,
        "branch": one.branch,
        "commit_id": one.commit,
        "version_id": one.version,
        "form": one.form,
        "tag": one.tag,
    }
    same = (publications.c[name].is_not_distinct_from(value) for name, value in columns.items())
    if connection.execute(select(publications.c.id).where(*same)).first() is None:
        connection.execute(insert(publications).values(**columns, created=now))


def add_edit(connection: Connection, overlaps: Iterable[str], edit: NewEdit, now: str) -> None:
    """Add the edit with its fact, slots and attribution. A known one stays as it was recorded.

    overlaps: the edits before it that write some of its slots
    """
    delta = edit.delta
    if connection.execute(select(edits.c.id).where(edits.c.id == delta.id)).scalar() is not None:
        return
    connection.execute(
        insert(edits).values(
            id=delta.id,
            seq=events.next_seq(connection),
            base=delta.base.fingerprint,
            kind=edit.kind,
            fact_id=_fact(connection, edit),
            target=edit.target,
            method=edit.method,
            message=edit.message,
            overlaps=list(dict.fromkeys(overlaps)),
            created=now,
        )
    )
    connection.execute(insert(attributions).values(edit_id=delta.id, found=dict(edit.found)))
    rows = [
        {"edit_id": delta.id, "layer": slot.layer, "neuron": slot.index, "mode": mode}
        for slot, mode in delta.modes().items()
    ]
    connection.execute(insert(edit_slots), rows)


def add_evaluation(connection: Connection, version: str, edit: NewEdit, now: str) -> None:
    """Add what was measured right after the edit."""
    measured = {"version_id": version, "edit_id": edit.delta.id, "metrics": dict(edit.metrics)}
    connection.execute(insert(evaluations).values(**measured, created=now))


def _fact(connection: Connection, edit: NewEdit) -> int:
    query = select(facts.c.id).where(
        facts.c.relation == edit.relation,
        facts.c.subject.is_not_distinct_from(edit.subject),
        facts.c.answer.is_not_distinct_from(edit.answer),
    )
    known = connection.execute(query).scalar()
    if known is not None:
        return int(known)
    values = {"relation": edit.relation, "subject": edit.subject, "answer": edit.answer}
    key = connection.execute(insert(facts).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])
