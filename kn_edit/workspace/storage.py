"""Where the parts of a workspace's ledger lie that are not in its folder."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kn_edit.errors import BadObjectAddress, BadSetting
from kn_edit.ledger.blob_store import BlobStore
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
    def blob_store(self) -> BlobStore | None:
        """The store of the deltas; None for the folder."""
        return None if self.blobs is None else ObjectBlobs(_address(self.blobs))


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
