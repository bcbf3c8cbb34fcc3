"""A connection to a service that stays open, for tests that ask a lot: HTTP/1.1 and no more."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE = 120.0  # seconds for an answer


@dataclass(frozen=True)
class Answer:
    """An answer. headers: by their names in small letters"""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """A connection of a caller with a token. It is opened again where the service has closed it."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send a request, and read its answer. Raises TimeoutError, OSError."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = {
            "Host": f"{self._host}:{self._port}",
            "Authorization": f"Bearer {self._token}",
            "Content-Length": str(len(content)),
            "Content-Type": "application/json",
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        message = f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content
        async with asyncio.timeout(PATIENCE):
            return await self._answered(message)

    async def _answered(self, message: bytes) -> Answer:
        if self._streams is None or self._streams[0].at_eof():
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(message)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(status.split(" ")[1]), headers, body)
