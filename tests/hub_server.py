"""How the Hub is spoken to: requests that may go wrong, tokens, and who may do what."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_store import Refused, Repo

if TYPE_CHECKING:
    from hub import Hub

REPO = r"([\w.-]+/[\w.-]+)"
REVISION = "([^/]+)"  # comes quoted: refs%2Fpr%2F1
MODEL = f"/api/models/{REPO}"
READ, FILES, WRITE = "read", "files", "write"  # FILES: what a gated repo keeps from strangers
CHUNK = 1 << 16
FOREVER = math.inf

Json = dict[str, Any]


@dataclass(frozen=True)
class Token:
    user: str
    scope: str
    orgs: tuple[str, ...] = ()

    def owns(self, repo: str) -> bool:
        return repo.partition("/")[0] in (self.user, *self.orgs)


@dataclass
class Request:
    """What the log says of a request; status is None where no answer was begun."""

    method: str
    path: str  # as it came: quoted, with its query
    user: str | None
    received: int = 0  # bytes of the body
    status: int | None = None


@dataclass
class Fault:
    """How requests go wrong, in the order of the fields.

    It passes over the first `after` requests that match and meets the next `times`.
    """

    method: str = ""
    path: str = ""  # a regular expression, searched in the path as it came
    times: int = 0
    after: int = 0
    wait: float = 0  # seconds; FOREVER is until the Hub closes
    cut_upload: int | None = None  # hang up when so many bytes of the body have come
    drop: bool = False  # hang up when all has come
    flood: Callable[[Any], None] | None = None  # what it writes is the answer
    meanwhile: Callable[[], object] = lambda: None  # what happens just before, by somebody else
    status: int | None = None  # answer this, and do nothing of what is asked
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lose_answer: bool = False  # do what is asked, and hang up without a word
    cut_answer: int | None = None  # hang up after so many bytes of the answer's body

    def meets(self, method: str, path: str) -> bool:
        """Whether this request goes wrong; counts it."""
        if self.times == 0 or method != self.method or not re.search(self.path, path):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Reply:
    body: object = b""  # bytes, or what becomes JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    method: str
    path: re.Pattern[str]
    access: str | None
    answer: Callable[..., object]


ROUTES: list[Route] = []


def route(method: str, path: str, access: str | None = None) -> Callable[..., Any]:
    """What answers requests of this form. With an access, their first group is a repo.

    The answer is a Reply, or the body of one.
    """

    def register(answer: Callable[..., object]) -> Callable[..., object]:
        ROUTES.append(Route(method, re.compile(path), access, answer))
        return answer

    return register


def packed(packing: str, body: bytes) -> bytes:
    """A body as a proxy packs it. packing: gzip, deflate, or `deflate` without its head"""
    window = {"gzip": 31, "deflate": 15, "Deflate": -15}[packing]
    packer = zlib.compressobj(1, zlib.DEFLATED, window)
    return packer.compress(body) + packer.flush()


class Gone(Exception):
    """Hang up."""


class Exchange(BaseHTTPRequestHandler):
    """Requests of one connection, and their answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer come 40 ms apart
    hub: Hub  # set in a subclass, per Hub
    token: Token | None
    body: bytes
    upload: tuple[str, int]  # of a PUT: sha256 and size

    def do_GET(self) -> None:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.token = self.hub.tokens.get(bearer)
        self.query = parse_qs(urlsplit(self.path).query)
        user = self.token.user if self.token else None
        self.record = Request(self.command, self.path, user)
        fault = self.hub.hear(self.record)
        try:
            self._suffer(fault)
            if fault.flood is not None:
                fault.flood(self.wfile)
                raise Gone
            reply = Reply(fault.body, fault.status or 0, fault.headers)
            if fault.status is None:
                with self.hub.lock:
                    reply = self._answer(known=not bearer or self.token is not None)
            if fault.lose_answer:
                raise Gone
            self._send(reply, fault.cut_answer)
        except (Gone, ConnectionError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _suffer(self, fault: Fault) -> None:
        """Take in the request, and what goes wrong before it is acted upon."""
        if fault.wait:
            self.hub.closing.wait(None if fault.wait == FOREVER else fault.wait)
        chunks = self._chunks(fault.cut_upload)
        if self.command == "PUT":
            self.upload = self.hub.objects.add(chunks)
        else:
            self.body = b"".join(chunks)
        if fault.drop or fault.cut_upload is not None or fault.wait == FOREVER:
            raise Gone
        fault.meanwhile()

    def _answer(self, *, known: bool) -> Reply:
        method = "GET" if self.command == "HEAD" else self.command
        path = self.path.partition("?")[0]
        try:
            if not known:
                raise Refused(401, "Invalid credentials in Authorization header")
            for each in ROUTES:
                found = each.path.fullmatch(path) if each.method == method else None
                if found:
                    groups: list[Any] = [unquote(group or "") for group in found.groups()]
                    if each.access:
                        groups[0] = self._granted(groups[0], each.access)
                    reply = each.answer(self, *groups)
                    return reply if isinstance(reply, Reply) else Reply(reply)
            raise Refused(404, "Sorry, we can't find the page you are looking for.")
        except Refused as error:
            return Reply({"error": str(error)}, error.status, error.headers)

    def _granted(self, name: str, access: str) -> Repo:
        repo = self.hub.repos.get(name)
        owner = self.token is not None and self.token.owns(name)
        if repo is None or (repo.private and not owner):
            if self.token is None:
                raise Refused(401, "Invalid username or password.", "RepoNotFound")
            raise Refused(404, "Repository not found", "RepoNotFound")
        if access == FILES and repo.gated and not owner:
            words = f"Access to model {name} is restricted."
            raise Refused(403 if self.token else 401, words, "GatedRepo")
        if access == WRITE:
            self.writer(name, pull="create_pr" in self.query)
        return repo

    def writer(self, repo: str, *, pull: bool = False) -> str:
        """The user, if they may write to the repo or, with `pull`, open a pull request on it."""
        if self.token is None:
            raise Refused(401, "Invalid username or password.", "RepoNotFound")
        if self.token.scope != "write":
            raise Refused(403, "Forbidden: you must use a write token to upload to a repository.")
        if not pull and not self.token.owns(repo):
            words = "pass `create_pr=1` as a query parameter to create a Pull Request"
            raise Refused(403, f"Forbidden: {words}")
        return self.token.user

    def _chunks(self, most: int | None) -> Iterator[bytes]:
        """The body as it comes; with `most`, hang up once so much of it has come."""
        left = int(self.headers.get("Content-Length", 0))
        while left:
            room = CHUNK if most is None else min(CHUNK, most - self.record.received)
            chunk = self.rfile.read(min(room, left))
            if not chunk:
                raise Gone
            self.record.received += len(chunk)
            left -= len(chunk)
            yield chunk

    def _send(self, reply: Reply, most: int | None) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        headers = {"Content-Length": str(len(body)), **reply.headers}
        if self.hub.packing is not None and reply.status < 400:
            body = packed(self.hub.packing, body)
            headers |= {"Content-Encoding": self.hub.packing, "Content-Length": str(len(body))}
        self.record.status = reply.status
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:most])
        if most is not None:
            raise Gone

    def log_message(self, *args: object) -> None:
        return
