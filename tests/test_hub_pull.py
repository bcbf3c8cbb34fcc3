"""Taking in what others published: to the bit, or not at all."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from hub import Hub, hub_client
from hub_desk import Desk
from tiny_models import D_MODEL, tiny_folder
from workspaces import CAPITAL, about, contents, exported, new_workspace, quick, shard

from kn_edit.checkpoints.recipe import Recipe
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import (
    DeltaDigestDiffers,
    DeltaMisfit,
    DifferentBase,
    InvalidDelta,
    InvalidRecipe,
    KnEditError,
)
from kn_edit.jobs.job import JobState
from kn_edit.jobs.queue import Jobs
from kn_edit.workspace import Workspace

REPO = "ann/model"
DYING = """
import os
from contextlib import closing
from kn_edit.jobs.job import JobRequest
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.worker import Worker
from kn_edit.workspace import Workspace

def perform(workspace, verb, arguments, **further):
    workspace.pull(arguments["source"])
    os._exit(9)

with Workspace.open({folder!r}) as workspace, closing(Jobs(workspace)) as jobs:
    jobs.submit(JobRequest("pull", {{"source": {repo!r}}}, "main"))
    Worker(workspace, jobs, perform).run(once=True)
"""
Files = dict[str, bytes]


class World:
    """A Hub, where Ann published three edits, her workspace, and one of Bob's on the same base."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with new_workspace(folder) as ann:
            ann.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
            ann.update(about("Japan"), "Cairo", how=quick((1, 7)), accept=True)
            ann.tag("two")
            ann.erase(CAPITAL, how=quick(top=2, zero=True), accept=True)
            self.edits, self.head, self.base = ann.head.edits, ann.head.id, ann.base
        Workspace.init(str(folder / "model"), folder / "empty").close()
        self.hub = Hub()

    def __enter__(self) -> World:
        self.hub.__enter__()
        self.hub.token("ann")
        self.desk = Desk(self.hub)
        self.ann = self.folder / "work"
        assert self.desk("push", REPO, "--version", "two", workspace=self.ann).code == 0
        assert self.desk("push", REPO, "--tag", "v3", workspace=self.ann).code == 0
        found = self.hub.repos[REPO].find("main").files
        self.files = {path: self.hub.read(REPO, path) for path in found}
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.close()
        self.hub.__exit__(*error)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("pull")) as world:
        yield world


@pytest.fixture
def bob(world: World, tmp_path: Path) -> Path:
    """An empty workspace; the desk works on it."""
    shutil.copytree(world.folder / "empty", tmp_path / "bob")
    world.desk.workspace = tmp_path / "bob"
    world.hub.log.clear()
    return tmp_path / "bob"


# --- a version goes round ------------------------------------------------------------------------


def test_a_pulled_version_can_be_reverted_and_pushed_to_the_same_bytes(world, bob, tmp_path):
    pulled = world.desk("pull", REPO, "--json")
    assert pulled.code == 0, pulled.err
    assert pulled.json["version"] == world.head
    assert pulled.json["new"] == pulled.json["edits"] == [*world.edits]
    assert world.desk("verify").code == 0
    middle = world.edits[1]
    assert world.desk("revert", middle, "--allow-overlap").code == 0
    assert world.desk("push", "ann/bobs").code == 0

    shutil.copytree(world.ann, tmp_path / "ann")
    with Workspace.open(tmp_path / "ann") as ann:
        ann.revert(middle, allow_overlap=True)
        ours = contents(exported(ann))
    assert {path: world.hub.read("ann/bobs", path) for path in ours} == ours
    assert world.desk("push", "ann/anns", workspace=tmp_path / "ann").code == 0
    trees = [world.hub.repos[name].find("main").files for name in ("ann/bobs", "ann/anns")]
    cards = [tree.pop("README.md") for tree in map(dict, trees)]
    assert len({card.sha256 for card in cards}) == 2, "they name their repository"
    same = trees[0].keys() - {"README.md", "kn_edit/published.json"}
    assert all(trees[0][path] == trees[1][path] for path in same)


