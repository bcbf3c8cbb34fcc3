"""Blobs that are no delta of any edit, and what else lies where they do."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kn_edit.errors import KnEditError
from kn_edit.ledger.blob_store import BlobStore


def strays(
    blobs: BlobStore, edits: Collection[str], needed: Callable[[list[str]], set[str]]
) -> tuple[list[str], int]:
    """Where something lies that nobody of kn-edit put there, and how many sound deltas belong to
    no edit.

    A command that was killed leaves such deltas; `gc` removes them.
    edits: of one workspace; needed: gives those of some ids that are edits of any workspace
    Raises LedgerUnusable, and what `needed` raises.
    """
    # Whether the blob of an edit is a sound one is looked at with the edit.
    unknown = [blob.digest for blob in blobs.stored() if blob.digest not in edits]
    elsewhere = needed(unknown) if unknown else set()
    unused = [digest for digest in unknown if digest not in elsewhere]
    foreign = [digest for digest in unused if not _is_sound(blobs, digest)]
    return sorted([*blobs.strays(), *map(blobs.where, foreign)]), len(unused) - len(foreign)


def _is_sound(blobs: BlobStore, digest: str) -> bool:
    try:
        blobs.get(digest)
    except KnEditError:
        return False
    return True
