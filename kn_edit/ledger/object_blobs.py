"""Deltas as objects of a bucket, each named by its sha256: `blobs/ab/abcd….safetensors`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from kn_edit.canonical import digest as sha256_of
from kn_edit.errors import DeltaDigestDiffers, DeltaMissing, LedgerUnusable, ObjectStoreFailed
from kn_edit.ledger.blob_store import MAX_BYTES, StoredBlob
from kn_edit.ledger.folder_blobs import digest_at, relative_path
from kn_edit.objects.address import ObjectAddress
from kn_edit.objects.opening import open_bucket

if TYPE_CHECKING:
    from kn_edit.objects.bucket import Bucket

FOLDER = "blobs"  # below the address that is named, so that other things may lie beside it
CLOCK = "clock"  # an empty object: the server notes when it was stored
OWNER = "owner"  # an empty object: the store is a ledger's, and no other may tidy it


class ObjectBlobs:
    """A `BlobStore` in object storage: objects that are made once and checked at every read.

    Nothing is asked of the server, and no keys are looked up, before something is needed. Every
    method raises what the environment and the server can make of it: ObjectsUnsupported,
    ObjectKeysMissing, BadObjectEndpoint, ObjectAccessDenied, BucketMissing, ObjectStoreFailed.
    """

    def __init__(self, address: ObjectAddress) -> None:
        self.address = address.below(FOLDER)

    @cached_property
    def bucket(self) -> Bucket:
        """The objects of the store."""
        return open_bucket(self.address)

    @property
    def place(self) -> str:
        """The address of the store."""
        return str(self.address)

    def where(self, digest: str) -> str:
        """The address of the object with this sha256, there or not."""
        return f"{self.address}/{relative_path(digest)}"

    def put(self, data: bytes) -> str:
        """Store bytes; their sha256. The server has them, whole, from now on.

        What is there already is stored over by the same bytes: then it is young again, and as it
        should be, whatever was there. Raises LedgerUnusable for more than MAX_BYTES.
        """
        digest = sha256_of(data)
        if len(data) > MAX_BYTES:
            reason = f"a delta may have {MAX_BYTES:,} bytes, not {len(data):,}"
            raise LedgerUnusable(self.where(digest), reason)
        if not self.bucket.create(relative_path(digest), data):
            self.bucket.replace(relative_path(digest), data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes with this sha256. Raises DeltaMissing, DeltaDigestDiffers, LedgerUnusable."""
        try:
            data = self.bucket.get(relative_path(digest), MAX_BYTES)
        except ValueError as error:
            raise LedgerUnusable(self.where(digest), str(error)) from None
        if data is None:
            raise DeltaMissing(digest, self.where(digest))
        actual = sha256_of(data)
        if actual != digest:
            raise DeltaDigestDiffers(digest, actual)
        return data

    def has(self, digest: str) -> bool:
        """Whether there is an object with this name."""
        return self.bucket.entry(relative_path(digest)) is not None

    def stored(self) -> Iterator[StoredBlob]:
        """Every object that lies where a delta would, whatever it holds."""
        for entry in self.bucket.entries():
            digest = digest_at(entry.name)
            if digest is not None:
                yield StoredBlob(digest, entry.modified)

    def delete(self, digest: str, before: float) -> bool:
        """Delete an object that was last stored before a moment (Unix time); whether it was."""
        entry = self.bucket.entry(relative_path(digest))
        if entry is None or entry.modified >= before:
            return False
        self.bucket.delete(entry.name)
        return True

    def claim(self) -> bool:
        """Take the store for a new ledger; whether it was free.

        `gc` removes what the edits of its own database do not need: a store belongs to one ledger.
        """
        return self.bucket.create(OWNER, b"")

    def release(self) -> None:
        """Leave the store to others again."""
        self.bucket.delete(OWNER)

    def now(self) -> float:
        """This moment by the clock of the server, Unix time: an object is stored for it."""
        self.bucket.replace(CLOCK, b"")
        entry = self.bucket.entry(CLOCK)
        if entry is None:
            reason = "an object that was stored is not there"
            raise ObjectStoreFailed(self.place, self.bucket.server, reason)
        return entry.modified

    def strays(self) -> Iterator[str]:
        """The addresses of objects among the deltas that no ledger put there."""
        for entry in self.bucket.entries():
            if entry.name not in {CLOCK, OWNER} and digest_at(entry.name) is None:
                yield f"{self.address}/{entry.name}"

    def remove_unfinished(self, before: float) -> list[str]:
        """Nothing: a server keeps no part of an object."""
        return []
