"""Canonical JSON and sha256 digests: what ids, journals and published files are named by."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from io import BufferedReader
from typing import Any

SHORT = 12  # digits of an id that are shown
DIGEST = re.compile(r"[0-9a-f]{64}")


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def finite(value: Any) -> Any:
    """A value as JSON can hold it: nan and inf, which JSON does not know, become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(member) for member in value]
    return value


def digest(data: bytes | bytearray | memoryview) -> str:
    """The sha256 of some bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(chunks: Iterable[bytes | bytearray | memoryview]) -> str:
    """The sha256 of bytes that come in pieces, 64 hex digits."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()


def file_digest(file: BufferedReader) -> str:
    """The sha256 of what an open file holds from here on, 64 hex digits."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def short(digest_or_commit: str) -> str:
    """The first digits of a digest or a commit, by which people name it."""
    return digest_or_commit[:SHORT]


def is_digest(value: object) -> bool:
    """Whether a value is 64 hex digits, so that it may become part of a path."""
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None
