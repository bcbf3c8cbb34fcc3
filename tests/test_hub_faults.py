"""Whatever goes wrong between here and the Hub: one commit or none, a sentence, a second run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from hub import FOREVER, Hub
from hub_desk import Desk
from samples import sampled
from workspaces import about, exported, new_workspace, quick, shard

from kn_edit.workspace import Workspace

NAMES = (f"ann/m{number}" for number in count())
BUSY = (408, 429, 500, 502, 503, 504)
REFUSED = (401, 403, 404, 409, 412, *BUSY)
SILENT = "0.5"  # seconds until a client gives up


class Stage:
    """A Hub, a desk, a workspace of two edits with its weights, and an empty one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.empty = folder, folder / "empty"
        with new_workspace(folder) as workspace:
            workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
            workspace.tag("one")
            self.one = shard(exported(workspace))
            workspace.update(about("Japan"), "Cairo", how=quick((1, 7)), accept=True)
            self.two = shard(exported(workspace))
            self.head = workspace.head.id
        Workspace.init(str(folder / "model"), self.empty).close()
        self.hub = Hub()

    def __enter__(self) -> Stage:
        self.hub.__enter__()
        self.hub.token("ann")
        self.desk = Desk(self.hub, self.folder / "work")
        self.repo(pushed=("one",))  # the first push imports much, and on a busy machine tells it
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.close()
        self.hub.__exit__(*error)

    def repo(self, *, pushed: tuple[str, ...] = ()) -> str:
        """A new repository of Ann's, to which these versions were pushed and tagged."""
        name = next(NAMES)
        self.hub.create(name)
        for version in pushed:
            assert self.desk("push", name, "--version", version, "--tag", f"v-{version}").code == 0
        return name

    def commits(self, repo: str) -> list[str]:
        """The titles of our commits, newest first."""
        found = self.hub.repos[repo].history("main")
        return [commit.title for commit in found if commit.title.startswith("kn-edit")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("faults")) as stage:
        yield stage
        assert Workspace.open(stage.folder / "work").verify() == []


@pytest.fixture(autouse=True)
def calm(stage: Stage) -> Iterator[None]:
    yield
    stage.hub.faults.clear()


def said(ran: Any) -> str:
    """What a failed command said: one sentence with the next step."""
    lines = ran.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("kn-edit: "), ran.err
    assert "unexpected" not in lines[0] and "hf_ann" not in ran.out + ran.err
    assert ";" in lines[0]
    return lines[0]


POINTS = {
    "who": ("GET", "/whoami"),
    "access": ("GET", "/auth-check"),
    "refs": ("GET", "/refs$"),
    "tree": ("GET", "/tree/"),
    "card": ("POST", "/validate-yaml"),
    "announce": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "upload": ("PUT", "/lfs/"),
    "check": ("POST", "/lfs/verify"),
    "commit": ("POST", "/commit/"),
}
BEFORE = [
    *product(POINTS, (403, 500)),
    *product(("who", "commit"), (401, 404, 408, 409, 412, 429, 502, 503, 504)),
    *product(("access", "refs"), (401, 404, 412, 429, 503)),
    *product(("announce", "upload"), (401, 408, 429, 504)),
]


@pytest.mark.parametrize(("point", "status"), sampled(BEFORE, 20))
def test_a_hub_that_says_no_all_the_time_gets_no_commit(stage, point, status):
    repo = stage.repo()
    stage.hub.fault(*POINTS[point], times=FOREVER, status=status)
    first = stage.desk("push", repo, "--tag", "v1")
    assert first.code == 5, first.err
    said(first)
    assert stage.commits(repo) == []
    finishes(stage, repo)


@pytest.mark.parametrize("status", REFUSED)
def test_a_commit_that_is_refused_once_is_asked_for_again_where_that_helps(stage, status):
    repo = stage.repo()
    stage.hub.fault("POST", "/commit/", status=status)
    first = stage.desk("push", repo, "--tag", "v1")
    helps = status in (*BUSY, 409, 412)
    assert first.code == (0 if helps else 5), first.err
    assert len(stage.commits(repo)) == helps
    finishes(stage, repo)


HOWS: dict[str, dict[str, Any]] = {
    "silence": {"wait": FOREVER},
    "reset": {"drop": True},
    "half": {"cut_upload": 100},
    "lost": {"lose_answer": True},
    "half an answer": {"cut_answer": 20},
    "nonsense": {"status": 200, "body": b"<html>"},
}
ODDLY = [
    *product(("who", "access", "refs"), ("silence", "reset", "half an answer")),
    *product(("tree",), ("silence", "reset", "nonsense")),
    *product(("batch", "upload", "check"), ("silence", "reset", "half")),
    *product(("commit",), HOWS),
]


