"""The HTTP client of huggingface_hub, kept within bounds while kn-edit uses it.

The Hub may be anybody's (HF_ENDPOINT), and what it answers can be anything: redirects to other
hosts, pages without end, gigabytes of JSON, paths for ids. The hooks here see every request and
every answer, redirected ones too. The user's token goes to the Hub itself and to nobody else.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kn_edit import credentials
from kn_edit.models.unpacking import PACKINGS, PackingProblem, Unpacker
from kn_edit.safetext import escaped, shortened, without_secrets

SECONDS = 30.0  # without a byte, and the Hub counts as silent
VARIABLE = "KN_EDIT_HUB_TIMEOUT"

MOST_ANSWER = 16 << 20  # bytes of one answer that is no file
MOST_ERROR = 64 << 10  # bytes of an error that are read; the rest is not
MOST_VALUES = 500_000  # of the JSON of one answer
MOST_PAGES = 1000  # of one list
MOST_LISTED = 64 << 20  # bytes of all of them
MOST_REDIRECTS = 10
MOST_PAUSE = 60  # seconds that the Hub may ask for before the next try
DRIP_SECONDS = 4  # times SECONDS that one answer may take
SLOW_RATE = 1000  # bytes a second, at which a file must come after that time

_HOPS = "kn_edit.hops"
_SENT_HOME = "kn_edit.sent_home"  # the first address of a chain of redirects was the Hub's
_FILE = "kn_edit.file"  # whether that address was a file's
_COUNTED = "kn_edit.counted"  # bytes of an answer that were taken from what may be downloaded
_STARTED = "kn_edit.started"
_PACKING = "kn_edit.packing"  # how the bytes of an answer are packed
MOST = "kn_edit.most"  # extension of a request: the bytes that its answer may have

_SECRET_HEADERS = ("Authorization", "Cookie", "Proxy-Authorization")
_ID = re.compile(r"[0-9a-f]{0,128}")  # empty for folders
_ID_KEYS = {"sha", "oid", "blobId", "sha256", "targetCommit", "commitOid", "xetHash"}
_PATH_KEYS = {"path", "rfilename"}
_ETAG = re.compile(r'(?:W/)?"?[0-9A-Za-z_:.+=-]*"?')  # becomes a file name in the client's cache
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class UnrulyHub(Exception):
    """A Hub that does what no Hub should: the end of a sentence that begins with `the Hub`."""


@dataclass
class Guard:
    """Hooks for one client. downloads: the bytes that all files of a session may have together."""

    endpoint: str
    secrets: tuple[str, ...]
    seconds: float
    downloads: int = 0
    pages: dict[str, tuple[int, int]] = field(default_factory=dict)  # next address: pages, bytes
    too_slow: bool = False  # an answer did not even begin in time

    @contextmanager
    def watch(self, request: Any) -> Iterator[None]:
        """Break off what does not answer in time, though a byte comes now and then."""
        size = int(request.headers.get("Content-Length") or 0)  # what is sent takes its time
        most = 2 * DRIP_SECONDS * self.seconds + size / SLOW_RATE
        timer = threading.Timer(most, self._break_off)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _break_off(self) -> None:
        from huggingface_hub import close_session

        self.too_slow = True
        close_session()

    # --- requests --------------------------------------------------------------------------------

    def send(self, request: Any) -> None:
        """Look at a request before it is sent, the first one or one that follows a redirect."""
        hops = request.extensions.get(_HOPS, -1) + 1
        foreign = not self._is_home(request.url)
        first_home = request.extensions.get(_SENT_HOME, not foreign)
        file = request.extensions.get(_FILE, self._is_file(request, foreign))
        self._limit(request, **{_HOPS: hops, _SENT_HOME: first_home, _FILE: file})
        request.headers["Accept-Encoding"] = "identity"  # lengths are true, ranges plain
        if self.too_slow:
            raise UnrulyHub("answers too slowly")
        if hops > MOST_REDIRECTS:
            raise UnrulyHub("sends us from one address to the next, without end")
        if not foreign:
            return
        if self.endpoint.startswith("https:") and request.url.scheme != "https":
            raise UnrulyHub("sends us to an address without encryption")
        if hops and first_home and request.method not in ("GET", "HEAD"):
            raise UnrulyHub("sends what is meant for it to another host")
        for name in _SECRET_HEADERS:
            request.headers.pop(name, None)
        parts = (str(request.url), *request.headers.values())
        if any(secret in unquote(part) for secret in self.secrets for part in parts):
            raise UnrulyHub("sends us to another host with the token in the address")

    def _limit(self, request: Any, **extensions: object) -> None:
        timeouts = request.extensions.get("timeout", {})
        limits = ("connect", "read", "write", "pool")
        shortest = {name: min(timeouts.get(name) or self.seconds, self.seconds) for name in limits}
        started = {_STARTED: time.monotonic()}
        request.extensions = {**request.extensions, **extensions, **started, "timeout": shortest}

    def _is_file(self, request: Any, foreign: bool) -> bool:
        """Whether it asks for a file: of the Hub, or of where the Hub keeps files."""
        interface = "/api/" in request.url.path and not foreign
        listed = str(request.url) in self.pages
        return request.method == "GET" and not interface and not listed

    def _is_home(self, url: Any) -> bool:
        """Whether an address is the Hub's own, or the same with encryption."""
        home = type(url)(self.endpoint)
        same_origin = (url.scheme, url.host, url.port) == (home.scheme, home.host, home.port)
        encrypted = (home.scheme, url.scheme) == ("http", "https") and home.host == url.host
        return same_origin or (encrypted and home.port is None and url.port is None)

    # --- answers ---------------------------------------------------------------------------------

    def receive(self, response: Any) -> None:
        """Look at an answer before anybody reads it."""
        _check_headers(response.headers, response.request.method)
        _unpack(response)
        if response.status_code >= 300:
            response.stream = _Bounded.wrap(response, self._first_bytes)
        elif response.request.extensions.get(MOST) is not None:
            response.stream = _Bounded.wrap(response, self._file)
        elif self.downloads and response.request.extensions.get(_FILE):
            response.stream = _Bounded.wrap(response, self._download)
        else:
            response.stream = _Bounded.wrap(response, self._answer)
            response.read()
            self._check(response)

    def _first_bytes(self, response: Any, got: int) -> bool:
        self._hurry(response, got)
        return got < MOST_ERROR

    def _answer(self, response: Any, got: int) -> bool:
        if got > MOST_ANSWER:
            raise UnrulyHub(f"answers with more than {MOST_ANSWER >> 20} MB")
        self._hurry(response, got)
        return True

    def _hurry(self, response: Any, _got: int) -> None:
        if _age(response) > DRIP_SECONDS * self.seconds:
            raise UnrulyHub("answers too slowly")

    def _file(self, response: Any, got: int) -> bool:
        if got > response.request.extensions[MOST]:
            raise UnrulyHub("sends more of a file than it may have")
        self._check_pace(response, got)
        return True

    def _download(self, response: Any, got: int) -> bool:
        self.downloads -= got - response.extensions.get(_COUNTED, 0)
        response.extensions[_COUNTED] = got
        if self.downloads <= 0:
            self.downloads = -1
            raise UnrulyHub("sends more than it said that the model has")
        self._check_pace(response, got)
        return True

    def _check_pace(self, response: Any, got: int) -> None:
        late = _age(response) - DRIP_SECONDS * self.seconds
        if got < late * SLOW_RATE:
            raise UnrulyHub("sends a file too slowly")

    def _check(self, response: Any) -> None:
        """Refuse pages without end, JSON out of all proportion, and paths in the place of ids."""
        content: bytes = response.content
        pages, size = self.pages.pop(str(response.request.url), (0, 0))
        pages, size = pages + 1, size + len(content)
        if pages > MOST_PAGES or size > MOST_LISTED:
            raise UnrulyHub("lists more than anybody can read")
        following = response.links.get("next", {}).get("url")
        if following is not None:
            self.pages[str(type(response.request.url)(following))] = (pages, size)
        if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
            raise UnrulyHub("answers with more values than anybody can read")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return  # the client says so itself
        _check_names(value)


