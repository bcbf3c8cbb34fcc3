"""A store of blobs that is kept in memory: no folder, no path, a clock of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from kn_edit.errors import DeltaDigestDiffers, DeltaMissing, LedgerUnusable
from kn_edit.ledger.blob_store import MAX_BYTES, StoredBlob


class MemoryBlobs:
    """A `BlobStore` in memory. `clock` is the moment of the store; a test turns it."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.blobs: dict[str, tuple[bytes, float]] = {}

    @property
    def place(self) -> str:
        return "memory:"

    def where(self, digest: str) -> str:
        return f"memory:{digest}"

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if len(data) > MAX_BYTES:
            raise LedgerUnusable(self.where(digest), "it is too large")
        self.blobs[digest] = (data, self.clock)
        return digest

    def get(self, digest: str) -> bytes:
        if digest not in self.blobs:
            raise DeltaMissing(digest, self.where(digest))
        data, _ = self.blobs[digest]
        actual = hashlib.sha256(data).hexdigest()
        if actual != digest:
            raise DeltaDigestDiffers(digest, actual)
        return data

    def has(self, digest: str) -> bool:
        return digest in self.blobs

    def stored(self) -> Iterator[StoredBlob]:
        for digest, (_, modified) in list(self.blobs.items()):
            yield StoredBlob(digest, modified)

    def delete(self, digest: str, before: float) -> bool:
        if digest not in self.blobs or self.blobs[digest][1] >= before:
            return False
        del self.blobs[digest]
        return True

    def now(self) -> float:
        return self.clock

    def strays(self) -> list[str]:
        return []

    def remove_unfinished(self, before: float) -> list[str]:
        return []
