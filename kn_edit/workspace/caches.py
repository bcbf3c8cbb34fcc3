"""What kn-edit keeps outside of workspaces: its cache, and notes of work under way elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kn_edit.atomic import (
    is_leftover_name,
    noted_leftovers,
    paths_below,
    private_leftovers,
    remove_leftover,
)
from kn_edit.models.cache import cache_folder, notes_folder

MAX_SCORES = 256 << 20  # bytes of cached scores that `gc` leaves


@dataclass(frozen=True)
class Trimmed:
    """What was removed from the cache of scores."""

    files: int
    bytes: int


def remove_leftovers() -> list[Path]:
    """Remove what killed commands left outside of workspaces.

    That is in the cache, beside targets of exports and backups, and among the system's temporary
    files.
    """
    paths = [
        *paths_below(cache_folder()),
        *(path for folder in _shards() for path in paths_below(folder)),
    ]
    places = (path for path in paths if is_leftover_name(path.name))
    removed = [path for path in places if _removed(path)]
    removed += [path for path in noted_leftovers(notes_folder()) if _removed(path)]
    removed += [path for path in private_leftovers() if _removed(path)]
    return removed


def trim_scores(most: int = MAX_SCORES) -> Trimmed:
    """Remove the oldest cached scores until at most so many bytes are left."""
    files = []
    for path in (path for folder in _shards() for path in paths_below(folder)):
        with suppress(OSError):
            status = path.lstat()
            files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    count = freed = 0
    for _, size, path in sorted(files):
        if total - freed <= most:
            break
        with suppress(OSError):
            path.unlink()
            count, freed = count + 1, freed + size
    return Trimmed(count, freed)


def _shards() -> Iterator[Path]:
    """The folders of the score cache; no links among them."""
    scores = cache_folder() / "scores"
    if not scores.is_symlink():
        yield from (path for path in paths_below(scores) if path.is_dir() and not path.is_symlink())


def _removed(path: Path) -> bool:
    with suppress(OSError):
        return remove_leftover(path, old=False)
    return False
