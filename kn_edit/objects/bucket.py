"""The objects below one address, and what the errors of the client mean.

An object appears whole or not at all: a server keeps nothing of a request that ends before its
time. The client signs the sha256 of what it sends, so bytes that change on the way are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore.store import S3Store

from kn_edit.errors import BucketMissing, KnEditError, ObjectAccessDenied, ObjectStoreFailed
from kn_edit.objects.access import ObjectAccess
from kn_edit.objects.address import ObjectAddress

if TYPE_CHECKING:
    from obstore.store import S3Config

CONNECT_SECONDS = 5
REQUEST_SECONDS = 300  # of one request, its body included: at most 256 MB
RETRIES = 4
RETRY_SECONDS = 60
PAGE = 1000  # objects of one answer to a list
PART = 32 << 20  # bytes of a large file that are sent by one request; a file has at most 10,000

_CODE = re.compile(r"(?:<Code>|\(code: )(\w+)")  # of an answer; of one object among several
_SYSTEM = re.compile(r'(?:message|error): "([^"\n]{1,200})"')  # of an operating system, innermost
_STATUS = re.compile(r"status code: (\d{3}[ \w]{0,40})")
_MISSING = (FileNotFoundError, exceptions.NotFoundError)
_DENIED = (PermissionError, exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_DENIED_STATUS = re.compile(r"status code: 40[13]\b|\(code: AccessDenied\)")
_TAKEN = (FileExistsError, exceptions.AlreadyExistsError)
_FAILED = (exceptions.BaseError, OSError)


@dataclass(frozen=True)
class ObjectEntry:
    """An object as a server lists it.

    name: below the address; modified: Unix time by the clock of the server, in seconds
    """

    name: str
    size: int
    modified: float


class Bucket:
    """The objects of a bucket whose names begin with one prefix.

    Every method raises ObjectAccessDenied, BucketMissing, ObjectStoreFailed.
    """

    def __init__(self, address: ObjectAddress, access: ObjectAccess) -> None:
        self.address = address
        self.server = access.endpoint or f"Amazon S3 ({access.region})"
        self._store = _store(address, access)

    def create(self, name: str, data: bytes) -> bool:
        """Store an object unless the name is taken; whether it was stored.

        Of servers that do not know `If-None-Match` it replaces what is there.
        """
        with self._explained():
            try:
                obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except _TAKEN:
                return False
        return True

    def replace(self, name: str, data: bytes) -> None:
        """Store an object, whatever the name held before."""
        with self._explained():
            obstore.put(self._store, name, data, use_multipart=False)

    def upload(self, name: str, file: Path) -> None:
        """Store the contents of a file, a large one in parts: all of them, or no object."""
        with self._explained():
            obstore.put(self._store, name, file, chunk_size=PART, max_concurrency=2)

    def entry(self, name: str) -> ObjectEntry | None:
        """Size and time of an object; None where there is none."""
        with self._explained():
            try:
                meta = obstore.head(self._store, name)
            except _MISSING as error:
                self._require_bucket(error)
                return None
        return ObjectEntry(name, meta["size"], meta["last_modified"].timestamp())

    def get(self, name: str, most: int) -> bytes | None:
        """The bytes of an object; None where there is none.

        Raises ValueError, before anything is read, for one of more than so many bytes.
        """
        with self._explained():
            try:
                answer = obstore.get(self._store, name)
            except _MISSING as error:
                self._require_bucket(error)
                return None
            size = answer.meta["size"]
            if size > most:
                raise ValueError(f"it has {size:,} bytes, of at most {most:,}")
            return bytes(answer.bytes())

    def entries(self) -> Iterator[ObjectEntry]:
        """Every object, in pages of a thousand as they are read."""
        pages = obstore.list(self._store, chunk_size=PAGE)
        while True:
            with self._explained():
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                yield ObjectEntry(meta["path"], meta["size"], meta["last_modified"].timestamp())

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self._explained():
            obstore.delete(self._store, name)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the client says into an error of kn-edit."""
        try:
            yield
        except _FAILED as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Exception) -> KnEditError:
        text, place = str(error), str(self.address)
        code = _CODE.search(text)
        if code and code[1] == "NoSuchBucket":
            return BucketMissing(place, self.server)
        if isinstance(error, _DENIED) or _DENIED_STATUS.search(text):
            return ObjectAccessDenied(place, code[1] if code else _reason(text))
        return ObjectStoreFailed(place, self.server, _reason(text))

    def _require_bucket(self, error: Exception) -> None:
        """Tell a missing bucket from a missing object, where the answer does."""
        meaning = self._meaning(error)
        if isinstance(meaning, BucketMissing):
            raise meaning from None


def _store(address: ObjectAddress, access: ObjectAccess) -> S3Store:
    config: S3Config = {
        "region": access.region,
        "virtual_hosted_style_request": access.endpoint is None,
    }
    if access.endpoint:
        config["endpoint"] = access.endpoint
    if access.key and access.secret:
        config |= {"access_key_id": access.key, "secret_access_key": access.secret}
    if access.token:
        config["session_token"] = access.token
    return S3Store(
        address.bucket,
        prefix=address.prefix or None,
        config=config,
        client_options={
            "allow_http": (access.endpoint or "").startswith("http:"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
        },
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        },
    )


def _reason(text: str) -> str:
    """The cause that stands in a long report of the client."""
    for pattern in (_CODE, _SYSTEM, _STATUS):
        if parts := pattern.findall(text):
            return str(parts[-1])
    return text.partition("\n")[0]
