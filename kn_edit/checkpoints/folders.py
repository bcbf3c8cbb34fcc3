"""A folder appears at once and whole, or not at all; the copies of files that go into it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kn_edit.atomic import scratch_folder, sync, taken_back
from kn_edit.errors import (
    CannotWrite,
    LinkLeadsOutside,
    TargetInsideCheckpoint,
    TargetNotEmpty,
    reason_of,
)
from kn_edit.models.cache import notes_folder
from kn_edit.untrusted import open_regular, path_of

COPIED = 8 << 20  # bytes that are copied at once
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file, copy on write
# What a kernel or a file system says that cannot copy from file to file.
_CANNOT_COPY = {errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM}


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its name when the block ends well.

    Raises TargetNotEmpty, CannotWrite (any error of the system inside the block, too),
    WriteUnknown where the disk does not tell whether it kept the name.
    """
    try:
        target = path_of(target).resolve()
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise TargetNotEmpty(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent, target.name, notes_folder()) as partial:
            yield partial
            _sync_folders(partial)
            _take_name(partial, target)
    except OSError as error:
        raise CannotWrite(target, reason_of(error)) from error
    except RuntimeError as error:  # what pathlib makes of links that lead round in a circle
        if not str(error).startswith("Symlink loop"):
            raise
        raise CannotWrite(target, "its links lead round in a circle") from error


def write_folder(target: Path, files: Mapping[str, bytes]) -> Path:
    """A new folder with these files. Raises TargetNotEmpty, CannotWrite."""
    with new_folder(target) as partial:
        for name, data in files.items():
            with (partial / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    return target


def refuse_inside(target: Path, base: Path) -> None:
    """Raise TargetInsideCheckpoint for a target in the base or in a Hub cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    target = path_of(target).resolve()
    for owner in (base.resolve(), Path(HF_HUB_CACHE).resolve()):
        if target.is_relative_to(owner):
            raise TargetInsideCheckpoint(target, owner)
    for parent in target.parents:  # a cache that stands elsewhere
        if parent.name.startswith("models--") and (parent / "snapshots").is_dir():
            raise TargetInsideCheckpoint(target, parent)


def files_below(folder: Path, *, follow_links: bool = False) -> Iterator[Path]:
    """Relative paths of the regular files below a folder, hidden folders left out.

    Links inside the folder are followed, and those of a snapshot to its own Hub cache. One that
    leads elsewhere could hand out anything: it is followed only if the user asked for it.
    Raises LinkLeadsOutside.
    """
    yield from _files_below(folder, Path(), follow_links, (folder.resolve(),))


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Raise LinkLeadsOutside where one of these names is a link out of a checkpoint folder."""
    for name in names:
        if leads_outside(folder / name, folder):
            raise LinkLeadsOutside(folder / name, (folder / name).resolve())


def leads_outside(path: Path, folder: Path) -> bool:
    """Whether a name in a checkpoint folder is a link to a file or folder that is not part of it.

    A snapshot in a Hub cache links to the blobs of its repository, which are.
    """
    if not path.is_symlink() or not path.exists():
        return False
    root = folder.resolve()
    owner = next((parent for parent in root.parents if _is_cached_repository(parent)), root)
    return not path.resolve().is_relative_to(owner)


def _is_cached_repository(folder: Path) -> bool:
    return folder.name.startswith("models--") and (folder / "snapshots").is_dir()


def _files_below(
    folder: Path, inside: Path, follow_links: bool, above: tuple[Path, ...]
) -> Iterator[Path]:
    for path in sorted((folder / inside).iterdir()):
        if path.is_dir() and (path.name.startswith(".") or path.resolve() in above):
            continue  # tools keep their own in hidden folders; a link may lead round in a circle
        if not follow_links:
            refuse_links(folder, [str(inside / path.name)])
        if path.is_file():
            yield inside / path.name
        elif path.is_dir():
            yield from _files_below(
                folder, inside / path.name, follow_links, (*above, path.resolve())
            )


def copy_file(source: Path, target: Path, moved: Callable[[int], None]) -> None:
    """Copy a file's contents inside the kernel, where it can; `moved` counts bytes.

    Blocks are shared with the source where the file system can share them.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(source) as reader, target.open("xb", buffering=0) as writer:
        size = os.fstat(reader.fileno()).st_size
        if _share_blocks(reader.fileno(), writer.fileno()):
            moved(size)
            return
        _copy_in_kernel(reader.fileno(), writer.fileno(), size, moved)
        while chunk := os.read(reader.fileno(), COPIED):  # from where the kernel stopped
            _write_all(writer.fileno(), chunk)
            moved(len(chunk))


def _copy_in_kernel(reader: int, writer: int, size: int, moved: Callable[[int], None]) -> None:
    """Copy as much of a file as the kernel can without this program. Raises OSError."""
    if sys.platform != "linux":
        return
    done = 0
    while done < size:
        try:
            count = os.copy_file_range(reader, writer, min(COPIED, size - done))
        except OSError as error:
            if done or error.errno not in _CANNOT_COPY:
                raise
            return
        if not count:
            return
        done += count
        moved(count)


def _write_all(writer: int, data: bytes) -> None:
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(writer, unwritten) :]


def _sync_folders(folder: Path) -> None:
    """Wait until the names in a folder and in those below it are on disk."""
    for path in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
        sync(path)


def _take_name(partial: Path, target: Path) -> None:
    """Rename a folder, and wait until its name is on disk; where that fails it is not there.

    Raises OSError, WriteUnknown.
    """
    partial.rename(target)  # takes the place of an empty folder, and of no other
    with taken_back(target, lambda: target.rename(partial)):
        sync(target.parent)


def _share_blocks(reader: int, writer: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        return False
    return True