def test_a_pull_that_was_recorded_before_its_worker_died_is_done(world, bob):
    ran = hub_client(world.hub, DYING.format(folder=str(bob), repo=REPO))
    assert ran.returncode == 9, ran.stderr
    with Workspace.open(bob) as workspace, closing(Jobs(workspace)) as jobs:
        (job,) = jobs.jobs()
        assert workspace.head.id == world.head
    assert (job.state, job.log[-1]) == (JobState.DONE, "the worker died")
    assert job.result == {"edit": None, "version": world.head, "worker_lost": True}


def test_what_is_known_of_an_edit_comes_with_it(world, bob):
    assert world.desk("pull", REPO).code == 0
    with Workspace.open(world.ann) as ann, Workspace.open(bob) as workspace:
        for edit in world.edits:
            mine, hers = workspace.ledger.edit(edit), ann.ledger.edit(edit)
            for name in ("kind", "relation", "subject", "answer", "target", "method", "message"):
                assert getattr(mine, name) == getattr(hers, name)
            assert (mine.found, mine.metrics, mine.neurons) == (
                hers.found,
                hers.metrics,
                hers.neurons,
            )
            assert {*mine.overlaps} == {*hers.overlaps}
        assert [step.kind for step in workspace.log()] == ["pull", "init"]
        assert workspace.blame(mine.neurons[0])[0].in_head


def test_only_what_is_new_is_fetched_and_a_second_pull_changes_nothing(world, bob):
    assert world.desk("pull", f"{REPO}@v3").code == 0
    world.hub.log.clear()
    again = world.desk("pull", f"{REPO}@v3", "--json")
    assert (again.code, again.json["new"], again.json["moved"]) == (0, [], False)
    assert [each.path.rpartition("/")[2] for each in world.hub.requests("GET", "/resolve/")] == [
        "kn_edit.json"
    ]
    with Workspace.open(bob) as workspace:
        before = len(workspace.log())
        assert world.desk("pull", REPO).code == 0  # another name for the same version
        assert len(workspace.log()) == before
        assert workspace.show(f"{REPO}@v3") == workspace.show(f"{REPO}@main") == workspace.head
        assert workspace.verify() == []


def test_a_head_that_is_further_on_stays(world, bob):
    assert world.desk("pull", REPO).code == 0
    two = world.hub.repos[REPO].find("main").parent
    ran = world.desk("pull", f"{REPO}@{two}", "--json")
    assert (ran.code, ran.json["moved"], len(ran.json["edits"])) == (0, False, 2)
    with Workspace.open(bob) as workspace:
        assert workspace.head.id == world.head


def test_a_head_with_edits_of_its_own_stays_and_can_be_joined(world, bob):
    with Workspace.open(bob) as workspace:
        how = quick((0, 9))
        own = workspace.update(about("Italy"), "Oslo", how=how, accept=True)
    ran = world.desk("pull", REPO, "--json")
    assert ran.code == 3
    assert ran.error["error"] == "Diverged"
    assert f"kn-edit merge {REPO}@main" in ran.error["message"]
    with Workspace.open(bob) as workspace:
        assert workspace.head.edits == (own.edit,)
        assert workspace.show(f"{REPO}@main").edits == world.edits
    # they erased the relation of which he updated a fact
    assert "capital: Italy otherwise" in ran.error["message"]
    differing = world.desk("compose", "head", f"{REPO}@main", "--json")
    assert (differing.code, differing.error["error"]) == (3, "FactsDiffer")
    joined = world.desk("compose", "head", f"{REPO}@main", "--both", "--json")
    assert joined.json["edits"] == [own.edit, *world.edits]
    assert world.desk("rewind", f"{REPO}@main", "-q").lines == [world.head]
    assert world.desk("verify").code == 0


