"""Ledgers that lie in a folder, the `.kn-edit` of a workspace: an SQLite file beside its deltas.

The deltas may lie elsewhere, in another `BlobStore`.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from kn_edit.ledger import restoring
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.database import Database
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.ledger import Ledger
from kn_edit.ledger.names import check_workspace
from kn_edit.ledger.opened import Clock
from kn_edit.ledger.records import BaseRecord
from kn_edit.ledger.restoring import Replaced
from kn_edit.ledger.restoring_rows import restore_rows
from kn_edit.ledger.sqlite_file import url_of

DATABASE = "ledger.db"
BLOBS = "blobs"


def create_in_folder(
    folder: Path, base: BaseRecord, *, clock: Clock, blobs: BlobStore | None = None
) -> Ledger:
    """Make a ledger in this folder. It exists whole, or not at all.

    blobs: where the deltas of its edits go, if not into the folder
    Raises LedgerExists, LinkInLedger, LedgerUnusable, WriteUnknown.
    """
    return Ledger.create(url_of(folder / DATABASE), blobs or _blobs(folder), base, clock=clock)


def open_in_folder(folder: Path, *, clock: Clock, blobs: BlobStore | None = None) -> Ledger:
    """Open the ledger in this folder, after bringing an older one to the present schema.

    blobs: where the deltas of its edits lie, if not in the folder
    Raises NoLedger, NewerSchema, LedgerDamaged, LinkInLedger, LedgerUnusable.
    """
    return Ledger.open(url_of(folder / DATABASE), blobs or _blobs(folder), clock=clock)


def restore_in_folder(
    file: Path,
    folder: Path,
    *,
    clock: Clock,
    replace: bool = False,
    blobs: BlobStore | None = None,
) -> Replaced:
    """Put the ledger of a backup in this folder, whole or not at all.

    replace: also where a ledger is; that one is kept aside
    blobs: where its deltas go, if not into the folder
    Raises RestoreTargetTaken, BackupDamaged, NewerSchema, LinkInLedger, LedgerBusy,
    LedgerUnusable, WriteUnknown.
    """
    return restoring.restore(file, folder, DATABASE, replace=replace, moment=clock(), blobs=blobs)


def restore_in_database(
    file: Path,
    url: str | URL,
    blobs: BlobStore,
    *,
    workspace: str,
    clock: Clock,
    replace: bool = False,
) -> Replaced:
    """Put the ledger of a backup into a database as a workspace of it, whole or not at all.

    replace: also where a workspace of this name is; that one gets another name
    Raises WorkspaceExists, BackupDamaged, NewerSchema, LedgerUnusable, and what a database raises.
    """
    check_workspace(workspace)
    database = Database.from_url(url, workspace)
    try:
        return restore_rows(file, database, blobs, name=workspace, replace=replace, moment=clock())
    finally:
        database.close()


def _blobs(folder: Path) -> FolderBlobs:
    return FolderBlobs(folder / BLOBS)
