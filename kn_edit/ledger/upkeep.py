"""Backing up and tidying a ledger."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from sqlalchemy import Connection, select

from kn_edit.errors import BackupExists
from kn_edit.ledger.blobs import Blobs
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import SCRATCH, UNFINISHED, disk_errors, sync_folder
from kn_edit.ledger.tables import edits


def backup(database: Database, blobs: Blobs, file: Path) -> None:
    """Database and deltas as one tar file, complete or not there."""
    copied = file.with_name(f"{file.name}.db{UNFINISHED}")
    unfinished = file.with_name(f"{file.name}{UNFINISHED}")
    with disk_errors(file):
        if file.exists():
            raise BackupExists(file)
        try:
            _pack(database, blobs, copied, unfinished)
            unfinished.replace(file)
            sync_folder(file.parent)
        finally:
            for rest in (copied, Path(f"{copied}-wal"), Path(f"{copied}-shm"), unfinished):
                rest.unlink(missing_ok=True)


def collect(database: Database, blobs: Blobs, folder: Path, before: float) -> list[Path]:
    """Remove unreferenced and unfinished files last written before a moment (Unix time)."""
    # Holding the right to write: no edit can be recorded between the look and the removal.
    with database.writing() as connection:
        wanted = set(_edit_ids(connection))
        rest = [path for digest, path in blobs.files() if digest not in wanted]
        rest += folder.glob(f"{database.path.name}.*{UNFINISHED}*")
        rest += folder.glob(f"{SCRATCH}*")
        with disk_errors(folder):
            old = [path for path in rest if path.stat().st_mtime < before]
            for path in old:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return old


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
