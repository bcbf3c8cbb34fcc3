"""Making a new ledger: whole, or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kn_edit.atomic import sync
from kn_edit.errors import LedgerExists
from kn_edit.ledger import writing
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import disk_errors
from kn_edit.ledger.history import version_id
from kn_edit.ledger.records import BaseRecord


def create_database(path: Path, base: BaseRecord, now: str) -> None:
    """Fill a database under another name, then give it its own. LedgerExists, LedgerUnusable."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with disk_errors(path):
            if path.exists():
                raise LedgerExists(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.unlink(missing_ok=True)
            _fill(Database.at(unfinished), base, now)
            _move_into_place(unfinished, path)
    finally:
        for rest in (unfinished, Path(f"{unfinished}-wal"), Path(f"{unfinished}-shm")):
            with suppress(OSError):
                rest.unlink()


def _fill(database: Database, base: BaseRecord, now: str) -> None:
    database.create()
    with database.writing() as connection:
        writing.first_rows(connection, base, version_id(base.fingerprint, ()), now)
    database.write_ahead()


def _move_into_place(unfinished: Path, path: Path) -> None:
    """Give a file its name, unless another process was faster. Raises LedgerExists."""
    try:
        path.hardlink_to(unfinished)
    except FileExistsError:
        raise LedgerExists(path.parent) from None
    except OSError:  # a file system without links
        unfinished.replace(path)
    sync(path.parent)
