"""Files that appear whole or not at all, under temporary names that nobody else uses or guesses.

A temporary file is new (O_EXCL), never reached through a link, and locked (flock) by who writes it
until it has its own name. So a leftover of a killed command can be told from work under way: nobody
holds its lock. Where a file system knows no locks, only its age tells.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

from kn_edit.errors import WriteUnknown

TEMPORARY = ".tmp"  # a file on its way
PARTIAL = ".partial"  # a folder on its way
PRIVATE = "kn-edit"  # what private folders are named after
NOTE = ".note"  # a file that says where a folder on its way is
LONGEST = 40  # characters of a name that a temporary name repeats; more could be too long
LEFTOVER = re.compile(r"\..{0,40}\.[0-9a-f]{16}\.(tmp|partial)", re.DOTALL)

_LONGEST_PATH = 4096  # bytes
_TRIES = 100  # a tidier can take a new name away before it is locked, so look again
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NotDurable(OSError):
    """A file that was written and has its name, which may not survive a power cut."""


def write_atomically(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write a file so that its name holds the old content or the new one.

    A link of this name is replaced, never written through.
    durable: wait until file and name are on disk
    Raises OSError where the old content stays, WriteUnknown where that is not known.
    """
    with opened_folder(path.parent, follow=True) as folder:
        try:
            write_in(folder, path.name, data, durable=durable)
        except NotDurable as error:
            raise WriteUnknown(path, _reason(error)) from error


def write_in(folder: int, name: str, data: bytes | str, *, durable: bool = True) -> None:
    """Write a file of an open folder, as `write_atomically` does. Raises OSError, NotDurable."""
    content = data.encode() if isinstance(data, str) else data
    for _ in range(_TRIES):
        temporary = temporary_name(name, TEMPORARY)
        descriptor = os.open(temporary, _NEW, 0o666, dir_fd=folder)
        try:
            lock(descriptor, wait=True)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            if durable:
                os.fsync(descriptor)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            if isinstance(error, FileNotFoundError):
                continue
            raise
        finally:
            with suppress(OSError):  # the content is there, whatever closing says
                os.close(descriptor)
        if durable:
            try:
                os.fsync(folder)
            except OSError as error:
                raise NotDurable(*error.args) from error
        return
    raise OSError(errno.EAGAIN, "another program keeps removing its temporary files", name)


@contextmanager
def scratch_folder(
    parent: Path, name: str, notes: Path | None = None, *, mode: int = 0o777
) -> Iterator[Path]:
    """A new folder for work under way, locked for as long as the block runs, gone afterwards.

    It may be renamed inside the block; then it stays.
    notes: a folder to note its place in, for `noted_leftovers` after a kill
    mode: its permissions, less those that the umask takes away
    Raises OSError.
    """
    with _noted(parent, name, notes) as path:
        descriptor = _make_locked(path, mode)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)


@contextmanager
def private_folder(*, for_sockets: bool = False) -> Iterator[Path]:
    """A new folder among the system's temporary files, which only this user may look into.

    Gone after the block; what a kill leaves is of `private_leftovers`.
    for_sockets: under the shortest path there is; those of sockets may have about 100 bytes
    Raises OSError.
    """
    parent = Path(tempfile.gettempdir())
    if for_sockets:
        places = [place for place in _temporary_places() if os.access(place, os.W_OK | os.X_OK)]
        parent = min(places, key=lambda place: len(str(place)), default=parent)
    with scratch_folder(parent, PRIVATE, mode=0o700) as folder:
        yield folder


def private_leftovers() -> Iterator[Path]:
    """Folders that `private_folder` made for this user, in use or left behind by a kill."""
    start = f".{PRIVATE}."
    for path in chain.from_iterable(map(paths_below, _temporary_places())):
        if path.name.startswith(start) and is_leftover_name(path.name):
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                    yield path