def test_a_pull_moves_the_current_branch_and_a_branch_can_be_pushed_and_merged(world, bob):
    assert world.desk("switch", "-c", "theirs").code == 0
    assert world.desk("pull", REPO, "--json").json["moved"] is True
    with Workspace.open(bob) as workspace:
        assert (workspace.show("theirs").id, workspace.show("main").edits) == (world.head, ())
        workspace.switch("main")
        own = workspace.update(about("Italy"), "Oslo", how=quick((0, 9)), accept=True)
    differing = world.desk("merge", "theirs", "--json")
    assert (differing.code, differing.error["detail"]["theirs"]) == (3, "theirs")
    joined = world.desk("merge", f"{REPO}@main", "--ours", "--allow-overlap", "--json").json
    assert joined["edits"] == [own.edit, *world.edits[:2]]  # without the erasure
    world.hub.create("ann/branches")
    assert world.desk("push", "ann/branches", "--as", "delta", "--version", "theirs").code == 0
    assert world.desk("log", "ann/branches", "-q").lines == [world.head]


def test_a_pulled_version_can_be_extended_and_pushed_on(world, bob):
    assert world.desk("pull", REPO).code == 0
    with Workspace.open(bob) as workspace:
        workspace.update(about("Italy"), "Oslo", how=quick((0, 9)), accept=True)
        weights = shard(exported(workspace))
    world.hub.create("ann/on")
    assert world.desk("push", "ann/on").code == 0
    assert world.hub.read("ann/on", "model.safetensors") == weights
    ann = shutil.copytree(world.ann, bob.parent / "ann")
    ran = world.desk("pull", "ann/on", "--json", workspace=ann)
    assert (ran.code, ran.json["moved"], len(ran.json["new"])) == (0, True, 1)


@pytest.mark.parametrize("form", ["adapter", "delta"])
def test_every_form_can_be_pulled(form, world, bob):
    world.hub.create(f"ann/{form}")
    assert world.desk("push", f"ann/{form}", "--as", form, workspace=world.ann).code == 0
    assert world.desk("pull", f"ann/{form}", "-q").lines == [world.head]


def test_a_repository_without_a_recipe_is_told_apart(world, bob):
    world.hub.create("ann/plain")
    ran = world.desk("pull", "ann/plain")
    assert ran.code == 1
    assert "ann/plain at main has no kn_edit.json" in ran.err
    back = world.desk("rollback", "ann/plain", "--to", world.hub.head("ann/plain")[:10])
    assert back.code == 1 and "kn-edit did not publish" in back.err
    assert world.desk("log", "ann/plain").out == "kn-edit published nothing there\n"


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("ann/none", 5, "no model ann/none"),
        (f"{REPO}@v9", 5, "no revision 'v9'"),
        (f"{REPO}@", 2, "branch or a tag"),
        (f"{REPO}@../x", 2, "branch or a tag"),
        ("ann/../x", 2, "owner/name"),
        ("https://huggingface.co/ann/model", 2, "owner/name"),
    ],
)
def test_names_that_lead_nowhere(source, code, words, world, bob):
    ran = world.desk("pull", source)
    assert ran.code == code and words in ran.err


def test_another_base_is_refused(world, tmp_path):
    tiny_folder("llama", tmp_path / "other", seed=1)
    Workspace.init(str(tmp_path / "other"), tmp_path / "w").close()
    ran = world.desk(
        "pull",
        REPO,
        workspace=tmp_path / "w",
    )
    assert ran.code == 3 and "workspace of that base" in ran.err


def test_rollback_goes_to_versions_tags_and_commits(world, bob):
    name = "ann/names"
    world.hub.create(name)
    for version in ("two", "head"):
        assert world.desk("push", name, "--version", version, workspace=world.ann).code == 0
    first = world.hub.repos[name].find("main").parent
    version = world.desk("log", name, "-q").lines[-1]
    for to in (version[:8], str(first)[:7], str(first)):
        assert world.desk("rollback", name, "--to", to).code == 0
        assert (
            world.hub.repos[name].find("main").files == world.hub.repos[name].find(str(first)).files
        )
    for to in ("none", "00000000", "v9"):
        assert world.desk("rollback", name, "--to", to).code == 5
    assert len(world.desk("log", name, "-q").lines) == 3, "the last two had nothing to do"


# --- strangers -----------------------------------------------------------------------------------


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("pickle-was-here"),)  # type: ignore[return-value]


