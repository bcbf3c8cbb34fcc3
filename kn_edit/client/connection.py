"""HTTP to a service: JSON to and fro, problems as errors, a lost connection tried again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kn_edit import __version__
from kn_edit.client.rebuilding import error_of
from kn_edit.errors import BadSetting, ServiceUnreachable

API = "/api/v1"
TRIES = 2  # of a request whose connection is lost; a write has a key, so that it is done once
MOST_BYTES = 256 << 20  # of an answer


@dataclass(frozen=True)
class Reply:
    """What a service answered. headers: by their names in lower case"""

    status: int
    headers: Mapping[str, str]
    data: Any


class Connection:
    """One service. Threads may share it; they take turns."""

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        """Raises BadSetting for what is no address of a service."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting("the address of the service", url, "one such as http://127.0.0.1:8018")
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + API
        self._secure = parts.scheme == "https"
        self._headers = {"Accept": "application/json", "User-Agent": f"kn-edit/{__version__}"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._lock = threading.Lock()
        self._http: HTTPConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Ask the service. path: below /api/v1, quoted by `path_of`

        Raises ServiceUnreachable, and the error that a problem document tells.
        """
        chosen = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        target = self._path + path + (f"?{urlencode(chosen)}" if chosen else "")
        content = None if body is None else json.dumps(body).encode("ascii")
        sent = {**self._headers, **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        with self._lock:
            response, data = self._sent(method, target, content, sent)
        return self._reply(response, data)

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        if self._http is not None:
            self._http.close()
        self._http = None

    def _sent(
        self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                http = self._opened()
                http.request(method, target, content, dict(headers))
                response = http.getresponse()
                return response, response.read(MOST_BYTES)
            except (OSError, HTTPException) as error:
                self.close()
                failure = error
                if isinstance(error, TimeoutError | ConnectionRefusedError):
                    break
        reason = str(failure) or type(failure).__name__
        raise ServiceUnreachable(self.url, reason) from failure

    def _opened(self) -> HTTPConnection:
        if self._http is None:
            kind = HTTPSConnection if self._secure else HTTPConnection
            self._http = kind(self._host, self._port, timeout=self._timeout)
        return self._http

    def _reply(self, response: HTTPResponse, content: bytes) -> Reply:
        """The reply that a response holds. Raises the error that it tells."""
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            data = json.loads(content) if content else None
        except ValueError:
            data = None
        if response.status >= 400:
            raise error_of(data if isinstance(data, dict) else {"status": response.status})
        if data is None and response.status != 304:
            raise ServiceUnreachable(self.url, f"it answers {response.status} without JSON")
        return Reply(response.status, headers, data)


def path_of(*parts: str) -> str:
    """A path below /api/v1 of names that anybody chose; a slash in a name stays one."""
    return "".join(f"/{quote(part, safe='/')}" for part in parts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
