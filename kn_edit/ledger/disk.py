"""What every file of the ledger needs: errors that say what to do, names that survive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kn_edit.errors import LedgerUnusable

UNFINISHED = ".tmp"
SCRATCH = "push-"  # folders of weights that were on their way to the Hub


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about a file into LedgerUnusable."""
    try:
        yield
    except OSError as error:
        raise LedgerUnusable(path, error.strerror or str(error)) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
