"""The base model of a workspace: what makes it another one, and how it is found where it went."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_folder
from workspaces import QUICK, about, contents, new_workspace

from kn_edit.errors import (
    BaseChanged,
    BaseFilesChanged,
    BaseFolderMissing,
    CheckpointFolderMissing,
    ExitCode,
    OtherBase,
)
from kn_edit.models.companions import companion_files
from kn_edit.workspace import Workspace


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def edited(tmp_path) -> Workspace:
    """A workspace with one edit, not opened."""
    with new_workspace(tmp_path) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
    return workspace


def changed_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- what lies beside the weights -----------------------------------------------------------------


def test_the_files_beside_the_weights_are_noted(tmp_path):
    with new_workspace(tmp_path) as workspace:
        assert workspace.base.files == companion_files(tmp_path / "model")
        assert {"config.json", "tokenizer.json"} <= workspace.base.files.keys()
        assert not [name for name in workspace.base.files if name.endswith(".safetensors")]


@pytest.mark.parametrize("way", ["changed", "gone", "new"])
def test_a_model_with_other_files_beside_its_weights_does_not_run(way, edited, tmp_path):
    name = {"changed": "config.json", "gone": "generation_config.json", "new": "added_tokens.json"}
    file = tmp_path / "model" / name[way]
    before = file.read_bytes() if file.exists() else None
    if way == "changed":
        changed_json(file, rms_norm_eps=10.0)
    elif way == "gone":
        file.unlink()
    else:
        file.write_text("{}")
    with Workspace.open(tmp_path / "work") as workspace:
        verbs = {
            "assess": lambda: workspace.assess(about("France")),
            "update": lambda: workspace.update(about("Japan"), "Rome", how=QUICK, accept=True),
            "load": workspace.load,
            "export": lambda: workspace.export(tmp_path / "out"),
        }
        for verb in verbs.values():
            with pytest.raises(
                BaseFilesChanged, match=rf"{file.name}.*accept_files=True"
            ) as refusal:
                verb()
            assert refusal.value.exit_code == ExitCode.INTEGRITY
        assert not (tmp_path / "out").exists()
        problems = workspace.verify()
        assert [(problem.part, Path(problem.subject)) for problem in problems] == [("base", file)]
        workspace.revert(workspace.head.edits[0])  # a question of the weights alone
    if before is None:
        file.unlink()
    else:
        file.write_bytes(before)
    with Workspace.open(tmp_path / "work") as workspace:
        assert workspace.verify() == []
        assert workspace.assess(about("France"))


def test_files_that_were_corrected_are_accepted_on_purpose(edited, tmp_path):
    changed_json(tmp_path / "model" / "config.json", rms_norm_eps=1e-5)
    with Workspace.open(tmp_path / "work") as workspace:
        with pytest.raises(BaseFilesChanged):
            workspace.set_base(tmp_path / "model")
        workspace.set_base(tmp_path / "model", accept_files=True)
        assert workspace.assess(about("France"))
        assert workspace.verify() == []


def test_a_ledger_that_noted_no_files_asks_for_none(edited, tmp_path):
    with Workspace.open(tmp_path / "work") as workspace:
        workspace.ledger.set_base(workspace.base.source, None)
    changed_json(tmp_path / "model" / "config.json", rms_norm_eps=1e-5)
    with Workspace.open(tmp_path / "work") as workspace:
        assert workspace.verify() == []
        assert workspace.assess(about("France"))


def test_scores_of_another_configuration_are_not_taken(tmp_path):
    """The same tensors and another config.json are another model."""

    def located(name: str, eps: float) -> tuple[list[object], list[float]]:
        folder = tmp_path / name
        changed_json(tiny_folder("llama", folder / "model") / "config.json", rms_norm_eps=eps)
        with Workspace.init(folder / "model", folder / "work") as workspace:
            fact = workspace.locate(about("France"), search=QUICK.search)
            return list(fact.neurons), [prompt.p for prompt in fact.prompts]

    old = located("old", 1e-6)
    shared = located("new", 10.0)
    shutil.rmtree(tmp_path / "cache")
    assert located("fresh", 10.0) == shared != old


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"p": 1}', "NaN", "[" * 500, '{"neurons": [[99, 0, 1]]}', "null", "true"],
)
def test_a_cache_of_any_content_costs_time_only(text, tmp_path):
    with new_workspace(tmp_path) as workspace:
        first = workspace.locate(about("France"), search=QUICK.search)
        files = list((tmp_path / "cache").rglob("*.json"))
        assert files
        for path in files:
            path.write_text(text)
        assert workspace.locate(about("France"), search=QUICK.search) == first


@pytest.mark.parametrize(
    "change",
    [
        {"p": 7.0},
        {"p": float("nan")},
        {"neurons": [[99, 0, 1.0]]},
        {"neurons": [[0, -1, 1.0]]},
        {"neurons": [[0, True, 1.0]]},
        {"neurons": [[0, 1, 1e999]]},
        {"neurons": [[0, 1, 0.5], [0, 2, 0.9]]},
        {"gap": [0.0] * 99},
        {"prompt": 3},
        {"reached": "yes"},
    ],
)
def test_scores_that_the_model_cannot_have_given_are_computed_again(change, tmp_path):
    with new_workspace(tmp_path) as workspace:
        first = workspace.locate(about("France"), search=QUICK.search)
        for path in (tmp_path / "cache").rglob("*.json"):
            if path.read_text().startswith("{"):
                changed_json(path, **change)
        assert workspace.locate(about("France"), search=QUICK.search) == first


# --- where the weights are ------------------------------------------------------------------------


def test_a_base_that_was_moved_is_found_again_where_the_user_says(edited, tmp_path):
    (tmp_path / "model").rename(tmp_path / "moved")
    with Workspace.open(tmp_path / "work") as workspace:
        with pytest.raises(BaseFolderMissing, match=r"workspace\.set_base\(FOLDER\)"):
            workspace.export(tmp_path / "out")
        record = workspace.set_base(str(tmp_path / "moved"))
        assert record.source == str(tmp_path / "moved")
        workspace.export(tmp_path / "out")
        assert workspace.verify() == []
        assert workspace.update(about("Japan"), "Rome", how=QUICK, accept=True).version
    with Workspace.open(tmp_path / "work") as workspace:
        assert workspace.base.source == str(tmp_path / "moved")


def test_a_copy_of_the_base_serves_while_the_old_one_stands(edited, tmp_path):
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    with Workspace.open(tmp_path / "work") as workspace:
        workspace.engine.model  # noqa: B018  the old one is loaded
        workspace.set_base(tmp_path / "copy")
        shutil.rmtree(tmp_path / "model")
        assert workspace.engine.shards.folder == tmp_path / "copy"


def test_another_model_is_not_taken_for_the_base(edited, tmp_path):
    other = tiny_folder("llama", tmp_path / "other", seed=1)
    before = contents(tmp_path / "work")
    with Workspace.open(tmp_path / "work") as workspace:
        with pytest.raises(OtherBase) as refusal:
            workspace.set_base(other)
        assert workspace.base.fingerprint[:12] in str(refusal.value)
        with pytest.raises(CheckpointFolderMissing):
            workspace.set_base(tmp_path / "nowhere")
    after = contents(tmp_path / "work")
    assert {name: after[name] for name in after if not name.endswith(("-wal", "-shm"))} == {
        name: before[name] for name in before if not name.endswith(("-wal", "-shm"))
    }


def test_saying_again_where_the_base_lies_records_nothing(edited, tmp_path):
    with Workspace.open(tmp_path / "work") as workspace:
        steps = workspace.log()
        workspace.set_base(tmp_path / "model")
        assert workspace.log() == steps


# --- weights that changed -------------------------------------------------------------------------


def corrupted(folder: Path, tensor: str) -> None:
    """Change one number of a tensor, and keep size, time and inode of the file."""
    path = folder / "model.safetensors"
    stat = path.stat()
    tensors = load_file(path)
    tensors[tensor].view(torch.int32).view(-1)[0] ^= 1
    save_file(tensors, folder.parent / "scratch", {"format": "pt"})
    with path.open("r+b") as file:
        file.write((folder.parent / "scratch").read_bytes())
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


@pytest.mark.parametrize("tensor", ["model.embed_tokens.weight", "model.norm.weight"])
def test_a_base_that_changed_with_size_and_time_kept_is_not_exported(tensor, edited, tmp_path):
    corrupted(tmp_path / "model", tensor)
    with Workspace.open(tmp_path / "work") as workspace, pytest.raises(BaseChanged):
        workspace.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_fault_that_no_time_tells_of_is_seen_in_the_copy(edited, tmp_path):
    with Workspace.open(tmp_path / "work") as workspace:
        assert workspace.engine.shards  # checked, and then the disk fails
        corrupted(tmp_path / "model", "model.embed_tokens.weight")
        with pytest.raises(BaseChanged):
            workspace.export(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == []
