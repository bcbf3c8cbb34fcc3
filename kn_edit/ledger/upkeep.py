"""Backing up a ledger."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from sqlalchemy import Connection, select

from kn_edit.atomic import sync
from kn_edit.errors import BackupExists
from kn_edit.ledger.blobs import Blobs
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import disk_errors
from kn_edit.ledger.tables import edits


def backup(database: Database, blobs: Blobs, file: Path) -> None:
    """Database and deltas as one tar file, complete or not there."""
    copied = file.with_name(f"{file.name}.db.tmp")
    unfinished = file.with_name(f"{file.name}.tmp")
    with disk_errors(file):
        if file.exists():
            raise BackupExists(file)
        try:
            _pack(database, blobs, copied, unfinished)
            unfinished.replace(file)
            sync(file.parent)
        finally:
            for rest in (copied, Path(f"{copied}-wal"), Path(f"{copied}-shm"), unfinished):
                rest.unlink(missing_ok=True)


def _pack(database: Database, blobs: Blobs, copied: Path, unfinished: Path) -> None:
    copied.write_bytes(b"")  # says which place cannot be written, where SQLite would not
    # The database first: every edit in it has its delta on disk already.
    database.copy_to(copied)
    with Database.at(copied).reading() as connection:
        ids = _edit_ids(connection)
    with tarfile.open(unfinished, "w") as archive:
        archive.add(copied, database.path.name)
        for edit in ids:
            blobs.get(edit)
            path = blobs.path(edit)
            archive.add(path, path.relative_to(blobs.folder.parent))
    with unfinished.open("rb") as written:
        os.fsync(written.fileno())


def _edit_ids(connection: Connection) -> list[str]:
    return list(connection.execute(select(edits.c.id).order_by(edits.c.seq)).scalars())
