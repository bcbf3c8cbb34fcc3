"""Which edits of a log were recorded although the gate refused them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Text, type_coerce

from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.parts import parts
from kn_edit.ledger.records import Step, gate_faults
from kn_edit.ledger.tables import attributions
from kn_edit.untrusted import JsonProblem, parse_json

NO_FAULTS = '"faults": []'  # as it is written; whatever lacks it is read


def with_verdicts(connection: Connection, steps: Sequence[Step]) -> list[Step]:
    """The steps, those marked whose edit the gate refused."""
    edits = {step.edit for step in steps if step.edit is not None}
    refused = overruled(connection, edits)
    return [replace(step, overruled=True) if step.edit in refused else step for step in steps]


def overruled(connection: Connection, edits: Collection[str]) -> set[str]:
    """Those of some edits that the gate refused, as far as their records can be read."""
    # The text itself: damaged JSON is no error.
    found = type_coerce(attributions.c.found, Text).label("text")
    query = select(attributions.c.edit_id, found).where(~found.contains(NO_FAULTS))
    queries = parts(query, attributions.c.edit_id, edits)
    rows = (row for part in queries for row in connection.execute(part))
    return {str(row.edit_id) for row in rows if gate_faults(_attribution(row.text))}


def _attribution(text: object) -> object:
    """What is recorded of how an edit was found; None where it cannot be read."""
    try:
        return parse_json(text) if isinstance(text, (str, bytes)) else None
    except JsonProblem:
        return None
