"""The ledger of a new workspace, and of one whose `init` was cut off."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from kn_edit.atomic import make_folders, sync
from kn_edit.engine.base import STAMPS, write_stamps
from kn_edit.errors import LedgerExists, WorkspaceExists
from kn_edit.ledger import BaseRecord, Ledger
from kn_edit.ledger.disk import disk_errors
from kn_edit.progress import Progress
from kn_edit.workspace.base import base_of
from kn_edit.workspace.storage import Storage


def start(
    model: str | os.PathLike[str],
    folder: Path,
    storage: Storage,
    clock: Callable[[], datetime],
    progress: Progress,
) -> Ledger:
    """Make a ledger in this folder (the `.kn-edit` one) for a model.

    storage: where its parts lie that are not in the folder

    A ledger of this very model in which nothing was recorded yet is taken as it is: an `init` that
    was cut off after its last step can so be run again, and nobody has to know where it was cut.
    Raises LedgerExists or WorkspaceExists for any other, and what finding the model raises.
    """
    existing = _untouched(folder, storage, clock)
    try:
        base, shards = base_of(model, progress)
        if existing is None:
            existing = _created(folder, base, storage, clock)
        if _place(existing.base) != _place(base):
            raise storage.taken(folder)
    except BaseException:
        if existing is not None:
            existing.close()
        raise
    write_stamps(folder / STAMPS, shards)
    return existing


def _created(
    folder: Path, base: BaseRecord, storage: Storage, clock: Callable[[], datetime]
) -> Ledger:
    try:
        return storage.create(folder, base, clock)
    except (LedgerExists, WorkspaceExists):  # of another init, which was faster
        existing = _untouched(folder, storage, clock)
        if existing is None:
            raise
        return existing


def _untouched(folder: Path, storage: Storage, clock: Callable[[], datetime]) -> Ledger | None:
    """The ledger of this folder, if nothing was recorded in it; None where there is none.

    Raises LedgerExists, WorkspaceExists, LedgerUnusable.
    """
    ledger = storage.existing(folder, clock)
    if ledger is None:
        return None
    if len(ledger.log()) == len(ledger.refs()) == 1 and not ledger.publications():
        with disk_errors(folder):  # it was cut off maybe before its names were on disk
            make_folders(folder)
            sync(folder)
            sync(folder.parent)
        return ledger
    ledger.close()
    raise storage.taken(folder)


def _place(base: BaseRecord) -> tuple[str, str | None, str | None, str]:
    return base.fingerprint, base.repo, base.revision, base.source
