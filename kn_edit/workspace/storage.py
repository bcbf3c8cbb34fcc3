"""Where the parts of a workspace's ledger lie that are not in its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from kn_edit.errors import BadObjectAddress, BadSetting, BlobsTaken, KnEditError
from kn_edit.ledger.object_blobs import ObjectBlobs
from kn_edit.objects.address import ObjectAddress

BLOBS_URL = "KN_EDIT_BLOBS_URL"


@dataclass(frozen=True)
class Storage:
    """Where a ledger lies; what is None lies in the folder of its workspace. Raises BadSetting.

    blobs: of the deltas, s3://bucket/prefix
    """

    blobs: str | None = None

    def __post_init__(self) -> None:
        if self.blobs is not None:
            _address(self.blobs)

    @property
    def blob_store(self) -> ObjectBlobs | None:
        """The store of the deltas; None for the folder."""
        return None if self.blobs is None else ObjectBlobs(_address(self.blobs))


@contextmanager
def tried(storage: Storage, *, new: bool) -> Iterator[None]:
    """Try a storage before a ledger is made there; a bucket that is new to it is claimed.

    It is left to others again where the block fails. Raises BlobsTaken, and what a bucket raises.
    """
    store = storage.blob_store
    if store is None or not new:
        if store is not None:
            store.now()
        yield
        return
    if not store.claim():
        raise BlobsTaken(store.place)
    try:
        store.now()
        yield
    except BaseException:
        with suppress(KnEditError):
            store.release()
        raise


def storage_named(blobs: str | None) -> dict[str, str]:
    """The settings of a storage that a call names, or else the environment. Raises BadSetting."""
    url = blobs or os.environ.get(BLOBS_URL)
    if not url:
        return {}
    return {"blobs": str(_address(url))}


def _address(url: object) -> ObjectAddress:
    try:
        return ObjectAddress.parse(url if isinstance(url, str) else "")
    except BadObjectAddress as error:
        raise BadSetting(
            "the store of deltas", url, f"s3://bucket/prefix: {error.reason}"
        ) from None
