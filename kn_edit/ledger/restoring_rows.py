"""Putting a backup into a database that may hold other ledgers: checked first, then at once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Table, column, table

from kn_edit.atomic import private_folder
from kn_edit.ledger import events
from kn_edit.ledger.archive import BLOBS, unpack
from kn_edit.ledger.blob_store import BlobStore, keep
from kn_edit.ledger.columns import JSON, TEXT
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import disk_errors
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.restoring import ASIDE, Replaced, checked_backup
from kn_edit.ledger.tables import WORKSPACE_ID, metadata, versions, workspaces

_FILE = "ledger.db"  # the name of the database in a backup
_AT_ONCE = 1000  # rows that are held in memory


def restore_rows(
    file: Path, target: Database, blobs: BlobStore, *, name: str, replace: bool, moment: datetime
) -> Replaced:
    """Put the ledger of a backup into a database, as a workspace of it, whole or not at all.

    Everything is unpacked and checked, and the deltas are stored. Then one transaction adds the
    rows, and gives a former workspace of this name another one.

    name: of the workspace; replace: also where one of this name is
    Raises WorkspaceExists, BackupDamaged, NewerSchema, LedgerUnusable, and what a database raises.
    """
    with disk_errors(Path(tempfile.gettempdir())), private_folder() as scratch:
        digests = unpack(file, scratch, _FILE)
        head, edits = checked_backup(file, scratch / _FILE, digests)
        unpacked = FolderBlobs(scratch / BLOBS)
        for digest in sorted(digests):
            blobs.put(unpacked.get(digest))
        target.make_ready()
        former = f"{name}{ASIDE}{moment:%Y%m%dT%H%M%S}" if replace and target.holds(name) else None
        source = Database.in_file(scratch / _FILE)
        with source.reading() as rows, target.adding_workspace(name, former) as connection:
            connection.lock_blobs()
            for digest in sorted(digests):
                keep(blobs, digest, partial(unpacked.get, digest))
            _copy(rows, connection)
    aside = f"the workspace {former} of {target.place}" if former else None
    return Replaced(head=head, edits=edits, aside=aside)


def _copy(source: Connection, target: Connection) -> None:
    """Copy every row of a workspace as it is stored, but for the number of the workspace."""
    for each in metadata.sorted_tables:
        if each is workspaces:
            continue
        insert = _as_stored(each).insert()
        for batch in _batches(source, each, target.workspace):
            target.raw.execute(insert, batch)
    target.last_event = events.last(target)


def _as_stored(each: Table) -> Any:
    """A table whose JSON is text, so that it is written as it was read."""
    columns = (column(c.name, TEXT if c.type is JSON else c.type) for c in each.columns)
    return table(each.name, *columns)


def _batches(source: Connection, each: Table, workspace: int) -> Iterator[list[dict[str, Any]]]:
    names = [column.name for column in each.columns]
    columns = ", ".join(f't."{name}"' for name in names)
    # A version comes after those that it names, which stand above it.
    order = (
        "t.depth, t.id"
        if each is versions
        else ", ".join(f't."{c.name}"' for c in each.primary_key)
    )
    truths = {c.name for c in each.columns if isinstance(c.type, Boolean)}
    rows = source.stored(
        f"SELECT {columns} FROM {each.name} t WHERE t.{WORKSPACE_ID} = :workspace ORDER BY {order}"
    )
    while batch := list(islice(rows, _AT_ONCE)):
        yield [
            {
                name: bool(value) if name in truths and value is not None else value
                for name, value in zip(names, row, strict=True)
            }
            | {WORKSPACE_ID: workspace}
            for row in batch
        ]
