"""Deltas as files of a folder, each named by its sha256: `blobs/ab/abcd….safetensors`."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from kn_edit.atomic import LEFTOVER, TEMPORARY, write_in
from kn_edit.canonical import digest as sha256_of
from kn_edit.canonical import file_digest
from kn_edit.errors import DeltaDigestDiffers, DeltaMissing, LedgerUnusable
from kn_edit.ledger.blob_store import MAX_BYTES, StoredBlob
from kn_edit.ledger.disk import disk_errors, folder_below, open_file
from kn_edit.ledger.leftovers import is_unfinished, modified, moment_in, paths_in, removed
from kn_edit.untrusted import read_at_most

SUFFIX = ".safetensors"
_PREFIX = re.compile("[0-9a-f]{2}")
_NAME = re.compile("[0-9a-f]{64}" + re.escape(SUFFIX))


def relative_path(digest: str) -> str:
    """Where the file with this sha256 lies in the folder of a store."""
    return f"{digest[:2]}/{digest}{SUFFIX}"


def digest_at(path: str) -> str | None:
    """The sha256 of the file that lies at a place like `relative_path`; None for another place."""
    folder, _, name = path.partition("/")
    digest = name.removesuffix(SUFFIX)
    return digest if _NAME.fullmatch(name) and folder == digest[:2] else None


class FolderBlobs:
    """A `BlobStore` in a folder: files that are written once and checked at every read.

    No link inside it is followed, whoever put it there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._durable: set[str] = set()  # folders whose names this process saw reach the disk

    @property
    def place(self) -> str:
        """The path of the folder."""
        return str(self.folder)

    def where(self, digest: str) -> str:
        """The path of the file with this sha256, there or not."""
        return str(self.path(digest))

    def path(self, digest: str) -> Path:
        """Where the file with this sha256 lies, or would lie."""
        return self.folder / relative_path(digest)

    def put(self, data: bytes) -> str:
        """Store bytes so that they survive a power cut; their sha256.

        A file that is there already may be one that a crash left in memory only: it is flushed
        before it is trusted. Raises LinkInLedger, LedgerUnusable.
        """
        digest = sha256_of(data)
        path = self.path(digest)
        if len(data) > MAX_BYTES:
            raise LedgerUnusable(path, f"a delta may have {MAX_BYTES:,} bytes, not {len(data):,}")
        with disk_errors(path):
            with folder_below(self.folder.parent, self.folder.name, digest[:2], make=True) as shard:
                if not self._reused(path, shard, digest, len(data)):
                    write_in(shard, path.name, data)
            self._make_durable(digest[:2])
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes with this sha256.

        Raises DeltaMissing, DeltaDigestDiffers, LinkInLedger, LedgerUnusable.
        """
        path = self.path(digest)
        with disk_errors(path):
            try:
                with folder_below(self.folder.parent, self.folder.name, digest[:2]) as shard:
                    data = _read(path, shard)
            except FileNotFoundError:
                raise DeltaMissing(digest, path) from None
        actual = sha256_of(data)
        if actual != digest:
            raise DeltaDigestDiffers(digest, actual)
        return data

    def has(self, digest: str) -> bool:
        """Whether there is a file with this name. Raises LinkInLedger, LedgerUnusable."""
        path = self.path(digest)
        with disk_errors(path), suppress(FileNotFoundError), self._shard(path) as shard:
            os.stat(path.name, dir_fd=shard, follow_symlinks=False)
            return True
        return False

    def stored(self) -> Iterator[StoredBlob]:
        """Every file that lies where a delta would, whatever it holds. Raises LedgerUnusable."""
        for path in self._entries():
            digest = digest_at(str(path.relative_to(self.folder)))
            age = modified(path)
            if digest is not None and age != float("inf"):
                yield StoredBlob(digest, age)

    def delete(self, digest: str, before: float) -> bool:
        """Remove a file that was last written before a moment (Unix time); whether it was."""
        path = self.path(digest)
        with disk_errors(path), suppress(FileNotFoundError), self._shard(path) as shard:
            status = os.stat(path.name, dir_fd=shard, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                os.unlink(path.name, dir_fd=shard)
                return True
        return False

    def now(self) -> float:
        """This moment by the clock of the file system, Unix time. Raises LedgerUnusable."""
        return moment_in(self.folder.parent)  # the folder itself is made with the first file

    def strays(self) -> list[str]:
        """The paths of files that no ledger put there. Raises LedgerUnusable."""
        if self.folder.is_symlink():
            return [self.place]
        return [
            str(path)
            for path in self._entries()
            if digest_at(str(path.relative_to(self.folder))) is None and not _is_on_its_way(path)
        ]

    def remove_unfinished(self, before: float) -> list[str]:
        """Remove files that killed writers left beside deltas; their paths.

        before: Unix time; files of an older kn-edit whose process may still run go if they are
        older. Raises LedgerUnusable.
        """
        with disk_errors(self.folder):
            shards = [path for path in self._top() if self._is_shard(path)]
            paths = (path for shard in shards for path in paths_in(shard))
            return removed((path for path in paths if is_unfinished(path.name)), before)

    def _entries(self) -> list[Path]:
        """The files of the folder, and whatever else is not one of its own folders."""
        with disk_errors(self.folder):
            entries: list[Path] = []
            for path in self._top():
                entries += paths_in(path) if self._is_shard(path) else [path]
            return entries

    def _top(self) -> list[Path]:
        """What is in the folder itself; nothing where that is a link."""
        return [] if self.folder.is_symlink() else paths_in(self.folder)

    def _is_shard(self, path: Path) -> bool:
        """Whether this is one of the folders that hold deltas; no link is."""
        return bool(_PREFIX.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()

    def _reused(self, path: Path, shard: int, digest: str, size: int) -> bool:
        """Whether the file is there and intact; then it is young again, and on disk."""
        try:
            descriptor = open_file(path, shard)
        except FileNotFoundError:
            return False
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size != size:
                return False
            if file_digest(file) != digest:
                return False
            os.utime(descriptor)
            os.fsync(descriptor)
        os.fsync(shard)
        return True

    def _shard(self, path: Path) -> AbstractContextManager[int]:
        """The descriptor of the folder of a file. Raises FileNotFoundError where there is none."""
        return folder_below(self.folder.parent, self.folder.name, path.parent.name)

    def _make_durable(self, shard: str) -> None:
        """Flush the names of the folders above the file: a crash may have come before that."""
        if shard in self._durable:
            return
        for names in ((self.folder.name,), ()):
            with folder_below(self.folder.parent, *names) as folder:
                os.fsync(folder)
        self._durable.add(shard)


def _read(path: Path, shard: int) -> bytes:
    with os.fdopen(open_file(path, shard), "rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise LedgerUnusable(path, f"it is larger than the {MAX_BYTES:,} bytes of a delta")
        return read_at_most(file, MAX_BYTES, path)


def _is_on_its_way(path: Path) -> bool:
    return LEFTOVER.fullmatch(path.name) is not None or path.name.endswith(TEMPORARY)
