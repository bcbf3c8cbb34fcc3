"""A small Hugging Face Hub on the loopback, and processes in which its real client runs.

    with Hub() as hub:
        ann = hub.token("ann")
        hub.fault("POST", "/commit/main", status=503, times=2)
        hub_client(hub, ["push", "ann/model"], token=ann)
        assert hub.read("ann/model", "README.md").startswith(b"---")

The client reads its settings when it is imported, so each of its worlds is a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import hub_reading  # noqa: F401 - this and the next fill the table of routes
import hub_writing  # noqa: F401
from hub_server import FOREVER, Exchange, Fault, Request, Token
from hub_store import Commit, Objects, Repo

__all__ = ["FOREVER", "Fault", "Hub", "Request", "hub_client", "hub_env"]

NO_FAULT = Fault()


class Hub:
    """Serves while its `with` block lasts; keeps everything in a folder that goes with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-"))
        self.objects = Objects(self.folder / "objects")
        self.repos: dict[str, Repo] = {}
        self.tokens: dict[str, Token] = {}
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.packing: str | None = None  # how a proxy in front of it packs answers, asked or not
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Bound", (Exchange,), {"hub": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        shutil.rmtree(self.folder)
        if kind is None and self._server.broken:
            raise self._server.broken[0]

    # -- set the stage

    def token(self, user: str, scope: str = "write", orgs: Sequence[str] = ()) -> str:
        """A token of a user; scope is "read" or "write"."""
        token = Token(user, scope, tuple(orgs))
        name = f"hf_{user}_{scope}"
        self.tokens[name] = token
        return name

    def create(self, name: str, *, private: bool = False, gated: bool = False) -> Repo:
        """A new model, with the first commit that the Hub makes by itself."""
        self.repos[name] = Repo(name, self.objects, private=private, gated=gated)
        return self.repos[name]

    def commit(
        self, name: str, files: Mapping[str, bytes | None], *, branch: str = "main", by: str = "bob"
    ) -> Commit:
        """A commit by somebody else; None deletes a file."""
        with self.lock:
            repo = self.repos[name]
            changes = [
                (path, None if content is None else repo.stored(path, content, branch))
                for path, content in files.items()
            ]
            return repo.commit(branch, changes, author=by, title=f"{by} was here")

    def fault(self, method: str, path: str, *, times: int = 1, after: int = 0, **how: Any) -> None:
        """Make coming requests go wrong; the fields of Fault say how, the first that meets counts.

        path: a regular expression, searched in the quoted path with its query
        """
        with self.lock:
            self.faults.append(Fault(method, path, times, after, **how))

    def clear(self) -> None:
        """Forget models, tokens, faults and the log."""
        with self.lock:
            for kept in (self.repos, self.tokens, self.faults, self.log):
                kept.clear()

    # -- look what happened

    def head(self, name: str, revision: str = "main") -> str:
        return self.repos[name].find(revision).id

    def read(self, name: str, path: str, revision: str = "main") -> bytes:
        file = self.repos[name].find(revision).files[path]
        return self.objects.path(file.sha256).read_bytes()

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """Those of the log with this method (or any) whose path matches."""
        with self.lock:
            return [
                each
                for each in self.log
                if method in ("", each.method) and re.search(path, each.path)
            ]

    def received(self, method: str = "", path: str = "") -> int:
        """Bytes in the bodies of such requests."""
        return sum(each.received for each in self.requests(method, path))

    def hear(self, request: Request) -> Fault:
        """Log a request; the fault that it meets."""
        with self.lock:
            self.log.append(request)
            met = (each for each in self.faults if each.meets(request.method, request.path))
            return next(met, NO_FAULT)


class _Server(ThreadingHTTPServer):
    """Closes with all its connections, and keeps what went wrong in its threads."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.open: set[socket.socket] = set()
        self.broken: list[BaseException] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):  # the peer may have gone
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.broken.append(error)


def hub_env(url: str, home: Path, token: str | None = None, **settings: str) -> dict[str, str]:
    """Environment of a process whose Hub is at this URL; `home` holds its cache."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    return env | ({"HF_TOKEN": token} if token else {}) | settings


def hub_client(
    hub: Hub,
    program: str | Sequence[str],
    *,
    token: str | None = None,
    home: Path | None = None,
    timeout: float = 120,
    **settings: str,
) -> subprocess.CompletedProcess[str]:
    """Run Python code, or kn-edit with these arguments, as a client of the Hub.

    home: where the client's cache is; by default every token has one of its own
    settings: more of the environment
    """
    arguments = ["-c", program] if isinstance(program, str) else ["-m", "kn_edit.cli", *program]
    return subprocess.run(
        [sys.executable, *arguments],
        env=hub_env(hub.url, home or hub.folder / "homes" / (token or "nobody"), token, **settings),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