def recipe(world: World, *edits: str, **more: Any) -> bytes:
    base = BaseRef(None, None, world.base.fingerprint)
    return json.dumps(json.loads(Recipe(base, edits).to_json()) | more).encode()


def base_of(fingerprint: str) -> dict[str, str | None]:
    return {"repo": None, "revision": None, "fingerprint": fingerprint}


def with_delta(world: World, data: bytes) -> Files:
    """A repository whose one edit has these bytes, all of it in order but for them."""
    edit = hashlib.sha256(data).hexdigest()
    record = world.files[f"kn_edit/{world.edits[0]}.json"]
    return {
        "kn_edit.json": recipe(world, edit),
        f"kn_edit/{edit}.safetensors": data,
        f"kn_edit/{edit}.json": record,
    }


def with_record(world: World, **facts: Any) -> Files:
    edit = world.edits[0]
    record = json.loads(world.files[f"kn_edit/{edit}.json"]) | facts
    return {
        "kn_edit.json": recipe(world, edit),
        f"kn_edit/{edit}.safetensors": world.files[f"kn_edit/{edit}.safetensors"],
        f"kn_edit/{edit}.json": json.dumps(record).encode(),
    }


def of_attention(world: World) -> bytes:
    changes = SlotChanges(
        "column",
        torch.tensor([1]),
        torch.tensor([Mode.ADD], dtype=torch.uint8),
        torch.ones(1, D_MODEL),
    )
    base = BaseRef(None, None, world.base.fingerprint)
    return Delta(base, {"model.layers.0.self_attn.o_proj.weight": changes}).to_bytes()


def flipped(world: World) -> Files:
    path = f"kn_edit/{world.edits[0]}.safetensors"
    data = bytearray(world.files[path])
    data[-1] ^= 1
    return world.files | {path: bytes(data)}


EVIL: dict[str, tuple[Callable[[World], Files], type[KnEditError]]] = {
    "a path for an id": (lambda w: {"kn_edit.json": recipe(w, "../../../x")}, InvalidRecipe),
    "an absolute path": (lambda w: {"kn_edit.json": recipe(w, "/etc/passwd")}, InvalidRecipe),
    "upper case": (lambda w: {"kn_edit.json": recipe(w, w.edits[0].upper())}, InvalidRecipe),
    "an edit twice": (
        lambda w: {"kn_edit.json": recipe(w, *w.edits[:1] * 2)},
        InvalidRecipe,
    ),
    "more keys": (lambda w: {"kn_edit.json": recipe(w, run="rm")}, InvalidRecipe),
    "another format": (
        lambda w: {"kn_edit.json": recipe(w, format="kn-recipe/9")},
        InvalidRecipe,
    ),
    "an escape in the base": (
        lambda w: {"kn_edit.json": recipe(w, base=base_of("\x1b[2J"))},
        InvalidRecipe,
    ),
    "another base": (lambda w: {"kn_edit.json": recipe(w, base=base_of("0" * 64))}, DifferentBase),
    "no JSON": (lambda w: {"kn_edit.json": b"\x80\x04"}, InvalidRecipe),
    "depth": (lambda w: {"kn_edit.json": b'{"a":' * 100_000}, InvalidRecipe),
    "a large recipe": (lambda w: {"kn_edit.json": b" " * (5 << 20)}, InvalidRecipe),
    "too many edits": (
        lambda w: {"kn_edit.json": recipe(w, *(f"{number:064x}" for number in range(10_001)))},
        InvalidRecipe,
    ),
    "no delta": (lambda w: {"kn_edit.json": recipe(w, w.edits[0])}, InvalidRecipe),
    "other numbers": (flipped, DeltaDigestDiffers),
    "a huge header": (lambda w: with_delta(w, (2**62).to_bytes(8, "little") + b"{}"), InvalidDelta),
    "a pickle": (lambda w: with_delta(w, pickle.dumps(Evil())), InvalidDelta),
    "other weights": (lambda w: with_delta(w, of_attention(w)), DeltaMisfit),
    "another kind": (lambda w: with_record(w, kind="exec"), InvalidRecipe),
    "an escape": (lambda w: with_record(w, message="\x1b[2J gone"), InvalidRecipe),
    "an escape deep down": (lambda w: with_record(w, found={"a": ["\x9b1A"]}), InvalidRecipe),
    "a blank subject": (lambda w: with_record(w, subject=" \n"), InvalidRecipe),
    "text for a number": (lambda w: with_record(w, metrics={"efficacy": "1"}), InvalidRecipe),
    "no number": (lambda w: with_record(w, metrics={"efficacy": float("nan")}), InvalidRecipe),
    "templates": (lambda w: with_record(w, found={"templates": "abc"}), InvalidRecipe),
    "no target": (lambda w: with_record(w, target=None), InvalidRecipe),
    "a long record": (lambda w: with_record(w, found={"a": "x" * (2 << 20)}), InvalidRecipe),
}
CODE = {
    "modeling_evil.py": b"import pathlib; pathlib.Path('code-was-here').touch()",
    "config.json": b'{"auto_map": {"AutoModelForCausalLM": "modeling_evil.Model"}}',
    "pytorch_model.bin": pickle.dumps(Evil()),
    "kn_edit/__init__.py": b"raise SystemExit('code was here')",
}


