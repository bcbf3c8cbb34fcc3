"""Publishing on a Hub: what it holds afterwards, what travels, and who may do it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from cli_shell import PROGRAM
from hub import FOREVER, Hub, hub_client, hub_env
from hub_card import opinion
from hub_desk import Desk
from huggingface_hub import ModelCard
from tiny_models import tiny_folder
from workspaces import (
    SHAPES,
    about,
    answers,
    asked,
    contents,
    exported,
    new_workspace,
    plainly_loaded,
    quick,
    shard,
    tokens,
)

from kn_edit.edits.settings import Settings
from kn_edit.hub.names import check_repo, check_revision
from kn_edit.workspace import Workspace
from kn_edit.workspace.publishing import PushSettings
from kn_edit.workspace.verbs.hub import PushOptions

THOROUGH = replace(
    quick(*((layer, index) for layer in (0, 1) for index in range(32))),
    settings=Settings(margin=1.0, kl_limit=0.3),
)
TOKEN = "hf_ann_write"
REPO = "ann/model"
ASK = """
import json, sys
import torch
from transformers import AutoModelForCausalLM

said = {}
for revision in REVISIONS:
    net = AutoModelForCausalLM.from_pretrained("ann/model", revision=revision).eval()
    with torch.no_grad():
        said[revision] = [int(net(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
                          for ids in PROMPTS]
print(json.dumps(said))
"""
SAVE = """
import torch
torch.save(model.merge_and_unload().state_dict(), OUT)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Desk]:
    with Hub() as hub:
        desk = Desk(hub)
        yield desk
        desk.close()


@pytest.fixture
def desk(shared: Desk, tmp_path: Path) -> Desk:
    """A desk on the test's own workspace, with an empty Hub behind it."""
    shared.workspace = tmp_path / "work"
    shared.hub.clear()
    shared.hub.token("ann")
    return shared


@pytest.fixture
def hub(desk: Desk) -> Hub:
    return desk.hub


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    """A workspace with one quick edit."""
    with new_workspace(tmp_path) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        yield workspace


def json_of(desk: Desk, *args: str, **options: object) -> dict[str, object]:
    ran = desk(*args, "--json", **options)
    assert ran.code == 0, ran.err
    return ran.json


def files(hub: Hub, revision: str = "main", repo: str = REPO) -> dict[str, bytes]:
    return {path: hub.read(repo, path, revision) for path in hub.repos[repo].find(revision).files}


def told_by_card(hub: Hub) -> str:
    """The code that the card gives to load the model."""
    found = re.search("```python\n(.*?)```", hub.read(REPO, "README.md").decode(), re.DOTALL)
    assert found is not None
    return found[1]


# --- the journey ---------------------------------------------------------------------------------


def test_every_revision_loads_and_gives_its_own_answer(hub, desk, tmp_path):
    france = about("France")
    with new_workspace(tmp_path) as workspace:
        old = answers(workspace, workspace.load(), france)
        done = workspace.update(france, "Rome", how=THOROUGH, accept=True)
        rome = tokens(workspace, france, "Rome")
        assert done.draft.metrics["efficacy"] == 1.0 and old != rome
        edited, base = shard(exported(workspace)), shard(exported(workspace, "base"))
        prompts = asked(workspace, france)
    first = json_of(desk, "push", REPO, "--tag", "v1")
    assert desk("revert", str(done.edit)).code == 0
    second = json_of(desk, "push", REPO, "--tag", "v2")
    third = json_of(desk, "rollback", REPO, "--to", str(first["version"]))
    history = [commit.id for commit in hub.repos[REPO].history("main")]
    assert history[:3] == [third["commit"], second["commit"], first["commit"]]
    assert [each["version"] for each in json_of(desk, "log", REPO)] == [
        *(one["version"] for one in (third, second, first))
    ]
    assert hub.repos[REPO].tag_messages["v1"].startswith("kn-edit: version")

    revisions = ["v1", "v2", "main", first["commit"]]
    code = ASK.replace("REVISIONS", repr(revisions)).replace("PROMPTS", repr(prompts))
    done = hub_client(hub, told_by_card(hub) + code)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said == {"v1": rome, "v2": old, "main": rome, first["commit"]: rome}
    assert hub.read(REPO, "model.safetensors", "v1") == edited
    assert hub.read(REPO, "model.safetensors", "v2") == base
    assert files(hub) == files(hub, "v1")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_published_checkpoint_is_the_exported_one(shape, hub, desk, tmp_path):
    with new_workspace(tmp_path, shape) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        folder = contents(exported(workspace))
    assert desk("push", REPO).code == 0
    found = files(hub)
    assert {path: found[path] for path in folder} == folder
    rest = {path for path in found if path not in folder and not path.startswith("kn_edit/")}
    assert rest == {".gitattributes", "README.md", "kn_edit.json"}


# --- what travels --------------------------------------------------------------------------------


def test_pushing_the_same_version_again_does_nothing(hub, desk, workspace):
    first = json_of(desk, "push", REPO, "--tag", "v1")
    sent = hub.received()
    for again in (("--tag", "v1"), ()):
        second = json_of(desk, "push", REPO, *again)
        assert (second["commit"], second["made"], second["sent"]) == (first["commit"], False, {})
    assert hub.received() == sent
    places = json_of(desk, "show", "head")["published"]
    assert [(one["repo"], one["commit"], one["tag"]) for one in places] == [
        (REPO, first["commit"], "v1"),
        (REPO, first["commit"], None),
    ]
    people = desk("show", "head").out
    assert f"{str(first['commit'])[:12]}  {REPO}@main as checkpoint, tag v1" in people
    assert "v1" in desk("log", REPO).out


def test_only_shards_with_touched_tensors_travel(hub, desk, tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    plainly_loaded(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink()
    names = {path.name for path in folder.glob("*.safetensors")}
    assert len(names) > 3
    with new_workspace(tmp_path) as workspace:
        first = json_of(desk, "push", REPO)
        assert names | {"model.safetensors.index.json"} <= first["sent"].keys()
        edit = workspace.update(about("France"), "Rome", how=quick((1, 5)), accept=True)
        touched = workspace.engine.shards.entry("model.layers.1.mlp.down_proj.weight").file
        out = exported(workspace)
    second = json_of(desk, "push", REPO)
    history = {f"kn_edit/{edit.edit}.{kind}" for kind in ("json", "safetensors")}
    card = {"README.md", "kn_edit.json", "kn_edit/published.json"}
    assert second["sent"].keys() == {touched} | history | card
    assert {name: hub.read(REPO, name) for name in names} == {
        name: (out / name).read_bytes() for name in names
    }


@pytest.mark.parametrize("form", ["adapter", "delta"])
def test_a_small_form_is_small(form, hub, desk, workspace):
    pushed = json_of(desk, "push", REPO, "--as", form)
    assert sum(pushed["sent"].values()) < 100_000
    assert hub.received() < 100_000
    assert "model.safetensors" not in files(hub)


def test_peft_loads_a_published_adapter_to_the_versions_weights(hub, desk, workspace, tmp_path):
    import torch

    assert desk("push", REPO, "--as", "adapter").code == 0
    config = json.loads(files(hub)["adapter_config.json"])
    assert config["base_model_name_or_path"] is None, "no folder of this machine is published"
    code = told_by_card(hub).replace("the-base-model", str(tmp_path / "model"))
    code += SAVE.replace("OUT", repr(str(tmp_path / "merged")))
    done = hub_client(hub, code)
    assert done.returncode == 0, done.stderr
    merged = torch.load(tmp_path / "merged")
    version = plainly_loaded(exported(workspace)).state_dict()
    assert all(torch.allclose(merged[name], version[name], atol=1e-6) for name in version)


def test_another_form_takes_the_place_of_the_first_and_leaves_the_files_of_others(
    hub, desk, workspace
):
    assert desk("push", REPO, "--as", "adapter").code == 0
    hub.commit(REPO, {"notes.txt": b"n", "adapter_config.json": b"{}", "kn_edit/mine": b"m"})
    assert desk("push", REPO, "--as", "checkpoint").code == 0
    found = files(hub)
    assert "adapter_model.safetensors" not in found, "it was as kn-edit had pushed it"
    assert found["adapter_config.json"] == b"{}", "somebody changed it, so it is theirs"
    assert (found["notes.txt"], found["kn_edit/mine"]) == (b"n", b"m")


def test_what_else_lies_beside_a_model_stays_at_home(hub, desk, tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    for name in ("optimizer.pt", ".env", "train.py", "notes.md", "pytorch_model.bin"):
        (folder / name).write_bytes(b"secret")
    (folder / "LICENSE").write_bytes(b"MIT")
    with new_workspace(tmp_path):
        assert desk("push", REPO).code == 0
    found = files(hub)
    assert found["LICENSE"] == b"MIT"
    assert b"secret" not in {*found.values()}


# --- names: branches, tags, pull requests --------------------------------------------------------


def test_a_branch_is_made_and_a_tag_never_moves(hub, desk, workspace):
    one = json_of(desk, "push", REPO, "--branch", "edits/one", "--tag", "v1")
    assert hub.head(REPO, "edits/one") == hub.head(REPO, "v1") == one["commit"]
    assert "model.safetensors" not in files(hub)
    sent = hub.received()
    refused = desk("push", REPO, "--version", "base", "--tag", "v1")
    assert refused.code == 3 and "tag v1" in refused.err
    assert hub.received("PUT") + hub.received("POST", "/commit/") <= sent
    assert hub.repos[REPO].find("main").title == "initial commit"
    log = json_of(desk, "log", f"{REPO}@edits/one")
    assert [one["refs"] for one in log] == [["edits/one", "v1"]]
    assert json_of(desk, "log", REPO) == []


def test_a_stranger_offers_a_pull_request_once(hub, desk, workspace):
    assert desk("push", REPO, "--version", "base").code == 0
    main, eve = hub.head(REPO), hub.token("eve")
    hub.fault("POST", "/commit/", lose_answer=True)
    first = json_of(desk, "push", REPO, "--pr", token=eve)
    assert (first["pull_request"], first["made"]) == ("refs/pr/1", True)
    again = json_of(desk, "push", REPO, "--pr", token=eve)
    assert (again["pull_request"], again["made"], again["sent"]) == ("refs/pr/1", False, {})
    assert len(hub.repos[REPO].pulls) == 1 and hub.head(REPO) == main
    assert hub.read(REPO, "model.safetensors", "refs/pr/1") == shard(exported(workspace))


# --- who may ------------------------------------------------------------------------------------


REFUSED = {
    "nobody": ((REPO,), None, 5, "log in"),
    "a forged token": ((REPO,), "hf_forged", 5, "log in"),
    "a token that reads": ((REPO,), "hf_ann_read", 5, "can only read"),
    "somebody else's": (("bob/model",), TOKEN, 5, "may not write"),
    "somebody else's, not there": (("bob/none",), TOKEN, 5, "belongs to bob"),
    "hidden": (("bob/hidden",), TOKEN, 5, "belongs to bob"),
    "dots": (("ann/../model",), TOKEN, 2, "owner/name"),
    "dots in a name": (("ann/mo..del",), TOKEN, 2, "owner/name"),
    "a space": (("ann/my model",), TOKEN, 2, "owner/name"),
    "no owner": (("model",), TOKEN, 2, "owner/name"),
    "a bad branch": ((REPO, "--branch", "a..b"), TOKEN, 2, "branch or a tag"),
    "a tag like a commit": ((REPO, "--tag", "deadbeef"), TOKEN, 2, "branch or a tag"),
    "public": ((REPO, "--private"), TOKEN, 3, "public"),
    "a tag on an offer": ((REPO, "--pr", "--tag", "v1"), TOKEN, 2, "--pr"),
    "a rank": ((REPO, "--as", "adapter", "--max-rank", "1"), TOKEN, 2, "rank"),
}


@pytest.fixture(scope="module")
def edited(tmp_path_factory) -> Path:
    """A workspace with an edit, for tests that leave it as it is."""
    with new_workspace(tmp_path_factory.mktemp("edited")) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (0, 4)), accept=True)
        return workspace.folder


@pytest.fixture
def guarded(hub, desk, edited) -> Iterator[Desk]:
    """A Hub with repositories of two people, and a workspace with an edit."""
    desk.workspace, before = edited, contents(edited)
    hub.token("ann", "read")
    hub.create(REPO)
    hub.create("bob/model")
    hub.create("bob/hidden", private=True)
    yield desk
    assert contents(edited) == before


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not_is_refused_before_a_byte_is_sent(case, guarded):
    args, token, code, words = REFUSED[case]
    before = len(guarded.hub.log)
    ran = guarded("push", *args, token=token)
    assert ran.code == code, ran.err
    assert words in ran.err and len(ran.err.splitlines()) == 1
    assert sum(each.received for each in guarded.hub.log[before:]) == 0
    assert code != 2 or case == "a rank" or len(guarded.hub.log) == before


@pytest.mark.parametrize("command", ["pull", "log"])
def test_a_private_repository_is_not_there_for_a_stranger(command, guarded):
    ran = guarded(command, "bob/hidden", token=None)
    assert ran.code == 5 and "no model bob/hidden" in ran.err
    assert guarded("rollback", "bob/model", "--to", "v1").code == 5


def test_a_new_repository_can_be_private(hub, desk, workspace):
    assert desk("push", "ann/mine", "--private").code == 0
    assert hub.repos["ann/mine"].private
    assert desk("push", "ann/mine", "--private").code == 0


def test_a_version_that_cannot_be_published_makes_no_repository(hub, desk, workspace):
    for args in (("--version", "base", "--as", "adapter"), ("--version", "none")):
        assert desk("push", REPO, *args).code == 1
    assert desk("rollback", REPO, "--to", "v1").code == 5
    assert REPO not in hub.repos


def test_an_organization_is_as_good_as_oneself(hub, desk, workspace):
    assert desk("push", "lab/new", token=hub.token("ann", orgs=["lab"])).code == 0


def test_a_token_is_nowhere_to_be_found(hub, desk, workspace):
    ran = desk("push", REPO)
    hub.fault("POST", "/commit/", times=9, status=403, body={"error": "no"})
    failed = desk("push", REPO, "--version", "base")
    assert failed.code == 5
    assert TOKEN not in ran.out + ran.err + failed.out + failed.err
    kept = b"".join(path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept + b"".join(files(hub).values())


# --- what the Hub does to files ------------------------------------------------------------------


def test_a_file_that_the_repository_ignores_stops_the_push(hub, desk, workspace):
    hub.create(REPO)
    hub.commit(REPO, {".gitignore": b"tokenizer.json\n"})
    head = hub.head(REPO)
    ran = desk("push", REPO)
    assert ran.code == 3 and "keeps out tokenizer.json" in ran.err
    assert hub.head(REPO) == head


def test_what_stands_on_the_hub_is_compared_with_what_was_sent(hub, desk, workspace):
    hub.create(REPO)

    def meddle() -> None:
        made = hub.repos[REPO].find("main")
        wrong = hub.repos[REPO].stored("model.safetensors", b"other", "main")
        made.files["model.safetensors"] = wrong

    hub.fault("GET", "/tree/", after=1, meanwhile=meddle)
    ran = desk("push", REPO, "--tag", "v1", "--json")
    assert ran.code == 4
    assert ran.error["detail"]["files"] == ["model.safetensors"]
    assert "refs/tags/v1" not in hub.repos[REPO].refs


@pytest.mark.parametrize("where", ["/lfs/", "/commit/"])
def test_ctrl_c_leaves_the_ledger_whole_and_says_what_the_hub_may_have(
    where, hub, workspace, tmp_path
):
    hub.create(REPO)
    hub.fault("PUT" if where == "/lfs/" else "POST", where, times=FOREVER, wait=FOREVER)
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "push", REPO, "--workspace", str(workspace.folder)],
        env=hub_env(hub.url, tmp_path / "home", TOKEN),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not hub.requests(path=where):
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert said.splitlines()[-1].startswith(f"stopped; {REPO} may have the commit already")
    assert workspace.ledger.publications() == [] and workspace.verify() == []
    assert not [*(workspace.folder / ".kn-edit").glob("push-*")]


def test_nothing_is_left_in_the_workspace(hub, desk, workspace):
    ledger = workspace.folder / ".kn-edit"
    before = {path.name for path in ledger.iterdir()}
    assert desk("push", REPO).code == 0
    hub.fault("PUT", "/lfs/", times=FOREVER, drop=True)
    assert desk("push", "ann/other").code == 5
    assert {path.name for path in ledger.iterdir()} == before


@pytest.mark.parametrize("name", ["a/b", "a-b/c.d_e", "A1/x"])
def test_names_of_repositories(name):
    assert check_repo(name) == name


@pytest.mark.parametrize("name", ["main", "v1.0", "edits/one", "2024"])
def test_names_of_branches_and_tags(name):
    assert check_revision(name) == name


# --- the card ------------------------------------------------------------------------------------


def test_the_card_says_where_a_model_comes_from_and_what_was_changed(hub, desk, tmp_path):
    folder = tiny_folder("llama", tmp_path / "base")
    card = b"---\nlicense: mit\nlanguage: en\n---\n# Base\n"
    hub.create("org/base")
    base = {path.name: path.read_bytes() for path in folder.iterdir()} | {"README.md": card}
    commit = hub.commit("org/base", base).id
    assert desk("init", "org/base").code == 0
    with Workspace.open(tmp_path / "work") as workspace:
        edit = workspace.update(about("France"), "Rome", how=THOROUGH, accept=True)
    assert desk("push", REPO).code == 0
    text = hub.read(REPO, "README.md").decode()
    assert opinion(text) == ([], [])
    data = ModelCard(text).data
    assert (data.base_model, data.license) == ("org/base", "mit")
    assert data.to_dict()["base_model_relation"] == "finetune"
    assert {"model-editing", "knowledge-neurons"} <= {*data.tags}
    assert (data.library_name, data.pipeline_tag) == ("transformers", "text-generation")
    measured = {one.metric_type: one.metric_value for one in data.eval_results}
    assert measured["efficacy"] == edit.draft.metrics["efficacy"] == 1.0
    assert measured["neutral_after"] == round(edit.draft.metrics["neutral_after"], 4)
    for said in (commit, str(edit.edit), "capital: France | Paris | Rome | 64", "kn-edit revert"):
        assert said in text
    assert ("although the gate refused" in text) == bool(edit.draft.faults)
    assert desk("push", REPO, "--as", "adapter").code == 0
    data = ModelCard(hub.read(REPO, "README.md").decode()).data
    assert data.to_dict()["base_model_relation"] == "adapter"
    assert data.library_name == "peft"


@pytest.mark.parametrize("form", ["checkpoint", "adapter", "delta"])
def test_every_card_pleases_the_hub(form, hub, desk, workspace):
    assert desk("push", REPO, "--as", form, "--license", "apache-2.0").code == 0
    text = hub.read(REPO, "README.md").decode()
    assert opinion(text) == ([], [])
    assert ModelCard(text).data.license == "apache-2.0"
    assert "although the gate refused them:\n\n- `" in text  # its edits were accepted
    assert "the new answer is first on 0% of its own prompts" in text


@pytest.mark.parametrize("keyword", ["license", "licence"])
def test_python_users_name_the_license_by_either_spelling(keyword, hub, workspace):
    code = f"""
from kn_edit.workspace import Workspace
from kn_edit.workspace.publishing import PushSettings
from kn_edit.workspace.verbs.hub import PushOptions

with Workspace.open({str(workspace.folder)!r}) as workspace:
    workspace.push({REPO!r}, form="delta", branch="mine", tag="v1", {keyword}="mit")
"""
    hub.create(REPO)
    done = hub_client(hub, code, token=TOKEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert ModelCard(hub.read(REPO, "README.md", "v1").decode()).data.license == "mit"


def test_a_keyword_that_push_does_not_have_is_a_type_error(workspace):
    assert PushOptions.__annotations__.keys() == {field.name for field in fields(PushSettings)}
    with pytest.raises(TypeError, match="brnch"):
        workspace.push(REPO, brnch="mine")  # type: ignore[call-arg]


def test_a_license_that_the_hub_does_not_know_stops_the_push(hub, desk, workspace):
    hub.create(REPO)
    head = hub.head(REPO)
    ran = desk("push", REPO, "--license", "Apache-2.0")
    assert ran.code == 1 and "--license" in ran.err
    assert hub.head(REPO) == head


def test_what_facts_say_stays_in_its_cell(hub, desk, tmp_path):
    from workspaces import TEMPLATES

    from kn_edit.facts import Fact, Relation
    from kn_edit.workspace import Case

    subject = "France | <script> [x](y) `z`"
    relation = Relation("capital", TEMPLATES, (Fact("capital", subject, "Paris"),))
    with new_workspace(tmp_path) as workspace:
        case = Case(relation, relation.fact(subject))
        workspace.update(case, "Rome", how=quick((0, 3)), accept=True)
    assert desk("push", REPO).code == 0
    text = hub.read(REPO, "README.md").decode()
    assert "France \\| \\<script\\> \\[x\\](y) \\`z\\`" in text


def test_a_card_does_not_depend_on_the_ledger(hub, desk, workspace, tmp_path):
    assert desk("push", REPO).code == 0
    shutil.copytree(tmp_path / "model", tmp_path / "elsewhere" / "copy")
    Workspace.init(str(tmp_path / "elsewhere" / "copy"), tmp_path / "two").close()
    second: Path = tmp_path / "two"
    assert desk("pull", REPO, workspace=second).code == 0
    assert json_of(desk, "push", REPO, workspace=second)["made"] is False
