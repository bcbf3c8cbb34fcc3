"""Blobs that are no delta of any edit, and what else lies where they do."""

from __future__ import annotations

from collections.abc import Collection

from kn_edit.errors import KnEditError
from kn_edit.ledger.blob_store import BlobStore


def strays(blobs: BlobStore, edits: Collection[str]) -> tuple[list[str], int]:
    """Where something lies that nobody of kn-edit put there, and how many sound deltas belong to
    no edit.

    A command that was killed leaves such deltas; `gc` removes them. Raises LedgerUnusable.
    """
    # Whether the blob of an edit is a sound one is looked at with the edit.
    unused = [blob.digest for blob in blobs.stored() if blob.digest not in edits]
    foreign = [digest for digest in unused if not _is_sound(blobs, digest)]
    return sorted([*blobs.strays(), *map(blobs.where, foreign)]), len(unused) - len(foreign)


def _is_sound(blobs: BlobStore, digest: str) -> bool:
    try:
        blobs.get(digest)
    except KnEditError:
        return False
    return True