def _unpack(response: Any) -> None:
    """Have packed bytes unpacked as they come, in front of all that counts bytes.

    They are asked for as they are, and proxies in between pack them all the same.
    """
    headers = response.headers
    packing = headers.get("Content-Encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        return
    if packing not in PACKINGS or response.status_code == 206:
        raise UnrulyHub("packs its answers in a way that nobody asked for")
    for name in ("Content-Encoding", "Content-Length"):  # that of the packed bytes
        if name in headers:
            del headers[name]
    response.extensions[_PACKING] = packing


def _check_headers(headers: Any, method: str) -> None:
    """What becomes a file name is one; nobody waits for hours because the Hub asks for it."""
    for name in ("ETag", "X-Linked-Etag") if method == "HEAD" else ("X-Linked-Etag",):
        if not _ETAG.fullmatch(headers.get(name, "")) or ".." in headers.get(name, ""):
            raise UnrulyHub("calls a file by no sensible name")
    commit = headers.get("X-Repo-Commit")
    if commit is not None and not _COMMIT.fullmatch(commit):
        raise UnrulyHub("calls a commit by no sensible name")
    seconds = headers.get("Retry-After", "").strip()
    if seconds and not (seconds.isascii() and seconds.isdigit() and len(seconds) < 6):
        del headers["Retry-After"]
    elif seconds and int(seconds) > MOST_PAUSE:
        headers["Retry-After"] = str(MOST_PAUSE)
    reset = re.search(r"t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    if reset and (len(reset[1]) > 5 or int(reset[1]) > MOST_PAUSE):
        del headers["RateLimit"]


def _check_names(value: object) -> None:
    """Ids are hex digits, paths stay in their folder: the client makes file names of both."""
    level = [value]
    while level:
        inner: list[object] = []
        for container in level:
            if isinstance(container, list):
                inner += container
            elif isinstance(container, dict):
                inner += container.values()
                _check_members(container)
        level = [member for member in inner if isinstance(member, (list, dict))]


def _check_members(members: dict[str, Any]) -> None:
    for key in _ID_KEYS & members.keys():
        if isinstance(members[key], str) and not _ID.fullmatch(members[key]):
            raise UnrulyHub("calls a file or a commit by no sensible name")
    for key in _PATH_KEYS & members.keys():
        path = str(members[key])
        if path.startswith("/") or ".." in path.split("/") or "\0" in path or len(path) > 2000:
            raise UnrulyHub("lists a file by a path that leads elsewhere")


def _age(response: Any) -> float:
    return float(time.monotonic() - response.request.extensions[_STARTED])


class _Bounded:
    """A stream of bytes that is looked at while it comes."""

    @staticmethod
    def wrap(response: Any, look: Callable[[Any, int], bool]) -> Any:
        """The response's stream; `look` gets the bytes so far, and says whether to go on."""
        library = importlib.import_module(type(response).__module__.partition(".")[0])
        inner = response.stream

        class Stream(library.SyncByteStream):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[bytes]:
                got = 0
                for chunk in _plain(response, inner):
                    got += len(chunk)
                    if not look(response, got):
                        return
                    yield chunk

            def close(self) -> None:
                inner.close()

        return Stream()


def _plain(response: Any, stream: Any) -> Iterator[bytes]:
    """The bytes of an answer, unpacked where it comes packed."""
    packing = response.extensions.get(_PACKING)
    if packing is None:
        yield from stream
        return
    unpacker = Unpacker(packing)
    try:
        for chunk in stream:
            yield from unpacker.pieces(chunk)
        unpacker.check_end()
    except PackingProblem:
        raise UnrulyHub("sends packed bytes that cannot be unpacked") from None


def time_limit() -> float:
    """Seconds of silence that end a request: KN_EDIT_HUB_TIMEOUT, or 30."""
    try:
        chosen = float(os.environ.get(VARIABLE, SECONDS))
    except ValueError:
        return SECONDS
    return chosen if 0 < chosen < float("inf") else SECONDS


def sent_token() -> tuple[str, ...]:
    """The token that the client sends, which must come back in no file and go to no other host."""
    from huggingface_hub import get_token

    token = get_token()
    return (token,) if token else ()


def tokens_in_use() -> tuple[str, ...]:
    """Every secret of this user, the client's token first, to be struck from what is shown."""
    return (*sent_token(), *credentials.tokens_in_use())


def struck(error: Exception) -> Exception:
    """A library's exception with its words but without secrets, to be shown as a cause."""
    words = without_secrets(str(error)[:20_000], *tokens_in_use())
    message = shortened(escaped(words, keep="\n"), 2000)
    return RuntimeError(f"{type(error).__name__}: {message}").with_traceback(error.__traceback__)


@contextmanager
def guarded_client(downloads: int = 0) -> Iterator[None]:
    """Inside the block every request of huggingface_hub is bounded, and the token stays at home.

    Nor is Xet used: its transfers are a library of their own, which knows no limit of ours.
    downloads: bytes that the client may fetch as files of a model
    """
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http

    theirs: Callable[[], Any] = _http._GLOBAL_CLIENT_FACTORY
    xet = constants.HF_HUB_DISABLE_XET
    guard = Guard(
        endpoint=constants.ENDPOINT, secrets=sent_token(), seconds=time_limit(), downloads=downloads
    )
    set_client_factory(lambda: _with_hooks(theirs(), guard))
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = xet
        set_client_factory(theirs)


def _with_hooks(client: Any, guard: Guard) -> Any:
    hooks, send = client.event_hooks, client.send
    client.event_hooks = {
        **hooks,
        "request": [*hooks["request"], guard.send],
        "response": [*hooks["response"], guard.receive],
    }

    def watched(request: Any, **options: Any) -> Any:
        with guard.watch(request):
            return send(request, **options)

    client.send = watched
    return client
