"""Joint edits as sets of facts, told from their records. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kn_edit.editing.requests import message_of, recorded_key
from kn_edit.edits.settings import JointSettings
from kn_edit.facts import ALIAS_FIELDS, FactKey
from kn_edit.ledger.records import MEMBER, EditRecord, FactChange, FactRecord

# What is recorded of a fact alone; all else that is recorded is of its edit.
OF_A_FACT = ("own", "templates", "held_out", "paraphrases", *ALIAS_FIELDS, "judged_by", MEMBER)
_OF_AN_EDIT = ("neutral_", "earlier")  # begin the names of figures that no fact has alone

LoadMember = Callable[[str], bytes | None]  # the file of a member by its id; None: it is not here


@dataclass(frozen=True, eq=False)
class JointSet:
    """A joint edit of a version, which facts can join and leave.

    load: the file of a member
    """

    edit: EditRecord
    load: LoadMember

    def without(self, keys: Sequence[FactKey]) -> tuple[FactRecord, ...]:
        """Its facts, but for those that these keys are of."""
        return tuple(
            record for record in self.edit.by_fact if not any(_is_of(key, record) for key in keys)
        )


def joinable(
    edits: Sequence[EditRecord], settings: JointSettings, seed: int, keys: Sequence[FactKey]
) -> EditRecord | None:
    """The joint edit of a recipe that facts join; None where they make one of their own.

    The last one with these settings and this seed. None too where a later edit of the recipe
    changes one of the facts: what was said last would be overruled by what stands before it.
    """
    for edit in reversed(edits):
        is_alike = edit.found.get("settings") == asdict(settings) and edit.found.get("seed") == seed
        if is_alike and len(edit.members) == len(edit.facts):
            return edit
        if any(_is_of(key, record) for record in edit.by_fact for key in keys):
            return None
    return None


def entry_of(record: FactRecord) -> dict[str, Any]:
    """What is recorded of a fact in an edit of many."""
    entry = {name: record.found[name] for name in OF_A_FACT if name in record.found}
    return entry | {"metrics": fact_metrics(record.metrics)}


def fact_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an edit that one fact may have alone."""
    return {name: value for name, value in metrics.items() if not name.startswith(_OF_AN_EDIT)}


@dataclass(frozen=True)
class Recordable:
    """Facts as they are recorded with their edit: the first one, those beside it, how each was
    found."""

    first: FactChange
    further: tuple[FactChange, ...]
    found: Mapping[str, Any]

    @property
    def message(self) -> str:
        """What the edit does, in words."""
        return message_of((self.first, *self.further))


def recordable(records: Sequence[FactRecord], found: Mapping[str, Any]) -> Recordable:
    """The facts of a set, in an order of its own, as one edit records them.

    found: what is recorded of the edit itself
    """
    ordered = sorted(records, key=lambda record: _order(record.change))
    of_edit = {name: value for name, value in found.items() if name not in (*OF_A_FACT, "by_fact")}
    entries = [entry_of(record) for record in ordered]
    if len(entries) == 1:
        entries[0].pop("metrics")
        of_edit |= entries[0]
    else:
        of_edit["by_fact"] = entries
    first, *further = (record.change for record in ordered)
    return Recordable(first, tuple(further), of_edit)


def _order(change: FactChange) -> tuple[str, str, str]:
    return (change.relation, change.subject or "", change.target or "")


def _is_of(key: FactKey, record: FactRecord) -> bool:
    recorded = recorded_key(record)
    return recorded is not None and key.matches(recorded)
