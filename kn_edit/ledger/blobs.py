"""Delta files, each named by the sha256 of its bytes: `blobs/ab/abcd….safetensors`."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kn_edit.errors import DeltaDigestDiffers, DeltaMissing
from kn_edit.ledger.disk import UNFINISHED, disk_errors, sync_folder

SUFFIX = ".safetensors"


class Blobs:
    """A folder of content-addressed files, written once, checked at every read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """Where the file with this sha256 lies, or would lie."""
        return self.folder / digest[:2] / f"{digest}{SUFFIX}"

    def put(self, data: bytes) -> str:
        """Store bytes so that they survive a power cut; their sha256. Raises LedgerUnusable."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        with disk_errors(path):
            if _intact(path, digest):
                os.utime(path)  # young again, so that gc in another process leaves it alone
            else:
                _write(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes with this sha256. Raises DeltaMissing, DeltaDigestDiffers, LedgerUnusable."""
        path = self.path(digest)
        with disk_errors(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise DeltaMissing(digest, path) from None
        actual = hashlib.sha256(data).hexdigest()
        if actual != digest:
            raise DeltaDigestDiffers(digest, actual)
        return data

    def files(self) -> Iterator[tuple[str | None, Path]]:
        """Every file with its sha256 by name; None for one that was never finished."""
        for path in sorted(self.folder.glob("*/*")):
            if path.name.endswith(SUFFIX):
                yield path.name.removesuffix(SUFFIX), path
            elif path.name.endswith(UNFINISHED):
                yield None, path


def _intact(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False


def _write(path: Path, data: bytes) -> None:
    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
        sync_folder(folder.parent.parent)
    unfinished = folder / f"{path.stem}.{os.getpid()}.{threading.get_ident()}{UNFINISHED}"
    try:
        with unfinished.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync_folder(folder)
