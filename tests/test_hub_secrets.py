"""A Hub that repeats the token, or sends us elsewhere: it stands nowhere, nobody else gets it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from hub import FOREVER, Hub
from hub_desk import Desk
from hub_stranger import Stranger
from samples import sampled
from workspaces import about, new_workspace, quick

from kn_edit.workspace import Workspace

TOKEN = "hf_ann_write"  # of a form that no pattern knows: the very one in use is struck
NUMBERS = count()


class Scene:
    """A Hub, a stranger beside it, Ann's workspace with an edit, and an empty one of its base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with new_workspace(folder) as ann:
            ann.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
            (self.edit,) = ann.head.edits
            self.fingerprint = ann.base.fingerprint
        Workspace.init(str(folder / "model"), folder / "empty").close()
        self.hub, self.stranger = Hub(), Stranger()

    def __enter__(self) -> Scene:
        self.hub.__enter__()
        self.stranger.__enter__()
        assert self.hub.token("ann") == TOKEN
        self.desk = Desk(self.hub)
        self.hub.create("ann/model")
        assert self.run("push", "ann/model", "--as", "delta").code == 0
        files = self.hub.repos["ann/model"].find("main").files
        self.files = {path: self.hub.read("ann/model", path) for path in files}
        self.hub.create("ann/base")
        names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        model = {name: (self.folder / "model" / name).read_bytes() for name in names}
        self.hub.commit("ann/base", model)
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.close()
        self.stranger.__exit__()
        self.hub.__exit__(*error)

    def run(self, *args: str) -> Any:
        workspace = {"pull": "bob", "init": f"new-{next(NUMBERS)}"}.get(args[0], "work")
        return self.desk(*args, workspace=self.folder / workspace, debug=True, seconds="1")

    def command(self, what: str) -> Any:
        """push to a new repository, pull into an empty workspace, and so on."""
        if what == "pull":
            shutil.rmtree(self.folder / "bob", ignore_errors=True)
            shutil.copytree(self.folder / "empty", self.folder / "bob")
            return self.run("pull", "ann/model")
        if what == "init":
            shutil.rmtree(self.hub.folder / "desk" / "hub", ignore_errors=True)
            return self.run("init", "ann/base")
        if what == "log":
            return self.run("log", "ann/model")
        name = f"ann/m{next(NUMBERS)}"
        if what == "push":
            self.hub.create(name)
        more = ("--tag", "v1", "--branch", "other") if what != "offer" else ("--pr",)
        return self.run("push", "ann/model" if what == "offer" else name, "--as", "delta", *more)

    def leaks(self, ran: Any) -> list[str]:
        """Where the token is to be read, which should be nowhere."""
        texts = {"stdout": ran.out.encode(), "stderr": ran.err.encode()}
        texts |= {f"stranger {at}": one for at, one in enumerate(self.stranger.heard)}
        places = (self.folder, self.hub.folder / "desk")
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        texts |= {str(path): path.read_bytes() for path in files}
        return [place for place, text in texts.items() if TOKEN.encode() in text]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    with Scene(tmp_path_factory.mktemp("secrets")) as scene:
        yield scene


@pytest.fixture(autouse=True)
def calm(scene: Scene) -> Iterator[None]:
    scene.stranger.heard.clear()
    yield
    scene.hub.faults.clear()


