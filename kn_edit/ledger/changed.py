"""The table of the facts that edits change: one each, or many.

The first fact of an edit stands in `edits` as well, whose rows were covered by events before this
table came. So the row at position 0 says nothing new: it is in no payload, and compared instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import and_, or_

from kn_edit.ledger.connection import Connection, linked, select
from kn_edit.ledger.parts import parts
from kn_edit.ledger.records import FactChange
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import edit_facts, edits, facts

_OTHER_FIRST = (
    select(edits.c.id)
    .outerjoin(
        edit_facts, and_(linked(edit_facts.c.edit_id, edits.c.id), edit_facts.c.position == 0)
    )
    .where(
        or_(
            edit_facts.c.edit_id.is_(None),
            edit_facts.c.fact_id.is_distinct_from(edits.c.fact_id),
            edit_facts.c.target.is_distinct_from(edits.c.target),
        )
    )
)
_OF_NO_EDIT = (
    select(edit_facts.c.edit_id)
    .outerjoin(edits, linked(edits.c.id, edit_facts.c.edit_id))
    .where(edit_facts.c.position == 0, edits.c.id.is_(None))
)


def add(connection: Connection, edit: str, rows: Sequence[tuple[int, str | None]]) -> None:
    """Add a row for each fact that an edit changes: the number of the fact, its new answer."""
    values = [
        {"edit_id": edit, "position": position, "fact_id": fact, "target": target}
        for position, (fact, target) in enumerate(rows)
    ]
    connection.insert(edit_facts, values)


def about(connection: Connection, facts_of: Collection[tuple[str, str | None]]) -> set[str]:
    """Edits that update one of these facts, or erase its relation.

    facts_of: relations with subjects; without one: every fact of the relation
    """
    named = select(edit_facts.c.edit_id, facts.c.relation, facts.c.subject).join(
        facts, linked(facts.c.id, edit_facts.c.fact_id)
    )
    relations = {relation for relation, _ in facts_of}
    whole_relations = [relation for relation, subject in facts_of if subject is None]
    erased = named.where(facts.c.subject.is_(None))
    subjects = {subject for _, subject in facts_of if subject is not None}
    wanted = {*facts_of}
    queries = (
        *parts(erased, facts.c.relation, relations),
        *parts(named, facts.c.relation, whole_relations),
        *parts(named, facts.c.subject, subjects),
    )
    return {
        str(row.edit_id)
        for query in queries
        for row in connection.execute(query)
        if row.subject is None or {(row.relation, row.subject), (row.relation, None)} & wanted
    }


def of_edits(
    connection: Connection, edit_rows: Sequence[Row], ids: Collection[str] | None
) -> dict[str, tuple[FactChange, ...]]:
    """The facts that each of these edits changes, in order. Raises DamagedRow.

    edit_rows: rows of `edits`; ids: theirs, or None for all
    """
    query = (
        select(edit_facts, facts.c.relation, facts.c.subject, facts.c.answer)
        .outerjoin(facts, linked(facts.c.id, edit_facts.c.fact_id))
        .order_by(edit_facts.c.edit_id, edit_facts.c.position)
    )
    rows: dict[str, list[Row]] = defaultdict(list)
    for part in parts(query, edit_facts.c.edit_id, ids):
        for values in connection.execute(part).mappings():
            row = Row("edit_facts", values)
            rows[row.text("edit_id")].append(row)
    return {edit.text("id"): _facts(edit, rows[edit.text("id")]) for edit in edit_rows}


def _facts(edit: Row, rows: Sequence[Row]) -> tuple[FactChange, ...]:
    """The facts of an edit, the first of which is the one that its own row names."""
    first = [(row.number("fact_id"), row.text_or_none("target")) for row in rows[:1]]
    places = [row.number("position") for row in rows]
    named_fact = (edit.number("fact_id"), edit.text_or_none("target"))
    if first != [named_fact] or places != [*range(len(rows))]:
        raise DamagedRow(f"the facts of edit {edit.text('id')} are not those that it changed")
    return tuple(
        FactChange(
            relation=row.text("relation"),
            subject=row.text_or_none("subject"),
            answer=row.text_or_none("answer"),
            target=row.text_or_none("target"),
        )
        for row in rows
    )


def misplaced(connection: Connection) -> Iterator[str]:
    """Edits whose first fact is not the one that their own row names, and ids of no edit."""
    for query in (_OTHER_FIRST, _OF_NO_EDIT):
        yield from (str(edit) for edit in connection.execute(query).scalars())
