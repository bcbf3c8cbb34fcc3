"""Putting a backup in the place of a ledger: checked first, then by one rename."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kn_edit.atomic import make_folders, scratch_folder, sync, taken_back
from kn_edit.canonical import short
from kn_edit.errors import (
    BackupDamaged,
    KnEditError,
    LedgerBusy,
    LedgerDamaged,
    NewerSchema,
    RestoreTargetTaken,
)
from kn_edit.ledger import events, reading, set_members
from kn_edit.ledger.archive import BLOBS, edit_ids, unpack
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import check_files, disk_errors, refuse_link
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.leftovers import remove_unfinished

RESTORING = "kn-edit"  # begins the names of folders beside .kn-edit that a restore works in
ASIDE = ".before-restore-"
_AT_FDCWD, _EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


@dataclass(frozen=True)
class Replaced:
    """What was restored. aside: where the former ledger is now, if there was one."""

    head: str  # the id of the version
    edits: tuple[str, ...]  # of that version, in order
    aside: Path | str | None = None


def restore(
    file: Path,
    folder: Path,
    database: str,
    *,
    replace: bool,
    moment: datetime,
    blobs: BlobStore | None = None,
) -> Replaced:
    """Put the ledger of a backup at `folder`, the `.kn-edit` of a workspace.

    Everything is unpacked beside it and checked: names, sizes, the database, each delta's sha256.
    Then it takes its place by a rename, without a file of the former ledger beside it.

    replace: also where a ledger is; that one is kept aside
    blobs: where the deltas go, if not into the folder
    Raises RestoreTargetTaken, BackupDamaged, NewerSchema, LinkInLedger, LedgerBusy, LedgerUnusable,
    WriteUnknown.
    """
    with disk_errors(folder):
        refuse_link(folder)
        if not replace and folder.exists() and not _is_empty(folder):
            raise RestoreTargetTaken(folder)
        make_folders(folder.parent)
        remove_unfinished(folder)
        with scratch_folder(folder.parent, RESTORING) as scratch:
            digests = unpack(file, scratch, database)
            head, edits = checked_backup(file, scratch / database, digests)
            if blobs is not None:
                _move_deltas(FolderBlobs(scratch / BLOBS), blobs, digests)
            sync(scratch)
            _wait_for_writers(folder / database)
            aside = _take_place(scratch, folder, moment)
    return Replaced(head=head, edits=edits, aside=aside)


def checked_backup(file: Path, path: Path, digests: set[str]) -> tuple[str, tuple[str, ...]]:
    """Bring an unpacked database to the present schema, and compare it with the deltas.

    The head and its edits. Raises BackupDamaged, NewerSchema.
    """
    database = Database.in_file(path)
    try:
        database.upgrade()
        faults = database.faults()
        with database.reading() as connection:
            ids = set(edit_ids(connection))
            members = set_members.named(connection)
            head = events.head_id(connection)
            edits = reading.recipe(connection, head)
    except LedgerDamaged as error:
        raise BackupDamaged(file, error.reason) from error
    except NewerSchema as error:
        raise NewerSchema(file, error.needed, error.known) from error
    finally:
        database.close()
    if faults:
        raise BackupDamaged(file, faults[0])
    if ids - digests:
        raise BackupDamaged(file, f"it lacks the delta of edit {short(min(ids - digests))}")
    foreign = digests - ids - members
    if foreign:
        raise BackupDamaged(file, f"it holds a delta of no edit, {short(min(foreign))}")
    sync(path)
    return head, tuple(edits)


def _move_deltas(unpacked: FolderBlobs, blobs: BlobStore, digests: set[str]) -> None:
    """Put unpacked deltas into the store where the ledger will look for them.

    One that comes to be there without its ledger is what `gc` removes.
    """
    for digest in sorted(digests):
        blobs.put(unpacked.get(digest))
    shutil.rmtree(unpacked.folder, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _wait_for_writers(path: Path) -> None:
    """Let a transaction under way in the former ledger end, and SQLite fold its log back.

    Raises LedgerBusy.
    """
    try:
        check_files(path)
        if path.is_file():
            with Database.in_file(path).writing():
                pass
    except LedgerBusy:
        raise
    except KnEditError:
        pass  # it is damaged, so nobody can write to it


def _take_place(new: Path, folder: Path, moment: datetime) -> Path | None:
    """Exchange the folders; where the former one is now, if there was one with files in it.

    The former one never has a name that anybody would tidy away, at no moment. Where the names
    may not last, all is put back: then nothing has changed.
    """
    if not folder.exists() or _is_empty(folder):
        try:
            new.rename(folder)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:  # another one was faster
                raise RestoreTargetTaken(folder) from None
            raise
        with taken_back(folder, lambda: folder.rename(new)):
            sync(folder.parent)
        return None
    aside = _free_name(folder.with_name(f"{folder.name}{ASIDE}{moment:%Y%m%dT%H%M%S}"))
    identity = new.stat()
    with taken_back(folder, lambda: _put_back(new, folder, aside, identity), former=aside):
        new.rename(aside)
        if not _exchange(aside, folder):
            aside.rename(new)
            folder.rename(aside)
            new.rename(folder)
        sync(folder.parent)
    return aside


def _free_name(path: Path) -> Path:
    numbered = (path.with_name(f"{path.name}-{number}") for number in range(1, 1000))
    return next(candidate for candidate in (path, *numbered) if not os.path.lexists(candidate))


def _put_back(new: Path, folder: Path, aside: Path, identity: os.stat_result) -> None:
    """Give each folder its former name, whichever steps were taken: a signal may hide the last.

    identity: of the new folder
    """
    if _is(folder, identity) and not _exchange(aside, folder):
        folder.rename(new)
    if _is(aside, identity):
        aside.rename(new)
    if not os.path.lexists(folder):
        aside.rename(folder)


def _is(path: Path, identity: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.lstat(), identity)
    except FileNotFoundError:
        return False


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change names at once; whether the system can."""
    if sys.platform != "linux":
        return False
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return False
    paths = os.fsencode(first), os.fsencode(second)
    return bool(function(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _EXCHANGE) == 0)