POINTS: dict[str, tuple[str, str, str]] = {
    "who": ("push", "GET", "/whoami"),
    "access": ("push", "GET", "/auth-check"),
    "create": ("push new", "POST", "/repos/create"),
    "refs": ("push", "GET", "/refs$"),
    "branch": ("push", "POST", "/branch/"),
    "tree": ("push", "GET", "/tree/"),
    "card": ("push", "POST", "/validate-yaml"),
    "announce": ("push", "POST", "/preupload/"),
    "batch": ("push", "POST", "/objects/batch"),
    "upload": ("push", "PUT", "/lfs/"),
    "check": ("push", "POST", "/lfs/verify"),
    "commit": ("push", "POST", "/commit/"),
    "tag": ("push", "POST", "/tag/"),
    "revision": ("pull", "GET", "/revision/"),
    "names": ("pull", "POST", "/paths-info/"),
    "recipe": ("pull", "GET", "/resolve/.*/kn_edit.json"),
    "delta": ("pull", "GET", "/resolve/.*safetensors"),
    "record": ("pull", "GET", "/resolve/.*/kn_edit/.*json"),
    "history": ("log", "GET", "/commits/"),
    "model": ("init", "GET", "/models/ann/base"),
    "files": ("init", "GET", "/tree/"),
    "weights": ("init", "HEAD", "/resolve/.*/model.safetensors"),
    "config": ("init", "GET", "/resolve/.*/config.json"),
}
BEARER = f"Authorization: Bearer {TOKEN}"
ECHOES: dict[str, dict[str, Any]] = {
    "forbidden": {"status": 403, "body": {"error": BEARER}},
    "header": {"status": 403, "headers": {"X-Error-Message": BEARER}},
    "teapot": {"status": 418, "body": {"errors": [{"message": TOKEN * 1000}]}},
    "text": {"status": 500, "body": f"{BEARER}\n\x1b[2J{TOKEN}".encode()},
}
REDIRECTS = {
    "found": (302, "{url}/x"),
    "again": (307, "{url}/x"),
    "by name": (308, "{other_name}/x"),
    "with token": (302, "{url}/x?token=" + TOKEN),
    "quoted token": (307, "{url}/%68f_ann_write"),
}


@pytest.mark.parametrize(("point", "how"), sampled(product(POINTS, ECHOES), 40))
def test_what_a_hub_repeats_is_neither_shown_nor_kept(scene, point, how):
    what, method, path = POINTS[point]
    scene.hub.fault(method, path, times=FOREVER, **ECHOES[how])
    ran = scene.command(what)
    assert ran.code in (0, 1, 5) and "unexpected" not in ran.err, ran.err
    assert scene.leaks(ran) == []
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize(("point", "how"), sampled(product(POINTS, REDIRECTS), 46))
def test_another_host_never_gets_the_token(scene, point, how):
    what, method, path = POINTS[point]
    status, location = REDIRECTS[how]
    headers = {
        "Location": location.format(**vars(scene.stranger)),
        "Set-Cookie": f"session={TOKEN}; Path=/",
    }
    scene.hub.fault(method, path, times=FOREVER, status=status, headers=headers)
    ran = scene.command(what)
    assert ran.code in (0, 1, 4, 5) and "unexpected" not in ran.err, ran.err
    assert scene.leaks(ran) == []
    sent = [one for one in scene.stranger.heard if not one.startswith((b"GET", b"HEAD"))]
    assert sent == [], "what is meant for the Hub goes to nobody else"


def nodes(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "file", "path": "x", "size": 1, "oid": "a" * 40} | more]


def commits(**more: Any) -> list[dict[str, Any]]:
    facts = {"id": "a" * 40, "title": "t", "authors": [], "date": "2024-01-01T00:00:00.000Z"}
    note = f"kn-edit-version: {'a' * 64}\nkn-edit-form: delta"
    return [facts | {"message": note} | more]


def refs(**more: Any) -> dict[str, Any]:
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": "a" * 40}
    return {"branches": [main | more], "tags": [main | more], "converts": []}


