"""Digests of many tensors of a checkpoint, taken by a few threads at once.

sha256 leaves Python's lock while it works, so threads share the cores, and a file can be hashed
behind the program that still writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

from kn_edit.tensor_header import TensorPlace

MOST_THREADS = 4  # a fifth would wait for memory


def _nobody(_name: str) -> None:
    """Whom progress is told where nobody asks."""


@dataclass(eq=False)
class TensorHasher:
    """Takes the digest of each tensor once its bytes are there, in threads.

    digest_of: the sha256 of a tensor by its name; threads call it
    places: where each tensor lies in its file, by name; files: the file of each tensor
    """

    digest_of: Callable[[str], str]
    places: Mapping[str, TensorPlace]
    files: Mapping[str, str]
    _digests: dict[str, Future[str]] = field(default_factory=dict)
    _waiting: dict[str, list[str]] = field(default_factory=dict)

    def __enter__(self) -> TensorHasher:
        self._threads = ThreadPoolExecutor(thread_count(), "kn-edit hash")
        for name in sorted(self.places, key=lambda name: self.places[name].end, reverse=True):
            self._waiting.setdefault(self.files[name], []).append(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def written(self, file: str, size: int) -> None:
        """Begin with the tensors that lie in the first `size` bytes of a file."""
        waiting = self._waiting.get(file, [])
        while waiting and self.places[waiting[-1]].end <= size:
            name = waiting.pop()
            self._digests[name] = self._threads.submit(self.digest_of, name)

    def digest(self, name: str) -> str:
        """sha256 of one tensor, whose file is there as a whole. Raises what `digest_of` raises."""
        if name not in self._digests:
            self.written(self.files[name], self.places[name].end)
        return self._digests[name].result()

    def wait(self, name: str) -> None:
        """Wait until a tensor is hashed, if it is one of those that are."""
        if name in self.places:
            self.digest(name)

    def digests(self, done: Callable[[str], object] = _nobody) -> dict[str, str]:
        """sha256 of every tensor, by name. `done` is told each name, in the order of the files.

        Raises what `digest_of` raises.
        """
        for file in sorted(self._waiting):
            names = self._waiting[file]
            self.written(file, max((self.places[name].end for name in names), default=0))
        digests = {}
        for name, digest in self._digests.items():
            digests[name] = digest.result()
            done(name)
        return digests


def thread_count() -> int:
    """How many threads hash at once: as many as this process has cores, and at most four."""
    if hasattr(os, "sched_getaffinity"):
        return min(MOST_THREADS, len(os.sched_getaffinity(0)))
    return min(MOST_THREADS, os.cpu_count() or 1)
