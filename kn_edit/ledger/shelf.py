"""Deltas that were read, kept for the time of a verb, so that each is read and hashed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kn_edit.ledger.blob_store import BlobStore

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta

ROOM = 256 << 20  # bytes of delta files that are kept; what comes beyond is read again


class Shelf:
    """Reads deltas; inside of `keeping` each of them once, as far as there is room."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._kept: dict[str, Delta] | None = None
        self._room = 0

    def delta(self, edit: str, decode: Callable[[bytes], Delta]) -> Delta:
        """The numbers of an edit, by its full id. Raises DeltaMissing, DeltaDigestDiffers."""
        cache = self._kept
        if cache is not None and edit in cache:
            return cache[edit]
        data = self._blobs.get(edit)  # compares the sha256
        delta = decode(data)
        if cache is not None and len(data) <= self._room:
            self._room -= len(data)
            cache[edit] = delta
        return delta

    def size(self, edit: str) -> int:
        """The bytes of a delta file, by the full id of its edit; raises what `delta` raises."""
        return len(self._blobs.get(edit))

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep what is read inside of the block; a block within a block keeps with it."""
        if self._kept is not None:
            yield
            return
        self._kept, self._room = {}, ROOM
        try:
            yield
        finally:
            self._kept = None
