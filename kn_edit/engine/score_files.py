"""The files of the caches of scores and of coefficients: bounded, the least recently used go first.

Needs no torch.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.atomic import paths_below, write_atomically
from kn_edit.models.cache import cache_folder
from kn_edit.untrusted import parse_json, read_bounded

MAX_SCORES = 256 << 20  # bytes of cached scores; those of a prompt take some 20,000
MOST_BYTES = 1 << 20  # of one file
MAX_KEYS = 2 << 30  # bytes of cached coefficients; those of a prompt take some 6,000
_ROOM = 0.9  # of the bound is left when it was passed, so that not every score makes room


@dataclass(frozen=True)
class Trimmed:
    """What was removed from the cache of scores."""

    files: int
    bytes: int


@dataclass(frozen=True)
class _Stored:
    """A file of the cache."""

    used: int  # when it was last read or written, ns
    size: int
    path: Path


class ScoreFiles:
    """Reads and writes what is cached, by name. A cache that fails costs time only."""

    def __init__(self, most: int = MAX_SCORES) -> None:
        """most: bytes at which room is made"""
        self._folder = scores_folder()
        self._most = most
        self._size: int | None = None  # of all files, once something was written

    def read(self, name: str) -> Any:
        """What is kept under a name; None where nothing can be read, or a link stands there."""
        path = self._path(name)
        try:
            content = None if path.is_symlink() else parse_json(read_bounded(path, MOST_BYTES))
        except (OSError, ValueError):
            return None
        with suppress(OSError):  # the time of use; a file system may not keep it by itself
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns), follow_symlinks=False)
        return content

    def write(self, name: str, content: object) -> None:
        """Keep something under a name, and make room where the cache has grown beyond its bound."""
        path, text = self._path(name), json.dumps(content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text, durable=False)
        except OSError:
            return
        self._size = cached_bytes() if self._size is None else self._size + len(text)
        if self._size > self._most:
            trim_scores(int(_ROOM * self._most))
            self._size = cached_bytes()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.json"


def scores_folder() -> Path:
    """Where scores are cached, of all bases and workspaces of the user."""
    return cache_folder() / "scores"


def cached_bytes() -> int:
    """How many bytes of scores are cached."""
    return sum(file.size for file in _files(scores_folder()))


def trim_scores(most: int = MAX_SCORES) -> Trimmed:
    """Remove the least recently used scores until at most so many bytes are left."""
    return _trimmed(scores_folder(), most)


def keys_folder() -> Path:
    """Where coefficients are cached, of all bases and workspaces of the user."""
    return cache_folder() / "keys"


def trim_keys() -> Trimmed:
    """Remove the least recently used coefficients where their cache has outgrown its bound."""
    return _trimmed(keys_folder(), MAX_KEYS)


def cache_shards() -> Iterator[Path]:
    """The folders that what is cached is spread over; no links among them."""
    for folder in (scores_folder(), keys_folder()):
        yield from _shards(folder)


def _trimmed(folder: Path, most: int) -> Trimmed:
    """Remove the least recently used files of a cache until at most so many bytes are left."""
    files = sorted(_files(folder), key=lambda file: (file.used, file.path))
    total = sum(file.size for file in files)
    count = freed = 0
    for file in files:
        if total - freed <= most:
            break
        with suppress(OSError):
            file.path.unlink()
            count, freed = count + 1, freed + file.size
    return Trimmed(count, freed)


def _shards(folder: Path) -> Iterator[Path]:
    if not folder.is_symlink():
        yield from (path for path in paths_below(folder) if path.is_dir() and not path.is_symlink())


def _files(folder: Path) -> Iterator[_Stored]:
    for path in (path for shard in _shards(folder) for path in paths_below(shard)):
        with suppress(OSError):
            status = path.lstat()
            used = max(status.st_atime_ns, status.st_mtime_ns)
            yield _Stored(used=used, size=status.st_size, path=path)