@pytest.mark.parametrize(("point", "how"), sampled(ODDLY, 14))
def test_a_connection_that_breaks_once_costs_nothing(stage, point, how):
    repo = stage.repo()
    stage.hub.fault(*POINTS[point], **HOWS[how])
    first = stage.desk("push", repo, "--tag", "v1", seconds=SILENT)
    if (point, how) == ("tree", "nonsense"):
        assert first.code == 5
        said(first)
    else:
        assert first.code == 0, first.err
        assert len(stage.commits(repo)) == 1
    finishes(stage, repo)


@pytest.mark.parametrize(("point", "how"), sampled(product(("/repos/create", "/branch/"), HOWS), 7))
def test_repository_and_branch_are_made_through_trouble(stage, point, how):
    name = next(NAMES)
    stage.hub.fault("POST", point, **HOWS[how])
    first = stage.desk("push", name, "--branch", "other", seconds=SILENT)
    if how == "nonsense":  # 200 is an answer, though nothing was made
        stage.hub.faults.clear()
        first = stage.desk("push", name, "--branch", "other")
    assert first.code == 0, first.err
    assert stage.hub.read(name, "model.safetensors", "other") == stage.two
    assert stage.commits(name) == []  # on main


ALWAYS = [
    *((point, how, 0) for point, how in product(("who", "tree"), ("silence", "reset"))),
    *(("upload", how, 0) for how in ("silence", "reset", "half")),
    *(("commit", how, 0) for how in ("silence", "reset", "half", "nonsense")),
    ("commit", "lost", 1),
    ("commit", "half an answer", 1),
]


@pytest.mark.parametrize(("point", "how", "made"), ALWAYS)
def test_a_connection_that_always_breaks_ends_in_a_sentence(stage, point, how, made):
    repo = stage.repo()
    stage.hub.fault(*POINTS[point], times=FOREVER, **HOWS[how])
    first = stage.desk("push", repo, "--tag", "v1", seconds=SILENT)
    assert len(stage.commits(repo)) == made
    if made:  # the answer never comes, but the branch tells
        assert first.code == 0, first.err
    else:
        assert first.code == 5
        said(first)
    finishes(stage, repo)


@pytest.mark.parametrize("status", (409, 500, 503))
def test_a_commit_whose_fate_is_hidden_is_found_by_the_second_run(stage, status):
    repo = stage.repo()
    stage.hub.fault("GET", "/refs$", after=1, times=FOREVER, status=status)
    stage.hub.fault("POST", "/commit/", lose_answer=True)
    first = stage.desk("push", repo, "--tag", "v1")
    assert first.code == 5
    assert "nobody can tell yet" in said(first)
    assert len(stage.commits(repo)) == 1
    finishes(stage, repo)


def test_somebody_else_comes_first(stage):
    repo = stage.repo()

    def stranger() -> None:
        stage.hub.commit(repo, {"theirs.txt": b"t"})

    stage.hub.fault("POST", "/commit/", meanwhile=stranger)
    first = stage.desk("push", repo, "--tag", "v1", "--json")
    assert first.code == 3
    assert first.error["error"] == "RemoteMoved"
    assert first.error["detail"]["actual"] == stage.hub.head(repo)
    assert stage.commits(repo) == []
    finishes(stage, repo)
    assert stage.hub.read(repo, "theirs.txt") == b"t"


def test_somebody_else_comes_before_a_rollback(stage):
    repo = stage.repo(pushed=("one", "head"))

    def stranger() -> None:
        stage.hub.commit(repo, {"theirs.txt": b"t"})

    stage.hub.fault("POST", "/commit/", meanwhile=stranger)
    first = stage.desk("rollback", repo, "--to", "v-one")
    assert first.code == 3
    assert "somebody moved" in said(first)
    assert len(stage.commits(repo)) == 2
    assert stage.desk("rollback", repo, "--to", "v-one").code == 0
    assert len(stage.commits(repo)) == 3
    assert stage.hub.read(repo, "theirs.txt") == b"t"


def test_a_commit_that_somebody_went_on_from_is_found_below_theirs(stage):
    repo = stage.repo()

    def stranger() -> None:
        stage.hub.commit(repo, {"theirs.txt": b"t"})

    stage.hub.fault("POST", "/commit/", lose_answer=True)
    stage.hub.fault("GET", "/refs$", after=1, meanwhile=stranger)
    first = stage.desk("push", repo, "--tag", "v1", "--json")
    assert first.code == 0, first.err
    ours = stage.hub.repos[repo].find("v1")
    assert ours.id == first.json["commit"] == stage.hub.repos[repo].find("main").parent
    assert stage.desk("push", repo, "--tag", "v1").code == 0
    assert len(stage.commits(repo)) == 1


TAGS: list[tuple[str, dict[str, Any], bool]] = [
    *(("once", {"status": status}, True) for status in (403, 404, 409, 500, 503)),
    ("once", {"lose_answer": True}, True),
    ("once", {"wait": FOREVER}, True),
    ("always", {"lose_answer": True}, True),
    *(("always", {"status": status}, False) for status in (401, 403, 409, 429, 500, 504)),
    ("always", {"drop": True}, False),
]


