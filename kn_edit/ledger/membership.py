"""Which edits stand in a version, told by the changes about them and not by the list.

Of the changes about an edit in a version and those above it, the last one says whether the version
has the edit. What is added goes to the end of a list, so the places of these changes, by depth and
position, are the order of the edits, too. A handful of edits costs some rows each, however long
the list is; where there are very many changes about them, the list is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kn_edit.ledger import lists
from kn_edit.ledger.ancestry import at_depths
from kn_edit.ledger.connection import Connection, linked, select
from kn_edit.ledger.parts import parts
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import version_changes, versions

_MOST_CHANGES = 512  # that are looked up one by one


@dataclass(frozen=True)
class _Change:
    """A change about an edit: where in the tree it stands, and whether it adds the edit."""

    edit: str
    version: str
    depth: int
    position: int
    added: bool


def members(
    connection: Connection, base: str, version: str, edits: Collection[str]
) -> tuple[str, ...]:
    """Those of these edits that stand in the list of a version, in its order.

    base: the fingerprint of the ledger's model. Raises DamagedRow.
    """
    return members_of_each(connection, base, {version: edits})[version]


def members_of_each(
    connection: Connection, base: str, wanted: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """Of each version those of the edits wanted of it that stand in its list, in its order.

    wanted: edits by version; base: the fingerprint of the ledger's model. Raises DamagedRow.
    """
    every = {edit for edits in wanted.values() for edit in edits}
    changes = _changes(connection, every) if len(every) <= _MOST_CHANGES else None
    members: dict[str, tuple[str, ...]] = {}
    for version, edits in wanted.items():
        if changes is None:
            places = lists.looked_at(connection, base, version).places([*dict.fromkeys(edits)])
            members[version] = tuple(sorted(places, key=places.__getitem__))
        else:
            about = [change for change in changes if change.edit in edits]
            members[version] = _members(connection, version, about)
    return members


def _members(connection: Connection, version: str, changes: Sequence[_Change]) -> tuple[str, ...]:
    """The edits that these changes leave in a version, in its order.

    changes: all about the edits, in any version, by depth and position
    """
    above = at_depths(connection, version, {change.depth for change in changes})
    last: dict[str, _Change] = {}
    for change in changes:
        if above.get(change.depth) == change.version:
            last.pop(change.edit, None)  # so that the order is that of the last changes
            last[change.edit] = change
    return tuple(edit for edit, change in last.items() if change.added)


def _changes(connection: Connection, edits: Iterable[str]) -> list[_Change] | None:
    """Every change about these edits, in any version, by depth and position; None where there are
    too many."""
    query = select(version_changes, versions.c.depth).join(
        versions, linked(versions.c.id, version_changes.c.version_id)
    )
    changes: list[_Change] = []
    for part in parts(query, version_changes.c.edit_id, edits):
        for row in connection.execute(part.limit(_MOST_CHANGES + 1)):
            if not isinstance(row.depth, int) or not isinstance(row.position, int):
                raise DamagedRow("a version does not tell its depth, or a change its place")
            changes.append(
                _Change(
                    edit=row.edit_id,
                    version=row.version_id,
                    depth=row.depth,
                    position=row.position,
                    added=bool(row.added),
                )
            )
        if len(changes) > _MOST_CHANGES:
            return None
    return sorted(changes, key=lambda change: (change.depth, change.position))
