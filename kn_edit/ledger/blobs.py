"""Delta files, each named by the sha256 of its bytes: `blobs/ab/abcd….safetensors`."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kn_edit.atomic import write_in
from kn_edit.errors import DeltaDigestDiffers, DeltaMissing, LedgerUnusable
from kn_edit.ledger.disk import disk_errors, folder_below, open_file
from kn_edit.untrusted import read_at_most

SUFFIX = ".safetensors"
MAX_BYTES = 256 << 20  # of one delta
PREFIX = re.compile("[0-9a-f]{2}")
NAME = re.compile("[0-9a-f]{64}" + re.escape(SUFFIX))


class Blobs:
    """A folder of content-addressed files, written once, checked at every read.

    No link inside it is followed, whoever put it there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._durable: set[str] = set()  # folders whose names this process saw reach the disk

    def path(self, digest: str) -> Path:
        """Where the file with this sha256 lies, or would lie."""
        return self.folder / digest[:2] / f"{digest}{SUFFIX}"

    def put(self, data: bytes) -> str:
        """Store bytes so that they survive a power cut; their sha256.

        A file that is there already may be one that a crash left in memory only: it is flushed
        before it is trusted. Raises LinkInLedger, LedgerUnusable.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if len(data) > MAX_BYTES:
            raise LedgerUnusable(path, f"a delta may have {MAX_BYTES:,} bytes, not {len(data):,}")
        with disk_errors(path):
            with folder_below(self.folder.parent, self.folder.name, digest[:2], make=True) as shard:
                if not self._reused(path, shard, digest, len(data)):
                    write_in(shard, path.name, data)
            self._make_durable(digest[:2])
        return digest

    def keep(self, digest: str, data: Callable[[], bytes]) -> None:
        """Make sure that a stored file is still there; store it again where it was tidied away.

        To be called with the right to write, which `gc` needs too: then nothing removes the file
        before the transaction that refers to it has ended. Raises LedgerUnusable.
        """
        if not self._is_there(digest):
            self.put(data())

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
        actual = hashlib.sha256(data).hexdigest()
        if actual != digest:
            raise DeltaDigestDiffers(digest, actual)
        return data

    def files(self) -> Iterator[tuple[str, Path]]:
        """The sha256, by name, and path of every file that lies where a delta would."""
        for shard in self.shards():
            for path in sorted(_listed(shard)):
                if NAME.fullmatch(path.name) and path.name.startswith(shard.name):
                    yield path.name.removesuffix(SUFFIX), path

    def shards(self) -> Iterator[Path]:
        """The folders that hold deltas; no links among them."""
        if not self.folder.is_symlink():
            for path in sorted(_listed(self.folder)):
                if PREFIX.fullmatch(path.name) and not path.is_symlink():
                    yield path

    def remove(self, digest: str, before: float) -> bool:
        """Remove a file that was last written before a moment (Unix time); whether it was."""
        path = self.path(digest)
        with self._looking(path) as shard:
            status = os.stat(path.name, dir_fd=shard, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_mtime < before:
                os.unlink(path.name, dir_fd=shard)
                return True
        return False

    def _reused(self, path: Path, shard: int, digest: str, size: int) -> bool:
        """Whether the file is there and intact; then it is young again, and on disk."""
        try:
            descriptor = open_file(path, shard)
        except FileNotFoundError:
            return False
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_size != size:
                return False
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                return False
            os.utime(descriptor)
            os.fsync(descriptor)
        os.fsync(shard)
        return True

    def _is_there(self, digest: str) -> bool:
        path = self.path(digest)
        with self._looking(path) as shard:
            os.stat(path.name, dir_fd=shard, follow_symlinks=False)
            return True
        return False

    @contextmanager
    def _looking(self, path: Path) -> Iterator[int]:
        """The folder of a file that need not be there: what is missing ends the block quietly."""
        with (
            disk_errors(path),
            suppress(FileNotFoundError),
            folder_below(self.folder.parent, self.folder.name, path.parent.name) as shard,
        ):
            yield shard

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


def _listed(folder: Path) -> list[Path]:
    """What is in a folder; nothing where there is none, or where a file stands in its place."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
