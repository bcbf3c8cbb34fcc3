"""Facts of joint edits by the names that people type. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kn_edit.errors import AmbiguousId
from kn_edit.ledger import EditRecord, FactRecord, Ledger

_PREFIX = re.compile("[0-9a-f]{8,64}")


@dataclass(frozen=True)
class NamedMember:
    """A fact of a joint edit, and that edit."""

    edit: EditRecord
    fact: FactRecord

    @property
    def only(self) -> bool:
        """Whether the edit is over this fact alone."""
        return not self.edit.further


def named_member(ledger: Ledger, version: str, name: str) -> NamedMember | None:
    """The fact of a joint edit of a version that a name is of; None where it is of none.

    name: the first 8 digits of the id of its member or more, or `relation: subject`. Raises
    AmbiguousId where several are meant, UnknownId for a version that is none.
    """
    edits = ledger.records(ledger.version(version).edits, overlaps=False)
    members = {
        member: NamedMember(edit, fact) for edit in edits for member, fact in edit.members.items()
    }
    typed = name.strip().lower()
    if _PREFIX.fullmatch(typed):
        ids = [member for member in members if member.startswith(typed)]
    else:
        ids = [member for member, named in members.items() if fact_name(named.fact) == name.strip()]
    if len(ids) > 1:
        raise AmbiguousId("fact", name, tuple(ids))
    return members[ids[0]] if ids else None


def fact_name(fact: FactRecord) -> str:
    """A fact as it is listed: its relation and its subject."""
    return f"{fact.change.relation}: {fact.change.subject}"
