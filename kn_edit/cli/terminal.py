"""Streams and their width, whatever the surroundings say of them."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path

USUAL = 80  # columns
LEAST = 60  # narrower, columns would be cut off; a terminal wraps lines by itself
MOST = 500
HEIGHT = 25  # lines; nothing that is printed depends on it


def width() -> int:
    """Columns to lay tables out for: COLUMNS, else those of the terminal, else 80."""
    columns = _number(os.environ.get("COLUMNS", ""))
    if columns <= 0:
        columns = _columns_of_terminal()
    return min(max(columns, LEAST), MOST)


def prepare_streams() -> None:
    """Make every stream one that can be written to, or that says why not.

    A closed descriptor would be given to the next file that is opened, and what libraries print
    would land in that file. So the numbers 0, 1 and 2 are taken first.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    if sys.stdout is None:
        sys.stdout = Closed()
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # a stream that tests put there
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def abandon_stdout() -> None:
    """Stop writing to stdout, so that the interpreter does not fail when it flushes it."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Closed(io.TextIOBase):
    """Stands for a stdout that was closed before the program began: nothing can be written."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        if text:
            raise OSError(errno.EBADF, "standard output is closed")
        return 0


class Measured(io.TextIOBase):
    """Stands for stdout where something is only laid out for it: nothing is written."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(sys.stdout, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        with suppress(ValueError, AttributeError):  # closed, or not much of a stream
            return sys.stdout.isatty()
        return False

    def write(self, text: str) -> int:
        return len(text)


def _number(text: str) -> int:
    try:
        return int(text) if len(text) < 10 else 0
    except ValueError:
        return 0


def _columns_of_terminal() -> int:
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(AttributeError, OSError, ValueError):
            columns = os.get_terminal_size(stream.fileno()).columns  # type: ignore[union-attr]
            if columns > 0:
                return columns
    return USUAL


def draws_lines() -> bool:
    """Whether lines of box characters can be printed: not on a dumb terminal, nor in ASCII."""
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        "│●╯".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
