"""Making a new ledger: whole and on disk, or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from kn_edit.atomic import (
    lock,
    make_folders,
    opened_folder,
    place,
    scratch_folder,
    sync,
    taken_back,
)
from kn_edit.errors import LedgerExists
from kn_edit.ledger import writing
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import disk_errors, refuse_link
from kn_edit.ledger.history import version_id
from kn_edit.ledger.records import BaseRecord
from kn_edit.ledger.tidying import remove_unfinished


def create_database(path: Path, base: BaseRecord, now: str) -> None:
    """Fill a database in a folder of its own, then give it its name, on disk.

    Raises LedgerExists, LinkInLedger, LedgerUnusable, WriteUnknown.
    """
    with disk_errors(path):
        refuse_link(path.parent)
        if os.path.lexists(path):
            raise LedgerExists(path.parent)
        make_folders(path.parent)
        with suppress(PermissionError):  # a folder that may be written to and not read
            sync(path.parent.parent)  # a killed init may have made the folder, and not this
        remove_unfinished(path.parent)
        with scratch_folder(path.parent, path.name) as scratch:
            unfinished = scratch / path.name
            _fill(Database.in_file(unfinished), base, now)
            sync(unfinished)
            _move_into_place(unfinished, path)


def _fill(database: Database, base: BaseRecord, now: str) -> None:
    database.create()
    with database.writing() as connection:
        writing.first_rows(connection, base, version_id(base.fingerprint, ()), now)
    database.write_ahead()


def _move_into_place(unfinished: Path, path: Path) -> None:
    """Give a file its name, unless another process was faster.

    Raises LedgerExists, OSError, WriteUnknown.
    """
    with opened_folder(path.parent) as folder:
        lock(folder, wait=True)  # against another init: nobody opens a ledger before it has a name
        if not os.path.lexists(path):
            _put_logs_aside(path)
        try:
            place(unfinished, path)
        except FileExistsError:
            raise LedgerExists(path.parent) from None
        # Where it may not survive a power cut it is not there.
        with taken_back(path, lambda: path.unlink(missing_ok=True)):
            os.fsync(folder)


def _put_logs_aside(path: Path) -> None:
    """Rename what SQLite would replay into the new database: the log of one that is gone."""
    for ending in ("-wal", "-shm", "-journal"):
        log = Path(f"{path}{ending}")
        if os.path.lexists(log):
            log.rename(f"{log}.{secrets.token_hex(4)}.old")
