"""A server of object storage on this machine: it checks signatures, rights and `If-None-Match`.

It is moto's server, in a process of its own. Two users are made in it: one who may do everything
with objects, and one who may only read and list.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

BUCKET = "edits"
REGION = "us-east-1"
WAIT = 60.0  # seconds in which it has to answer
RIGHTS = {"writer": ["s3:*"], "reader": ["s3:GetObject", "s3:ListBucket"]}
NUMBERS = count()
ACTIONS = 3 * len(RIGHTS) + 1  # that are taken from everybody, before signatures are checked


@dataclass(frozen=True)
class Keys:
    """Of a user of the server."""

    key: str
    secret: str


@dataclass(frozen=True)
class ObjectServer:
    """A server that runs, with a bucket in it."""

    url: str
    writer: Keys
    reader: Keys
    process: int

    def environment(self, keys: Keys | None = None) -> dict[str, str]:
        """The variables by which a program finds the server. keys: of the writer by default"""
        keys = keys or self.writer
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": keys.key,
            "AWS_SECRET_ACCESS_KEY": keys.secret,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }


@contextmanager
def running_server(folder: Path) -> Iterator[ObjectServer]:
    """A server on a free port of the loopback, until the block ends. folder: for what it logs"""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "INITIAL_NO_AUTH_ACTION_COUNT": str(ACTIONS),
        "AWS_DEFAULT_REGION": REGION,
    }
    with (folder / "object-server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_for(port, process)
        users = {name: _user(url, name, rights) for name, rights in RIGHTS.items()}
        _ask(url, "s3", method="PUT", path=f"/{BUCKET}")
        yield ObjectServer(url, users["writer"], users["reader"], process.pid)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the server does not answer")


def _user(url: str, name: str, rights: list[str]) -> Keys:
    statement = {"Effect": "Allow", "Action": rights, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    _ask(url, "iam", Action="CreateUser", UserName=name)
    _ask(
        url,
        "iam",
        Action="PutUserPolicy",
        UserName=name,
        PolicyName="rights",
        PolicyDocument=policy,
    )
    answer = _ask(url, "iam", Action="CreateAccessKey", UserName=name)
    found = [
        re.search(rf"<{tag}>(.+?)</{tag}>", answer) for tag in ("AccessKeyId", "SecretAccessKey")
    ]
    key, secret = (match[1] for match in found if match)
    return Keys(key, secret)


def _ask(url: str, service: str, *, method: str = "POST", path: str = "/", **form: str) -> str:
    """Ask for an action. The server takes the name of the service from the signature."""
    scope = f"nobody/20260101/{REGION}/{service}/aws4_request"
    signature = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(
        url + path, data=data, method=method, headers={"Authorization": signature}
    )
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        text: str = answer.read().decode()
        return text


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """One server for all tests of a process."""
    with running_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def bucket(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing lies yet, `s3://edits/N`; the environment names the server."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in object_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{next(NUMBERS)}"
