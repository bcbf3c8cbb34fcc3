"""The C library's heap: large blocks that are freed go back to the system at once."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

BLOCK = 1 << 20  # bytes from which on a block is mapped by itself, and unmapped when it is freed
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@cache
def return_large_blocks() -> None:
    """Have glibc map each block of 1 MB and more by itself, for this whole process.

    Left alone, glibc raises that size to 32 MB as blocks are freed, and keeps such blocks in its
    heap, whose holes then count as memory in use: of 200 MB planned, 325 were resident. No other
    library is touched.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, BLOCK)
