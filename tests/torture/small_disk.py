"""Commands on a disk that is really full: a small tmpfs in a mount namespace of the trial's own."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hub_side
from commands import COMMANDS, Command
from library import Fault, Mode
from stage import CACHE, UNDER_WAY, Ran, Reference, Seen, Stage
from sweeps import Aftermath, Failure, after_an_error, aftermath, wrong

from kn_edit.errors import ExitCode

FREE = (0, 1, 4, 16)  # pages, in the short form
GROWTH = 1.1  # from one trial to the next, in the full form
LARGE = 1 << 16  # pages: as good as endless
MOST = 64  # trials of a command
NEW_USER, NEW_MOUNTS, REMOUNT = 0x10000000, 0x00020000, 32  # of unshare and mount
PAGE = os.sysconf("SC_PAGE_SIZE")


def full_disks(stage: Stage, name: str, most: int | None, seed: int) -> tuple[int, list[Failure]]:
    """Run a command with so many pages free, more and more until it succeeds."""
    command, count, failures = COMMANDS[name], 0, []
    reference = stage.reference(name)
    short = most if most is not None and most <= len(FREE) else 0
    for free in _few(short, seed + len(name)) if short else _amounts():
        place = stage.place()
        ran, after = stage.aside(lambda at=place, free=free: _trial(stage, command, at, free))
        stage.remove(place)
        count += 1
        reason = next(wrong(ran, after, command, reference, _judge), None)
        if reason:
            told = (ran.err or ran.out)[-600:]
            failures.append(Failure(name, f"{free} pages free", "", reason, ran.code, told))
        if ran.code == 0 and not short:
            break
    return count, failures


def _few(most: int, first: int) -> list[int]:
    return [FREE[(first + at) % len(FREE)] for at in range(most)]


def _amounts() -> Iterator[int]:
    free = 0
    for _ in range(MOST):
        yield free
        free = max(free + 1, int(free * GROWTH))


def _judge(ran: Ran, seen: Seen, reference: Reference) -> str | None:
    if ran.code not in (ExitCode.DONE, ExitCode.DISK):
        return f"the disk is full, and it ended with {ran.code}"
    return after_an_error(ran, seen, reference)


def _trial(stage: Stage, command: Command, place: Path, free: int) -> tuple[Ran, Aftermath]:
    """One run on a small disk, and what came of it once there was room; in a child."""
    _own_mounts()
    folder = place / "w"
    folder.mkdir()
    _mount(folder, LARGE)
    shutil.copytree(stage.folder / "templates" / command.template, folder, dirs_exist_ok=True)
    if command.cache:
        (folder / CACHE / UNDER_WAY).mkdir(parents=True)
    if command.hub:
        hub_side.begin(command.hub)
    room = os.statvfs(folder)
    used = room.f_blocks - room.f_bfree
    _mount(folder, max(1, used + free), REMOUNT)  # 0 would be no limit
    ran = stage.run(command, place, Fault(Mode.COUNT))
    _mount(folder, LARGE, REMOUNT)
    return ran, aftermath(stage, command, place)


def _own_mounts() -> None:
    """Give this process mounts of its own, as a user who is root there alone."""
    user, group = os.getuid(), os.getgid()
    _checked(_libc.unshare(NEW_USER | NEW_MOUNTS))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def _mount(folder: Path, pages: int, flags: int = 0) -> None:
    size = f"size={pages * PAGE}".encode()
    _checked(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, size))


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