@pytest.mark.parametrize(("times", "how", "done"), TAGS)
def test_a_tag_is_there_in_the_end(stage, times, how, done):
    repo = stage.repo()
    stage.hub.fault("POST", "/tag/", times=1 if times == "once" else FOREVER, **how)
    first = stage.desk("push", repo, "--tag", "v1", seconds=SILENT)
    assert len(stage.commits(repo)) == 1
    assert first.code == (0 if done else 5), first.err
    if not done:
        assert "the tag v1 is left to do" in said(first)
    finishes(stage, repo)


BACK = {
    "who": ("GET", "/whoami"),
    "refs": ("GET", "/refs$"),
    "tree": ("GET", "/tree/"),
    "state": ("GET", "/resolve/.*published"),
    "files": ("POST", "/paths-info/"),
    "copies": ("GET", "/resolve/.*README"),
    "commit": ("POST", "/commit/"),
}
BACK_ONCE = {
    ("commit", "lose_answer"),
    ("commit", "drop"),
    ("commit", "503"),
    ("who", "503"),
    ("refs", "drop"),
    ("tree", "503"),
    ("state", "drop"),
}


@pytest.fixture(scope="module")
def released(stage: Stage) -> Iterator[str]:
    """A repository with two releases, the second one on top."""
    yield stage.repo(pushed=("one", "head"))


@pytest.mark.parametrize(("point", "status"), sampled(product(BACK, (401, 404, 500, 503)), 12))
def test_a_rollback_that_fails_leaves_the_repository_as_it_was(stage, released, point, status):
    before = stage.hub.head(released)
    stage.hub.fault(*BACK[point], times=FOREVER, status=status)
    first = stage.desk("rollback", released, "--to", "v-one")
    assert first.code == 5, first.err
    said(first)
    assert stage.hub.head(released) == before


@pytest.mark.parametrize(("point", "how"), sorted(BACK_ONCE))
def test_a_rollback_makes_one_commit_through_trouble(stage, point, how):
    repo = stage.repo(pushed=("one", "head"))
    fault: dict[str, Any] = {"status": 503} if how == "503" else {how: True}
    stage.hub.fault(*BACK[point], **fault)
    assert stage.desk("rollback", repo, "--to", "v-one").code == 0
    stage.hub.faults.clear()
    assert stage.desk("rollback", repo, "--to", "v-one").code == 0
    assert [title[:13] for title in stage.commits(repo)] == [
        "kn-edit: back",
        *2 * ["kn-edit: vers"],
    ]
    assert stage.hub.read(repo, "model.safetensors") == stage.one


PULL = {
    "revision": ("GET", "/revision/"),
    "names": ("POST", "/paths-info/"),
    "recipe": ("GET", "/resolve/.*/kn_edit.json"),
    "delta": ("GET", "/resolve/.*safetensors"),
    "record": ("GET", "/resolve/.*/kn_edit/.*json"),
}
PULLS: list[tuple[str, dict[str, Any], bool]] = [
    *((point, {"status": status}, False) for point, status in product(PULL, (401, 403, 404, 500))),
    *((point, {"status": 429, "times": 1}, True) for point in PULL),
    *((point, {"drop": True, "times": 1}, True) for point in PULL),
    *((point, {"wait": FOREVER, "times": 1}, True) for point in PULL),
    *((point, {"cut_answer": 10, "times": 1}, True) for point in PULL),
]


@pytest.mark.parametrize(("point", "how", "done"), sampled(PULLS, 20))
def test_a_pull_takes_all_or_nothing(stage, released, tmp_path, point, how, done):
    shutil.copytree(stage.empty, tmp_path / "w")
    stage.hub.fault(*PULL[point], **{"times": FOREVER, **how})
    first = stage.desk("pull", f"{released}@v-head", workspace=tmp_path / "w", seconds=SILENT)
    assert first.code == (0 if done else 5), first.err
    with Workspace.open(tmp_path / "w") as workspace:
        assert len(workspace.ledger.edits()) == (2 if done else 0)
    if not done:
        said(first)
        stage.hub.faults.clear()
        again = stage.desk("pull", f"{released}@v-head", "-q", workspace=tmp_path / "w")
        assert (again.code, again.lines) == (0, [stage.head])


def finishes(stage: Stage, repo: str) -> None:
    """A second run, without faults, leaves one commit of ours with everything."""
    stage.hub.faults.clear()
    again = stage.desk("push", repo, "--tag", "v1", "--json")
    assert again.code == 0, again.err
    assert len(stage.commits(repo)) == 1
    assert stage.hub.head(repo) == stage.hub.head(repo, "v1") == again.json["commit"]
    assert stage.hub.read(repo, "model.safetensors") == stage.two
