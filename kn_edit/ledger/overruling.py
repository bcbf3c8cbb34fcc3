"""Which edits of a log were recorded although the gate refused them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Text, select, type_coerce

from kn_edit.ledger.records import Step
from kn_edit.ledger.tables import attributions
from kn_edit.untrusted import JsonProblem, parse_json

AT_ONCE = 500  # edits of a query; more are looked for among all
NO_FAULTS = '"faults": []'  # as it is written; whatever lacks it is read


def with_verdicts(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps, those marked whose edit the gate refused."""
    edits = {step.edit for step in steps if step.edit is not None}
    refused = overruled(connection, edits)
    return [replace(step, overruled=True) if step.edit in refused else step for step in steps]


def overruled(connection: Connection, edits: Collection[str]) -> set[str]:
    """Those of some edits that the gate refused, as far as their records can be read."""
    found = type_coerce(attributions.c.found, Text)  # the text itself: damaged JSON is no error
    query = select(attributions.c.edit_id, found).where(~found.contains(NO_FAULTS))
    if len(edits) <= AT_ONCE:
        query = query.where(attributions.c.edit_id.in_(list(edits)))
    rows: Iterable[Any] = connection.execute(query)
    return {edit for edit, text in rows if edit in edits and _faults(text)}


def _faults(text: object) -> list[Any]:
    """What the gate found wrong; nothing where the record does not say, or cannot be read."""
    try:
        attribution = parse_json(text) if isinstance(text, (str, bytes)) else None
    except JsonProblem:
        return []
    gate = attribution.get("gate") if isinstance(attribution, dict) else None
    faults = gate.get("faults") if isinstance(gate, dict) else None
    return faults if isinstance(faults, list) else []
