"""Files as they shall stand on the Hub, and as they do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kn_edit.canonical import digest_of

CHUNK = 8 << 20


class Stored(NamedTuple):
    """What the Hub says of a file.

    git: the id that git gives its content, or the pointer that stands for it
    sha256: of the content, where the Hub keeps it in LFS
    """

    size: int
    git: str
    sha256: str | None


Tree = Mapping[str, Stored]


class Wanted(Protocol):
    """A file that a commit shall leave at its path."""

    def matches(self, stored: Stored | None) -> bool:
        """Whether it stands there already."""

    def operation(self, path: str) -> Any:
        """What puts it there, in the words of huggingface_hub."""


@dataclass(frozen=True, eq=False)
class Part:
    """A file of ours: its bytes, or the path where they lie."""

    data: bytes | Path

    @cached_property
    def size(self) -> int:
        return len(self.data) if isinstance(self.data, bytes) else self.data.stat().st_size

    @cached_property
    def sha256(self) -> str:
        return digest_of(self._chunks())

    @cached_property
    def git(self) -> str:
        """The id of a git blob of these bytes."""
        digest = hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for chunk in self._chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def matches(self, stored: Stored | None) -> bool:
        if stored is None or stored.size != self.size:
            return False
        return stored.git == self.git if stored.sha256 is None else stored.sha256 == self.sha256

    def operation(self, path: str) -> Any:
        from huggingface_hub import CommitOperationAdd

        return CommitOperationAdd(path, self.data)

    def _chunks(self) -> Iterator[bytes]:
        with BytesIO(self.data) if isinstance(self.data, bytes) else self.data.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


@dataclass(frozen=True)
class Earlier:
    """A file as it stood at an earlier commit of the same repository."""

    stored: Stored
    commit: str

    def matches(self, stored: Stored | None) -> bool:
        return stored == self.stored

    def operation(self, path: str) -> Any:
        from huggingface_hub import CommitOperationCopy

        return CommitOperationCopy(path, path, src_revision=self.commit)