LIES: dict[str, tuple[str, object]] = {
    "a user": ("who", {"name": TOKEN, "auth": {}, "orgs": []}),
    "a reader": (
        "who",
        {"name": TOKEN, "auth": {"accessToken": {"role": "read"}}, "orgs": [{"name": TOKEN}]},
    ),
    "no user": ("who", [TOKEN]),
    "a branch": ("refs", refs(name=TOKEN)),
    "a head": ("refs", refs(targetCommit=TOKEN)),
    "a path": ("tree", nodes(path=TOKEN)),
    "an id": ("tree", nodes(oid=TOKEN)),
    "an object": ("tree", nodes(lfs={"oid": TOKEN, "size": 1, "pointerSize": 1})),
    "a size": ("tree", nodes(size=TOKEN)),
    "a commit": ("commit", {"commitOid": TOKEN, "commitUrl": TOKEN, "success": True}),
    "an address": ("commit", {"commitOid": "a" * 40, "commitUrl": TOKEN, "success": True}),
    "an opinion": ("card", {"errors": [], "warnings": [{"message": TOKEN}]}),
    "a mode": ("announce", {"files": [{"path": "x", "uploadMode": TOKEN, "shouldIgnore": False}]}),
    "a transfer": ("batch", {"transfer": TOKEN, "objects": []}),
    "a revision": ("revision", {"id": "ann/model", "sha": TOKEN, "siblings": []}),
    "a name": ("names", nodes(path=TOKEN, oid=TOKEN)),
    "a title": ("history", commits(title=f"{TOKEN}\n\x1b[2J")),
    "a message": ("history", commits(message=f"{commits()[0]['message']}\n{TOKEN}")),
    "another id": ("history", commits(id=TOKEN)),
    "a model": ("model", {"id": TOKEN, "sha": TOKEN, "siblings": []}),
    "a file": ("model", {"id": TOKEN, "sha": "a" * 40, "siblings": [{"rfilename": TOKEN}]}),
    "a listed file": ("files", nodes(path=TOKEN)),
}


@pytest.mark.parametrize("lie", LIES)
def test_no_answer_brings_the_token_in(scene, lie):
    point, body = LIES[lie]
    what, method, path = POINTS[point]
    scene.hub.fault(method, path, times=FOREVER, status=200, body=body)
    ran = scene.command(what)
    assert "unexpected" not in ran.err
    assert scene.leaks(ran) == []
    assert "\x1b" not in ran.out + ran.err


def test_an_edit_that_holds_the_token_is_not_taken_in(scene):
    """A Hub knows the token that we send; a record made of it would end in the ledger."""
    edit = scene.edit
    record = json.loads(scene.files[f"kn_edit/{edit}.json"])
    plain = json.dumps(record | {"message": f"made with {TOKEN}"})
    escaped = plain.replace("hf_", "\\u0068f_")
    recipe = json.loads(scene.files["kn_edit.json"])
    recipe["base"]["repo"] = TOKEN
    for path, data in (
        (f"kn_edit/{edit}.json", plain),
        (f"kn_edit/{edit}.json", escaped),
        ("kn_edit.json", json.dumps(recipe)),
    ):
        scene.hub.commit("ann/model", scene.files | {path: data.encode()})
        ran = scene.command("pull")
        assert ran.code == 4 and "it holds your own token" in ran.err
        assert scene.leaks(ran) == []
    scene.hub.commit("ann/model", scene.files)


def test_uploads_that_are_kept_elsewhere_go_there_without_the_token(scene):
    size = len(scene.files[f"kn_edit/{scene.edit}.safetensors"])
    hrefs = {name: {"href": f"{scene.stranger.url}/{name}"} for name in ("upload", "verify")}
    answer = {"transfer": "basic", "objects": [{"oid": scene.edit, "size": size, "actions": hrefs}]}
    scene.hub.fault("POST", "/objects/batch", times=FOREVER, status=200, body=answer)
    ran = scene.command("push")
    assert scene.leaks(ran) == []
    kinds = [one.split(b" ")[0] for one in scene.stranger.heard]
    assert kinds[:2] == [b"PUT", b"POST"]


def test_a_list_that_goes_on_at_another_host_goes_without_the_token(scene):
    headers = {"Link": f'<{scene.stranger.url}/more>; rel="next"'}
    scene.hub.fault("GET", "/commits/", times=FOREVER, status=200, body=commits(), headers=headers)
    ran = scene.command("log")
    assert scene.stranger.heard and scene.leaks(ran) == []
