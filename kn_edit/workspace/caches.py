"""What kn-edit keeps outside of workspaces: its cache, and notes of work under way elsewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kn_edit.atomic import (
    is_leftover_name,
    noted_leftovers,
    paths_below,
    private_leftovers,
    remove_leftover,
)
from kn_edit.engine.score_files import cache_shards
from kn_edit.models.cache import cache_folder, notes_folder


def remove_leftovers() -> list[Path]:
    """Remove what killed commands left outside of workspaces.

    That is in the cache, beside targets of exports and backups, and among the system's temporary
    files.
    """
    paths = [
        *paths_below(cache_folder()),
        *(path for folder in cache_shards() for path in paths_below(folder)),
    ]
    places = (path for path in paths if is_leftover_name(path.name))
    removed = [path for path in places if _removed(path)]
    removed += [path for path in noted_leftovers(notes_folder()) if _removed(path)]
    removed += [path for path in private_leftovers() if _removed(path)]
    return removed


def _removed(path: Path) -> bool:
    with suppress(OSError):
        return remove_leftover(path, old=False)
    return False
