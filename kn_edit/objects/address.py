"""Addresses of object storage: `s3://bucket/prefix`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from kn_edit.errors import BadObjectAddress

SCHEME = "s3://"
MOST_BYTES = 512  # of a prefix; a key may have 1,024, and names follow the prefix
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()=+@,-]+")  # what every server and tool takes unquoted


def is_object_address(text: str) -> bool:
    """Whether a text names object storage, and no file or folder."""
    return text.startswith(SCHEME)


@dataclass(frozen=True)
class ObjectAddress:
    """A place in a bucket.

    prefix: begins the names of the objects there, without slashes at its ends; empty for all
    """

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address that a URL names. Raises BadObjectAddress."""
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        prefix = prefix.rstrip("/")
        if not is_object_address(url):
            raise BadObjectAddress(url, f"it does not begin with {SCHEME}")
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            reason = "a bucket has 3 to 63 of a to z, 0 to 9, '-' and single dots"
            raise BadObjectAddress(url, reason)
        for segment in prefix.split("/") if prefix else ():
            if not _SEGMENT.fullmatch(segment) or segment in {".", ".."}:
                reason = f"{segment!r} in it is no name; use letters, digits, '-', '_' and dots"
                raise BadObjectAddress(url, reason)
        if len(prefix) > MOST_BYTES:
            raise BadObjectAddress(url, f"its prefix is longer than {MOST_BYTES} characters")
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}" if self.prefix else SCHEME + self.bucket

    def below(self, name: str) -> ObjectAddress:
        """The address of what begins with a further name."""
        return ObjectAddress(self.bucket, f"{self.prefix}/{name}" if self.prefix else name)
