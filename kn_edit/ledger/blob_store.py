"""What a ledger asks of the place where its deltas lie, whatever that is: a folder, a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

MAX_BYTES = 256 << 20  # of one delta


@dataclass(frozen=True)
class StoredBlob:
    """A blob as a store lists it, without its bytes.

    modified: when it was last put there, Unix time by the clock of the store
    """

    digest: str
    modified: float


class BlobStore(Protocol):
    """Bytes, each under the sha256 of them. What is stored is never changed.

    Errors are those of kn-edit: LedgerUnusable where the store fails, and what the methods name.
    """

    @property
    def place(self) -> str:
        """Where the store is, for messages."""

    def where(self, digest: str) -> str:
        """Where the blob with this sha256 lies, or would lie, for messages."""

    def put(self, data: bytes) -> str:
        """Store bytes unless they are there; their sha256. They survive a power cut from now on.

        A blob that is there already counts as put now. Raises LedgerUnusable for more than
        MAX_BYTES.
        """

    def get(self, digest: str) -> bytes:
        """The bytes with this sha256, after comparing it.

        Raises DeltaMissing, DeltaDigestDiffers.
        """

    def has(self, digest: str) -> bool:
        """Whether a blob with this sha256 is there. Its bytes are not looked at."""

    def stored(self) -> Iterator[StoredBlob]:
        """Every blob, by its sha256. One that is deleted meanwhile may be left out."""

    def delete(self, digest: str, before: float) -> bool:
        """Delete a blob that was last put there before a moment; whether it was deleted.

        before: Unix time by the clock of the store
        """

    def now(self) -> float:
        """This moment by the clock of the store, Unix time."""

    def strays(self) -> Iterable[str]:
        """Where something lies in the store that no ledger put there."""

    def remove_unfinished(self, before: float) -> list[str]:
        """Remove what killed writers left, and nobody needs; where each was.

        before: Unix time; what cannot be told from work under way goes if it is older
        """


def keep(blobs: BlobStore, digest: str, data: Callable[[], bytes]) -> None:
    """Make sure that a stored blob is still there; store it again where it was tidied away.

    To be called with the right to write, which `gc` needs too: then nothing deletes the blob
    before the transaction that refers to it has ended. Raises LedgerUnusable.
    """
    if not blobs.has(digest):
        blobs.put(data())
