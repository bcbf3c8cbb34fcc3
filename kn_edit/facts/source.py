"""The bytes of a file of facts, or of a pipe; read once, and never more than a bounded number."""

from __future__ import annotations

import os
import re
import select
import stat
import sys
from pathlib import Path
from typing import IO

from kn_edit.errors import BadFacts, UnreadableFacts, phrase
from kn_edit.untrusted import open_regular, read_at_most

MOST_BYTES = 64 << 20
STDIN = "-"
PIPE = "facts"  # the name of facts that come through a pipe, the same for every run
IDLE = 5.0  # seconds that a named pipe may stay silent

_INHERITED = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_CHUNK = 1 << 16
_BINARY = {
    b"PAR1": ("a Parquet file", "write it as JSONL, for instance by pandas"),
    b"ARROW1": ("an Arrow file", "write it as JSONL, for instance by datasets.to_json"),
    b"\x1f\x8b": ("compressed by gzip", phrase("unpack it, or {pipe:=zcat}")),
    b"PK\x03\x04": ("a zip archive or a workbook", "unpack it, or write its sheet as JSONL"),
    b"(\xb5/\xfd": ("compressed by zstd", phrase("unpack it, or {pipe:=zstdcat}")),
    b"BZh": ("compressed by bzip2", phrase("unpack it, or {pipe:=bzcat}")),
    b"\xfd7zXZ": ("compressed by xz", phrase("unpack it, or {pipe:=xzcat}")),
    b"7z\xbc\xaf\x27\x1c": ("an archive of 7-Zip", "unpack it"),
    b"\xd0\xcf\x11\xe0": ("a workbook of Excel", "write its sheet as JSONL"),
    b"\x93NUMPY": ("an array of NumPy", "write it as JSONL"),
    b"\x89HDF\r\n": ("an HDF5 file", "write it as JSONL"),
    b"\x80\x02": ("a pickle, which could run code", "write it as JSONL"),
    b"\x80\x03": ("a pickle, which could run code", "write it as JSONL"),
    b"\x80\x04": ("a pickle, which could run code", "write it as JSONL"),
    b"\x80\x05": ("a pickle, which could run code", "write it as JSONL"),
    b"SQLite format 3": ("a database", "write its rows as JSONL"),
    b"%PDF": ("a PDF", "write its facts as JSONL"),
    b"version https://git-lfs": ("a pointer of Git LFS, not the file", "fetch it: git lfs pull"),
    b"<!DOCTYPE": ("a web page", "download the file itself, not the page that shows it"),
    b"<!doctype": ("a web page", "download the file itself, not the page that shows it"),
    b"<html": ("a web page", "download the file itself, not the page that shows it"),
}
_LONGEST_MAGIC = max(map(len, _BINARY))
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def is_pipe(path: Path) -> bool:
    """Whether facts come through something that can be read only once."""
    return _descriptor(path) is not None or _is_fifo(path)


def read_source(path: Path, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file, a pipe or standard input (`-`), without their byte order mark.

    Raises UnreadableFacts for what is no file or pipe, or is larger than `most` bytes, and BadFacts
    for what is empty or no text.
    """
    try:
        raw = _read(path, most)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnreadableFacts(path, reason or str(error)) from error
    _check_is_text(path, raw)
    return raw.removeprefix(_BOM)


def _read(path: Path, most: int) -> bytes:
    descriptor = _descriptor(path)
    if descriptor == 0:
        return read_at_most(_stdin(), most, path)
    if descriptor is not None:
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return read_at_most(file, most, path)
    if _is_fifo(path):
        return _read_fifo(path, most)
    with open_regular(path) as regular:
        return read_at_most(regular, most, path)


def _descriptor(path: Path) -> int | None:
    """The number of a descriptor that the shell handed over, as `<(...)` does."""
    name = str(path)
    if name in (STDIN, "/dev/stdin"):
        return 0
    inherited = _INHERITED.fullmatch(name)
    return int(inherited[1] or inherited[2]) if inherited else None


def _stdin() -> IO[bytes]:
    if sys.stdin is None:
        raise ValueError("standard input is closed")
    return sys.stdin.buffer


def _is_fifo(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _read_fifo(path: Path, most: int) -> bytes:
    """What is written into a named pipe. Opened so that it waits for nobody."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        data = bytearray()
        while len(data) <= most:
            if not waiting.poll(IDLE * 1000):
                raise ValueError(f"nobody wrote into this pipe for {IDLE:.0f} seconds")
            chunk = os.read(descriptor, _CHUNK)
            if not chunk:
                return bytes(data)
            data += chunk
    finally:
        os.close(descriptor)
    raise ValueError(f"it is larger than the {most:,} bytes allowed")


def _check_is_text(path: Path, raw: bytes) -> None:
    start = raw.removeprefix(_BOM).lstrip(b"\r\n")[:_LONGEST_MAGIC]
    for magic, (kind, remedy) in _BINARY.items():
        if start.startswith(magic):
            raise BadFacts(path, 1, f"this is {kind}", remedy)
    if raw.startswith(_UTF16) or b"\0" in raw[:4]:
        raise BadFacts(path, 1, "the text is UTF-16 or UTF-32, not UTF-8", "save it as UTF-8")
    if not raw.removeprefix(_BOM).strip():
        raise BadFacts(path, 1, "the file is empty", "put at least one fact into it")
