"""Files beside the deltas: what joint edits keep of each of their facts, named by its sha256.

The records of the edits name them. They are kept and backed up with the deltas; one that is lost
costs time only, because it can be computed again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from sqlalchemy import RowMapping

from kn_edit.errors import KnEditError
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.connection import Connection, linked, select
from kn_edit.ledger.records import JOINT, member_ids
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import attributions, edits

_COLUMNS = (attributions.c.edit_id, attributions.c.found)
_EDIT = linked(edits.c.id, attributions.c.edit_id)


def named(connection: Connection) -> set[str]:
    """The ids that joint edits of the workspace name."""
    query = select(*_COLUMNS).join(edits, _EDIT).where(edits.c.method == JOINT)
    return _ids(connection.execute(query).mappings())


def named_anywhere(connection: Connection, ids: Collection[str]) -> set[str]:
    """Those of the ids that joint edits of some workspace of the database name."""
    if not ids:
        return set()
    rows = connection.joined_everywhere(_COLUMNS, edits, edits.c.method == JOINT)
    return _ids(rows) & {*ids}


def stored(connection: Connection, blobs: BlobStore) -> list[str]:
    """The ids that joint edits of the workspace name, and whose files are there, sorted."""
    return [member for member in sorted(named(connection)) if blobs.has(member)]


def unsound(blobs: BlobStore, members: Collection[str]) -> Iterator[tuple[str, str]]:
    """Files of members that are there and not what their ids promise, each with what is wrong."""
    for member in sorted(members):
        if blobs.has(member):
            try:
                blobs.get(member)
            except KnEditError as error:
                yield member, error.phrase()


def _ids(rows: Iterable[RowMapping]) -> set[str]:
    ids: set[str] = set()
    for values in rows:
        with suppress(DamagedRow):  # told where rows are looked at
            ids |= member_ids(Row("attributions", values).mapping("found"))
    return ids