@pytest.mark.parametrize("case", EVIL)
def test_a_malicious_repository_changes_nothing_and_runs_nothing(case, world, bob):
    make, error = EVIL[case]
    name = f"ann/evil-{[*EVIL].index(case)}"
    world.hub.create(name)
    world.hub.commit(name, {**make(world), **CODE})
    before = outside(world, bob)
    ran = world.desk("pull", name, "--json")
    assert (ran.code, ran.error["error"]) == (error.exit_code, error.__name__), ran.err
    assert ran.error["message"].isprintable()
    assert outside(world, bob) == before
    fetched = {each.path.partition("/resolve/")[2] for each in world.hub.requests("GET")}
    names = {path.partition("/")[2] for path in fetched} - {""}
    assert not names & CODE.keys()
    with Workspace.open(bob) as workspace:
        assert workspace.ledger.edits() == []
        assert [ref.name for ref in workspace.ledger.refs()] == ["main"]
        assert workspace.verify() == []


def test_code_beside_a_sound_recipe_is_not_even_fetched(world, bob):
    world.hub.create("ann/code")
    world.hub.commit("ann/code", world.files | CODE)
    before = outside(world, bob)
    assert world.desk("pull", "ann/code", "-q").lines == [world.head]
    assert outside(world, bob) == before
    fetched = {each.path.partition("/resolve/")[2] for each in world.hub.requests("GET")}
    assert {path.partition("/")[2] for path in fetched} - {""} == {
        "kn_edit.json",
        *(f"kn_edit/{edit}.{kind}" for edit in world.edits for kind in ("json", "safetensors")),
    }


def outside(world: World, bob: Path) -> set[Path]:
    """Every file near, but for those in the workspace's own folder."""
    own = bob / ".kn-edit"
    places = (bob.parent, world.hub.folder / "desk", Path.cwd())
    found = {path for place in places for path in place.rglob("*was-here*")}
    found |= {path for place in places[:2] for path in place.rglob("*")}
    return {path for path in found if not path.is_relative_to(own)}


def test_a_manifest_cannot_make_a_push_delete_what_is_not_its_own(world, bob):
    """published.json says which files a later push may delete: only as they were pushed."""
    name = "ann/lies"
    world.hub.create(name)
    lies = {"precious.txt": "0" * 64, "../../x": "0" * 64, ".gitattributes": "0" * 64}
    state = {"format": "kn-published/1", "version": "0" * 64, "form": "delta", "files": lies}
    world.hub.commit(
        name, {"precious.txt": b"p", "kn_edit/published.json": json.dumps(state).encode()}
    )
    assert world.desk("push", name, workspace=world.ann).code == 0
    assert world.hub.read(name, "precious.txt") == b"p"
    assert ".gitattributes" in world.hub.repos[name].find("main").files
