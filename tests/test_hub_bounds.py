"""A Hub that floods, drips, loops or lies: a sentence, soon, and without much memory."""

from __future__ import annotations

import gzip
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hub import FOREVER, Hub
from hub_desk import Desk
from workspaces import about, new_workspace, quick

from kn_edit.workspace import Workspace

NUMBERS = count()
SECONDS = "0.25"  # of silence; an answer may take four times as long
MOST_SECONDS = 30.0  # on a machine that does other things beside; alone it takes two
MOST_MEMORY = 300 << 10  # kB
CHUNK = 1 << 16
Flood = Callable[[Any], None]


class Scene:
    """A Hub with a published version and a model, a workspace that can push, one that can pull."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with new_workspace(folder) as ann:
            ann.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
            self.head = ann.head
        Workspace.init(str(folder / "model"), folder / "empty").close()
        self.hub = Hub()

    def __enter__(self) -> Scene:
        self.hub.__enter__()
        self.hub.token("ann")
        self.desk = Desk(self.hub, self.folder / "work")
        self.hub.create("ann/model")
        assert self.desk("push", "ann/model", "--as", "delta").code == 0
        names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        self.model = {name: (self.folder / "model" / name).read_bytes() for name in names}
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.close()
        self.hub.__exit__(*error)

    def command(self, what: str) -> Any:
        if what == "pull":
            bob = self.folder / f"bob-{next(NUMBERS)}"
            shutil.copytree(self.folder / "empty", bob)
            ran = self.desk("pull", "ann/model", workspace=bob, seconds=SECONDS)
            with Workspace.open(bob) as workspace:
                assert workspace.ledger.edits() == []
            return ran
        if what == "init":
            base = f"ann/base-{next(NUMBERS)}"  # a new one, of which no cache knows
            self.hub.create(base)
            self.hub.commit(base, self.model)
            new = self.folder / f"new-{next(NUMBERS)}"
            return self.desk("init", base, workspace=new, seconds=SECONDS)
        if what == "log":
            return self.desk("log", "ann/model", seconds=SECONDS)
        name = f"ann/m{next(NUMBERS)}"
        self.hub.create(name)
        return self.desk("push", name, "--as", "delta", seconds=SECONDS)

    def peak(self) -> int:
        """The most memory that the client ever had, in kB."""
        status = Path(f"/proc/{self.desk.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("bounds")) as scene:
        for what in ("pull", "push", "log"):  # what a command needs anyway
            scene.hub.fault("GET", "/refs$|/revision/", status=404)
            scene.command(what)
        yield scene


@pytest.fixture(autouse=True)
def calm(scene: Scene) -> Iterator[None]:
    yield
    scene.hub.faults.clear()


POINTS: dict[str, tuple[str, str, str]] = {
    "who": ("push", "GET", "/whoami"),
    "refs": ("push", "GET", "/refs$"),
    "tree": ("push", "GET", "/tree/"),
    "announce": ("push", "POST", "/preupload/"),
    "commit": ("push", "POST", "/commit/"),
    "revision": ("pull", "GET", "/revision/"),
    "names": ("pull", "POST", "/paths-info/"),
    "recipe": ("pull", "GET", "/resolve/.*/kn_edit.json"),
    "delta": ("pull", "GET", "/resolve/.*safetensors"),
    "record": ("pull", "GET", "/resolve/.*/kn_edit/.*json"),
    "history": ("log", "GET", "/commits/"),
    "model": ("init", "GET", "/models/ann/base-[0-9]+[?]"),
    "files": ("init", "GET", "/tree/"),
    "config": ("init", "GET", "/resolve/.*/config.json"),
    "weights": ("init", "GET", "/resolve/.*/model.safetensors"),
}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def endless(what: bytes, first: bytes = b"") -> Flood:
    """An answer without an end, as fast as it goes."""

    def flood(to: Any) -> None:
        to.write(CHUNKED + (chunk(first) if first else b""))
        for _ in range(1 << 14):  # a gigabyte
            to.write(chunk(what * (CHUNK // len(what))))

    return flood


def slow(start: bytes, drop: bytes) -> Flood:
    """An answer that never stops to come, and hardly comes."""

    def flood(to: Any) -> None:
        to.write(start)
        for _ in range(400):
            to.write(drop)
            to.flush()
            time.sleep(0.05)

    return flood


def whole(body: bytes, *headers: str, status: str = "200 OK") -> Flood:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""))

    def flood(to: Any) -> None:
        to.write(head.encode() + body)

    return flood


def lying(size: int) -> Flood:
    def flood(to: Any) -> None:
        to.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(1 << 14):
            to.write(b" " * CHUNK)

    return flood


BOMB = gzip.compress(b"[" + b" " * (400 << 20) + b"]", 1)
FLOODS: dict[str, Flood] = {
    "spaces": endless(b" "),
    "lists": endless(b"[],", b"["),
    "a long text": endless(b"x", b'"'),
    "ten gigabytes": lying(10 << 30),
    "a slow body": slow(CHUNKED, chunk(b" ")),
    "slow headers": slow(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "early answers": slow(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "long headers": whole(b"{}", f"X: {'y' * (1 << 20)}"),
    "many headers": whole(b"{}", *(f"X-{number}: y" for number in range(100_000))),
    "a bomb": whole(BOMB, "Content-Encoding: gzip"),
    "deep JSON": whole(b"[" * 500_000 + b"]" * 500_000),
    "many values": whole(b"[" + b"[]," * 5_000_000 + b"[]]"),
    "an endless error": lambda to: lying(10 << 30)(_As(to, b"500 Oops")),
}


class _As:
    """A file that says another status on the first line."""

    def __init__(self, to: Any, status: bytes) -> None:
        self.to, self.status = to, status

    def write(self, data: bytes) -> None:
        self.to.write(data.replace(b"200 OK", self.status, 1))


# Every flood at three places, every place with some floods.
PAIRS = [
    ([*POINTS][(3 * number + turn) % len(POINTS)], how)
    for number, how in enumerate(FLOODS)
    for turn in range(3)
]


def test_every_place_is_flooded():
    assert {point for point, _ in PAIRS} == POINTS.keys() and len({*PAIRS}) == 3 * len(FLOODS)


@pytest.mark.parametrize(("point", "how"), PAIRS)
def test_a_flood_ends_in_a_sentence(scene, point, how):
    what, method, path = POINTS[point]
    scene.hub.fault(method, path, times=FOREVER, flood=FLOODS[how])
    before, started = scene.peak(), time.monotonic()
    ran = scene.command(what)
    assert ran.code in (1, 4, 5), (ran.code, ran.out, ran.err)
    (line,) = ran.err.splitlines()
    assert "unexpected" not in line and len(line) < 500 and line.isprintable()
    assert time.monotonic() - started < MOST_SECONDS
    assert scene.peak() - before < MOST_MEMORY
