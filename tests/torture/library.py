"""The fault library: built from faults.c, loaded before libc, armed through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
LIBRARY = "KN_EDIT_FAULTS"  # where the warm process finds the library that it was started under


class Mode(IntEnum):
    """What happens at the chosen operation. The numbers are those of faults.c."""

    COUNT = 1
    KILL = 2  # before it
    TEAR = 3  # after half of a write, or after any other operation
    FAIL = 4  # once
    FAIL_ON = 5  # from then on
    SIGNAL = 6


class Kind(IntFlag):
    """Kinds of operations."""

    CREATE = 1
    OPEN = 2
    WRITE = 4
    SYNC = 8
    TRUNCATE = 16
    RENAME = 32
    LINK = 64
    UNLINK = 128
    MKDIR = 256
    RMDIR = 512
    CLOSE = 1024
    SYNCDIR = 2048
    TIMES = 4096
    SEND = 8192
    EXCHANGE = 16384  # of two names


EVERY = Kind(32767)
DISK = EVERY ^ Kind.SEND
GROWING = Kind.CREATE | Kind.WRITE | Kind.LINK | Kind.MKDIR  # what a full disk refuses


@dataclass(frozen=True)
class Fault:
    """How one run goes wrong. `at` counts operations of `kinds`, from 1."""

    mode: Mode
    at: int = 0
    kinds: Kind = EVERY
    number: int = 0  # errno of a failure, or the signal

    def __str__(self) -> str:
        number = f" {self.number}" if self.number else ""
        return f"{self.mode.name}{number} at {self.at}"


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


def built(folder: Path) -> Path:
    """Compile the library into a folder."""
    path = folder / "faults.so"
    command = [str(compiler()), "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, SOURCE]
    subprocess.run([*map(str, command), "-ldl"], check=True, capture_output=True, text=True)
    return path


class Library:
    """The library inside a process that was started under it."""

    def __init__(self) -> None:
        self._functions = ctypes.CDLL(os.environ[LIBRARY])
        self._functions.kn_count.restype = ctypes.c_long
        self._functions.kn_hits.restype = ctypes.c_long

    def arm(self, root: Path, fault: Fault, *, trace: int = -1, report: int = -1) -> None:
        """Count the operations below a folder from now on, and let the chosen one go wrong.

        trace: a descriptor that gets every operation with its data
        report: a descriptor that gets the kind and the path of the operation that went wrong
        """
        self._functions.kn_arm(
            os.fsencode(root.resolve()),
            int(fault.mode),
            int(fault.kinds),
            ctypes.c_long(fault.at),
            fault.number,
            trace,
            report,
        )

    def disarm(self) -> None:
        self._functions.kn_disarm()

    @property
    def count(self) -> int:
        """Operations since the library was armed."""
        return int(self._functions.kn_count())

    @property
    def hits(self) -> int:
        """How many of them went wrong."""
        return int(self._functions.kn_hits())
