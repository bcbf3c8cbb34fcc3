"""Answers that a Hub, or a proxy in front of it, packs: unpacked piece by piece.

A few packed bytes can stand for gigabytes, so a piece is bounded and the caller counts them while
they come.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 1 << 18  # bytes
_GZIP = 16 + zlib.MAX_WBITS
PACKINGS = ("gzip", "x-gzip", "deflate")


class PackingProblem(Exception):
    """Packed bytes that are damaged or end too early."""


class Unpacker:
    """Unpacks one stream of bytes. packing: one of PACKINGS, as Content-Encoding names it"""

    def __init__(self, packing: str) -> None:
        self._begun = False
        self._start = b""  # until it tells the two forms of `deflate` apart
        self._stream = None if packing == "deflate" else zlib.decompressobj(_GZIP)

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """The bytes that these ones stand for, in pieces of 256 KiB at most.

        At least one piece comes, if only an empty one. Raises PackingProblem.
        """
        self._begun |= bool(packed)
        if self._stream is None:
            self._start += packed
            if len(self._start) < 2:
                yield b""
                return
            packed, self._stream = self._start, zlib.decompressobj(_window(self._start))
        try:
            piece = self._stream.decompress(packed, PIECE)
            yield piece
            while not self._stream.eof and (len(piece) == PIECE or self._stream.unconsumed_tail):
                piece = self._stream.decompress(self._stream.unconsumed_tail, PIECE)
                yield piece
        except zlib.error:
            raise PackingProblem from None
        if self._stream.unused_data:  # bytes behind the end, which nobody asked for
            raise PackingProblem

    def check_end(self) -> None:
        """Raise PackingProblem where the stream that was begun is not at its end."""
        if self._begun and not (self._stream and self._stream.eof):
            raise PackingProblem


def _window(start: bytes) -> int:
    """`deflate` means zlib's form, with a header; some servers leave it out."""
    headed = start[0] & 15 == 8 and int.from_bytes(start[:2]) % 31 == 0
    return zlib.MAX_WBITS if headed else -zlib.MAX_WBITS
