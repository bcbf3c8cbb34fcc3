"""A Hub that floods, drips, loops or lies: a sentence, soon, and without much memory."""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hub import FOREVER, Hub
from hub_desk import Desk
from samples import sampled
from workspaces import about, new_workspace, quick

from kn_edit.checkpoints.recipe import Recipe
from kn_edit.edits.delta import BaseRef
from kn_edit.errors import InvalidRecipe
from kn_edit.hub import pull
from kn_edit.hub.parts import Stored
from kn_edit.ledger import BaseRecord
from kn_edit.models import hub_http
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


GZIP = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # how a packed stream begins
NOTHING = b"\0\0\0\xff\xff"  # a block of no bytes


def packed(packing: str, start: bytes, *, block: bytes = b"", times: int = 1 << 14) -> Flood:
    """An answer whose bytes unfold: by default to 16 GB of spaces, from 16 MB."""

    def flood(to: Any) -> None:
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        spaces = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
        to.write(head % packing.encode() + chunk(start))
        for _ in range(times):
            to.write(chunk(block or spaces))

    return flood


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
    "a bomb": packed("gzip", GZIP),
    "a bomb without a head": packed("deflate", NOTHING),
    "packed nothings": packed("gzip", GZIP, block=NOTHING * (CHUNK // len(NOTHING))),
    "packed garbage": packed("gzip", GZIP, block=b"\xff" * 1000, times=1),
    "packed and cut off": packed("gzip", GZIP, times=0),
    "another packing": packed("br", b"x"),
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


@pytest.mark.parametrize(("point", "how"), sampled(PAIRS, 24))
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


def paths_info(scene: Scene, delta: int, record: int) -> list[dict[str, Any]]:
    """What a Hub says of the files of an edit, with sizes of its choice."""
    (edit,) = scene.head.edits
    sizes = {f"kn_edit/{edit}.safetensors": delta, f"kn_edit/{edit}.json": record}
    sizes["kn_edit.json"] = len(scene.hub.read("ann/model", "kn_edit.json"))
    nodes = {"type": "file", "oid": "a" * 40}
    return [nodes | {"path": path, "size": size} for path, size in sizes.items()]


@pytest.mark.parametrize(
    ("delta", "record", "words"),
    [
        (257 << 20, 10, "more than the"),
        (10**18, 10, "more than the"),
        (2000, (1 << 20) + 1, "more than the"),
        (3, 10_000, "larger than the 3 bytes"),
        (2000, 3, "larger than the 3 bytes"),
        (-1, 10_000, "makes no sense"),
    ],
)
def test_a_size_that_is_large_or_a_lie_ends_the_pull(delta, record, words, scene):
    body = paths_info(scene, delta, record)
    scene.hub.fault("POST", "/paths-info/", times=FOREVER, status=200, body=body)
    ran = scene.command("pull")
    assert ran.code in (4, 5) and words in ran.err


def test_a_pull_is_bounded_as_a_whole(scene, monkeypatch):
    """Before the first byte of an edit comes; the bound is lower here."""
    monkeypatch.setattr(pull, "MOST_PULLED", 5000)
    ids = [f"{number:064x}" for number in range(3)]
    asked: list[str] = []

    class Fake:
        repo = "ann/model"

        def commit_at(self, revision: str) -> str:
            return "a" * 40

        def stored_files(self, paths: list[str], commit: str) -> dict[str, Stored]:
            return {path: Stored(1000, "b" * 40, None) for path in paths}

        def read(self, path: str, commit: str, most: int) -> bytes:
            asked.append(path)
            return Recipe(BaseRef(None, None, "f" * 64), tuple(ids)).to_json().encode()

    base = BaseRecord("m", None, None, "f" * 64, "/m", "llama", "F32")
    receiver = pull.Receiver(base, lambda edits: set(), lambda name, changes: None, scene.folder)
    with pytest.raises(InvalidRecipe, match="6,000 bytes, more than the 5,000 of one pull"):
        pull.fetch(Fake(), "main", receiver, lambda *progress: None)  # type: ignore[arg-type]
    assert asked == ["kn_edit.json"]


def test_a_list_without_an_end_is_left(scene):
    """Each page names another; and each names itself."""
    for page in ("/api/models/ann/model/commits/main?p=1", "/api/models/ann/model/commits/main"):
        headers = {"Link": f'<{scene.hub.url}{page}>; rel="next"'}
        scene.hub.fault("GET", "/commits/", times=FOREVER, status=200, body=[], headers=headers)
        ran = scene.command("log")
        assert ran.code == 5 and "lists more than anybody can read" in ran.err
        scene.hub.faults.clear()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_without_an_end_are_left(status, scene):
    headers = {"Location": f"{scene.hub.url}/api/whoami-v2"}
    scene.hub.fault("GET", "/whoami", times=FOREVER, status=status, headers=headers)
    ran = scene.command("push")
    assert ran.code == 5 and "from one address to the next" in ran.err


def test_nobody_waits_for_hours_because_the_hub_asks_for_it():
    headers = {"Retry-After": "86400", "RateLimit": '"api";r=0;t=86400'}
    hub_http._check_headers(headers, "GET")
    assert headers == {"Retry-After": "60"}


@pytest.mark.parametrize("name", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("value", ["../../x", '"../../x"', "/etc/passwd", "a/b", "..", "a\x1b[2J"])
def test_what_becomes_a_file_name_is_one(name, value):
    with pytest.raises(hub_http.UnrulyHub):
        hub_http._check_headers({name: value}, "HEAD")


@pytest.mark.parametrize(
    "answer",
    [
        {"sha": "../../x"},
        [{"type": "file", "path": "../x", "oid": "a"}],
        [{"type": "file", "path": "/etc/passwd", "oid": "a"}],
        [{"type": "file", "path": "x", "oid": "../x"}],
        [{"type": "file", "path": "x", "lfs": {"oid": "../../x"}}],
        {"siblings": [{"rfilename": "a/../../x"}]},
        {"siblings": [{"rfilename": "x", "lfs": {"sha256": "..\\x"}}]},
    ],
)
def test_ids_and_paths_of_an_answer_lead_nowhere(answer):
    with pytest.raises(hub_http.UnrulyHub):
        hub_http._check_names(answer)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{" + b" " * (1 << 20) + b"}"}, "config.json has 1,048,578 bytes"),
        ({"tokenizer.json": 65 << 20}, "tokenizer.json has 68,157,440 bytes"),
        ({"model.safetensors": 1 << 60}, "GB left"),
        ({"model.safetensors": -5}, "does not say how large"),
        ({"model.safetensors": None}, "does not say how large"),
    ],
)
def test_a_model_is_measured_before_it_is_fetched(files, words, scene):
    base = f"ann/large-{next(NUMBERS)}"
    scene.hub.create(base)
    real = {name: data for name, data in files.items() if isinstance(data, bytes)}
    scene.hub.commit(base, scene.model | real)
    commit = scene.hub.head(base)
    sizes = {name: len(data) for name, data in (scene.model | real).items()}
    sizes |= {name: size for name, size in files.items() if not isinstance(size, bytes)}
    siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
    body = {"id": base, "sha": commit, "siblings": siblings}
    scene.hub.fault("GET", f"/models/{base}[?]", times=FOREVER, status=200, body=body)
    ran = scene.desk("init", base, workspace=scene.folder / f"new-{next(NUMBERS)}")
    assert ran.code == 5 and words in ran.err, ran.err


def test_only_what_a_model_is_made_of_is_fetched(scene):
    base = f"ann/code-{next(NUMBERS)}"
    scene.hub.create(base)
    code = ("tokenizer_x.py", "tokenizer.pkl", "tokenizer.pickle", "tokenizer.so", "tokenizer.bin")
    more = (*code, "modeling.py", "tokenizer.sh", "chat_template.py", "x/tokenizer.json", "a.jinja")
    scene.hub.commit(base, scene.model | dict.fromkeys(more, b"x") | {"chat_template.jinja": b"y"})
    scene.hub.log.clear()
    ran = scene.desk("init", base, workspace=scene.folder / f"new-{next(NUMBERS)}")
    assert ran.code == 0, ran.err
    paths = {each.path.rpartition("/resolve/")[2] for each in scene.hub.requests("", "/resolve/")}
    fetched = {path.partition("/")[2] for path in paths}
    assert fetched == {*scene.model, "chat_template.jinja"}
