"""A folder appears at once and whole, or not at all; the copies of files that go into it."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kn_edit.errors import CannotWrite, TargetInsideCheckpoint, TargetNotEmpty
from kn_edit.models.shards import CHUNK

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, copy on write


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well.

    Raises TargetNotEmpty, CannotWrite (any error of the system inside the block, too).
    """
    target = target.expanduser().resolve()
    partial = target.parent / f".{target.name}.{secrets.token_hex(4)}.partial"
    try:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise TargetNotEmpty(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        sync(partial)
        partial.rename(target)  # takes the place of an empty folder, and of no other
        sync(target.parent)
    except OSError as error:
        raise CannotWrite(target, error.strerror or str(error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_folder(target: Path, files: Mapping[str, bytes]) -> Path:
    """A new folder with these files. Raises TargetNotEmpty, CannotWrite."""
    with new_folder(target) as partial:
        for name, data in files.items():
            (partial / name).write_bytes(data)
            sync(partial / name)
    return target


def refuse_inside(target: Path, base: Path) -> None:
    """Raise TargetInsideCheckpoint for a target in the base or in a Hub cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    target = target.expanduser().resolve()
    for owner in (base.resolve(), Path(HF_HUB_CACHE).resolve()):
        if target.is_relative_to(owner):
            raise TargetInsideCheckpoint(target, owner)
    for parent in target.parents:  # a cache that stands elsewhere
        if parent.name.startswith("models--") and (parent / "snapshots").is_dir():
            raise TargetInsideCheckpoint(target, parent)


def files_below(folder: Path, inside: Path = Path()) -> Iterator[Path]:
    """Relative paths of the regular files below a folder, links followed, hidden folders not."""
    for path in sorted((folder / inside).iterdir()):
        if path.is_file():
            yield inside / path.name
        elif path.is_dir() and not path.name.startswith(".") and not _is_loop(path):
            yield from files_below(folder, inside / path.name)


def copy_file(source: Path, target: Path, moved: Callable[[int], None]) -> None:
    """Copy a file's contents, sharing blocks where the file system can; `moved` counts bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        if _share_blocks(reader.fileno(), writer.fileno()):
            moved(os.fstat(reader.fileno()).st_size)
            return
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            moved(len(chunk))


def sync(path: Path) -> None:
    """Ask that a file or a folder, with what stands in it, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _share_blocks(reader: int, writer: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True


def _is_loop(path: Path) -> bool:
    parent = path.parent.resolve()
    return path.is_symlink() and path.resolve() in (parent, *parent.parents)
