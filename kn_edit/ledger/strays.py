"""Files in the folder of deltas that are no delta of any edit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from kn_edit.atomic import LEFTOVER, TEMPORARY
from kn_edit.errors import KnEditError
from kn_edit.ledger.blobs import PREFIX, SUFFIX, Blobs


def strays(blobs: Blobs, edits: Collection[str]) -> tuple[list[Path], int]:
    """What nobody of kn-edit put there, and how many sound deltas belong to no edit.

    A command that was killed leaves such deltas, and unfinished files; `gc` removes them.
    """
    foreign: list[Path] = []
    unused = 0
    for path in _entries(blobs.folder):
        digest = path.name.removesuffix(SUFFIX)
        named = path == blobs.path(digest)
        if named and digest in edits:
            continue  # whether it is a sound one is looked at with the edit
        if named and _is_sound(blobs, digest):
            unused += 1
        else:
            foreign.append(path)
    return foreign, unused


def _entries(folder: Path) -> Iterator[Path]:
    """The files of the folder of deltas, and whatever else is not one of its own folders."""
    for path in _inside(folder):
        if PREFIX.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield from _inside(path)
        else:
            yield path


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, without what is on its way. Nothing where there is no folder."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [path for path in paths if not _is_unfinished(path.name)]


def _is_unfinished(name: str) -> bool:
    return LEFTOVER.fullmatch(name) is not None or name.endswith(TEMPORARY)


def _is_sound(blobs: Blobs, digest: str) -> bool:
    try:
        blobs.get(digest)
    except KnEditError:
        return False
    return True