def _temporary_places() -> list[Path]:
    """Where temporary files may lie: as this system is set, and where it has them by default."""
    return list(dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp")]))


def noted_leftovers(notes: Path) -> Iterator[Path]:
    """Folders on their way whose makers were killed, by the notes that they left; once each.

    A note goes with the folder that it names: remove that before asking for the next.
    """
    for note in paths_below(notes):
        if not note.name.endswith(NOTE) or note.is_symlink():
            continue
        with suppress(OSError), note.open("rb") as file:
            free = lock(file.fileno(), wait=False)
            if free is False:
                continue  # its maker works on
            place = Path(os.fsdecode(file.read(_LONGEST_PATH)))
            complete = is_leftover_name(place.name) and place.is_absolute()
            if complete:
                yield place
            if not place.exists() or (free and not complete):  # a kill may have cut the note off
                note.unlink()


def remove_leftover(path: Path, *, old: bool) -> bool:
    """Remove a file or folder on its way whose maker is gone; whether it was removed.

    old: whether to remove it where the file system cannot say that the maker is gone. Links are
    neither followed nor removed. Raises OSError where removing fails.
    """
    try:
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        free = lock(descriptor, wait=False)
        if not (old if free is None else free):
            return False
        shutil.rmtree(path) if stat.S_ISDIR(mode) else path.unlink()
    except FileNotFoundError:
        return False  # its maker, or another tidier, was faster
    finally:
        os.close(descriptor)
    return True


def place(temporary: Path, path: Path) -> None:
    """Give a finished file its name. Raises FileExistsError where it is taken, WriteUnknown.

    Of several at once exactly one gets the name, and nothing is ever replaced.
    """
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        _place_without_links(temporary, path)


@contextmanager
def taken_back(
    path: Path, undo: Callable[[], object], *, former: Path | None = None
) -> Iterator[None]:
    """Take a new name back where the block fails, which makes sure of it.

    undo: takes it back, and raises OSError where it cannot
    former: where that is now whose place it takes
    Raises what the block raises; WriteUnknown where the name could not be taken back.
    """
    try:
        yield
    except WriteUnknown:  # of a later step: what is there now stays as it is
        raise
    except BaseException as error:
        try:
            undo()
        except OSError:
            raise WriteUnknown(path, _reason(error), former) from error
        raise


def temporary_name(name: str, ending: str) -> str:
    """A name beside another one that nobody uses and nobody can guess."""
    return f".{name[:LONGEST]}.{secrets.token_hex(8)}{ending}"


def is_leftover_name(name: str) -> bool:
    """Whether a name is one that `temporary_name` makes."""
    return LEFTOVER.fullmatch(name) is not None


def new_time(folder: int) -> float:
    """When a file that is made now in an open folder was made, as its file system sees it.

    Ages are told from this: the clocks of machines differ, and jump. Raises OSError.
    """
    name = temporary_name("now", TEMPORARY)
    descriptor = os.open(name, _NEW, 0o600, dir_fd=folder)
    try:
        os.write(descriptor, b"now")
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: Path) -> None:
    """Make a folder and those above it that are missing, each name on disk. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        with suppress(PermissionError):  # a folder that may be written to and not read
            sync(folder.parent)


@contextmanager
def opened_folder(path: Path, *, follow: bool = False) -> Iterator[int]:
    """A folder's descriptor. follow: also where the last name of the path is a link."""
    descriptor = os.open(path, _FOLDER & ~os.O_NOFOLLOW if follow else _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool) -> bool | None:
    """Lock an open file or folder until it is closed: True, or False where another holds it.

    None where the file system has no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _make_locked(path: Path, mode: int) -> int:
    """Make a folder and lock it; its descriptor."""
    for _ in range(_TRIES):
        path.mkdir(mode)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, _FOLDER)
            lock(descriptor, wait=True)
            try:
                if os.path.samestat(path.lstat(), os.fstat(descriptor)):
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)
    raise OSError(errno.EAGAIN, "another program keeps removing its temporary folders", str(path))


@contextmanager
def _noted(parent: Path, name: str, notes: Path | None) -> Iterator[Path]:
    """The place of a new scratch folder, noted for as long as the block runs, as far as it can be.

    Where no note can be written the work goes on without one.
    """
    path = parent.absolute() / temporary_name(name, PARTIAL)
    if notes is None:
        yield path
        return
    written = _new_note(notes, path)
    try:
        yield path
    finally:
        if written is not None:
            note, descriptor = written
            with suppress(OSError):
                if not path.exists():
                    note.unlink()
            with suppress(OSError):
                os.close(descriptor)


def _new_note(notes: Path, place: Path) -> tuple[Path, int] | None:
    """Note a place in a new file, locked: the file, and its descriptor. None where none can be."""
    with suppress(OSError):
        notes.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            note = notes / f"{secrets.token_hex(8)}{NOTE}"
            descriptor = os.open(note, _NEW, 0o600)
            lock(descriptor, wait=True)
            if os.fstat(descriptor).st_nlink:  # else a tidier was faster than the lock
                with suppress(OSError):
                    os.write(descriptor, os.fsencode(place))
                return note, descriptor
            os.close(descriptor)
    return None


def paths_below(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _place_without_links(temporary: Path, path: Path) -> None:
    """The same on a file system without hard links: who makes the name may fill it."""
    descriptor = os.open(path, _NEW, 0o666)
    with taken_back(path, lambda: path.unlink(missing_ok=True)):
        os.close(descriptor)
        temporary.replace(path)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
