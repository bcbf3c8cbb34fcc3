"""Making and finding workspaces: what is refused, and that nothing is written then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_folder
from workspaces import QUICK, about, contents, new_workspace

from kn_edit.errors import (
    BadPath,
    CheckpointFolderMissing,
    CheckpointUnloadable,
    ConfigMissing,
    ExitCode,
    KnEditError,
    LedgerExists,
    NoLedger,
    NoWeights,
    NoWorkspace,
    PickleWeights,
    QuantisedWeights,
    SharedLayers,
    UnknownFamily,
)
from kn_edit.models.shards import Shards
from kn_edit.workspace import Workspace


@pytest.fixture(autouse=True)
def nothing_chosen(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KN_EDIT_WORKSPACE", raising=False)


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_init_pins_the_model_by_its_fingerprint(dtype, tmp_path):
    torch_dtype = {"F32": torch.float32, "BF16": torch.bfloat16}[dtype]
    with new_workspace(tmp_path, "gpt2", torch_dtype) as workspace:
        base = workspace.base
        assert (base.name, base.repo, base.revision) == ("model", None, None)
        assert (base.model_type, base.dtype) == ("gpt2", dtype)
        assert base.source == str(tmp_path / "model")
        assert base.fingerprint == Shards.open(tmp_path / "model").fingerprint()
        assert workspace.head.edits == ()
        assert [step.kind for step in workspace.log()] == ["init"]
        assert workspace.verify() == []


def test_init_refuses_a_second_time_and_keeps_what_is_there(tmp_path):
    with new_workspace(tmp_path) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        head = workspace.head
    before = contents(tmp_path / "work")
    other = tiny_folder("gpt2", tmp_path / "other")
    for model in (str(tmp_path / "model"), str(other), "demo", "/no/such"):
        with pytest.raises(LedgerExists, match="already") as refusal:
            Workspace.init(model, tmp_path / "work")
        assert refusal.value.exit_code == ExitCode.CONFLICT
    assert contents(tmp_path / "work") == before
    with Workspace.open(tmp_path / "work") as again:
        assert again.head == head


def checkpoint(folder: Path, config: object, file: str | None = "model.safetensors") -> str:
    folder.mkdir()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    if file == "model.safetensors":
        save_file({"weight": torch.zeros(2, 2)}, folder / file)
    elif file is not None:
        (folder / file).write_bytes(b"\x80\x02}.")
    return str(folder)


QUANTISED = {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}
REFUSED = {
    "albert": ({"model_type": "albert"}, "model.safetensors", SharedLayers),
    "unknown": ({"model_type": "mamba"}, "model.safetensors", UnknownFamily),
    "untold": ({}, "model.safetensors", UnknownFamily),
    "pickle": ({"model_type": "llama"}, "pytorch_model.bin", PickleWeights),
    "quantised": (QUANTISED, "model.safetensors", QuantisedWeights),
    "gguf": ({"model_type": "llama"}, "model.gguf", QuantisedWeights),
    "empty": ({"model_type": "llama"}, None, NoWeights),
    "no-config": (None, "model.safetensors", ConfigMissing),
}


@pytest.mark.parametrize(("config", "file", "error"), REFUSED.values(), ids=REFUSED)
def test_a_model_that_cannot_be_edited_is_refused_and_nothing_is_written(
    config, file, error, tmp_path, monkeypatch
):
    model = checkpoint(tmp_path / "model", config, file)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = everything(tmp_path)
    for folder in (None, tmp_path / "new" / "deep"):
        with pytest.raises(error) as refusal:
            Workspace.init(model, folder)
        assert isinstance(refusal.value, KnEditError)
        assert "\n" not in str(refusal.value)
    assert everything(tmp_path) == before


def test_weights_whose_configuration_says_nothing_are_kept_and_not_asked(tmp_path):
    """A history of them can be kept; only asking needs a model."""
    model = checkpoint(tmp_path / "model", {"model_type": "llama"})
    with Workspace.init(model, tmp_path / "work") as workspace:
        assert workspace.verify() == []
        assert workspace.export(tmp_path / "out").is_dir()
        with pytest.raises(CheckpointUnloadable):
            workspace.assess(about("France"))


def test_an_unknown_family_says_how_to_add_one(tmp_path):
    model = checkpoint(tmp_path / "model", {"model_type": "mamba"})
    with pytest.raises(UnknownFamily, match=r"mamba.*kn_edit/models/families\.py"):
        Workspace.init(model, tmp_path)


def test_a_model_that_is_not_there_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(CheckpointFolderMissing):
        Workspace.init(str(tmp_path / "none"), tmp_path / "work")
    assert everything(tmp_path) == []


def test_a_workspace_is_found_upwards(tmp_path, monkeypatch):
    new_workspace(tmp_path).close()
    inner = tmp_path / "work" / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    with Workspace.open() as workspace:
        assert workspace.folder == tmp_path / "work"
    with pytest.raises(NoWorkspace):  # a folder that was named is not searched above
        Workspace.open(inner)


def test_outside_of_a_workspace_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            NoWorkspace, match=r"no workspace in .*Workspace\.init\('demo'\)"
        ) as refusal:
            Workspace.open(folder)
        assert refusal.value.exit_code == ExitCode.USAGE
    assert everything(tmp_path) == []


def test_a_variable_names_the_workspace_and_an_argument_wins(tmp_path, monkeypatch):
    model = str(tiny_folder("llama", tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KN_EDIT_WORKSPACE", str(tmp_path / "chosen"))
    with pytest.raises(NoWorkspace, match="chosen"):
        Workspace.open()
    Workspace.init(model).close()
    assert (tmp_path / "chosen" / ".kn-edit" / "ledger.db").is_file()
    assert not (tmp_path / ".kn-edit").exists()
    Workspace.init(model, tmp_path / "named").close()
    with Workspace.open() as workspace:
        assert workspace.folder == tmp_path / "chosen"
    with Workspace.open(tmp_path / "named") as workspace:
        assert workspace.folder == tmp_path / "named"


def test_a_folder_of_a_workspace_without_its_ledger_says_so(tmp_path):
    (tmp_path / ".kn-edit").mkdir()
    with pytest.raises(NoLedger, match=r"`Workspace\.init\(MODEL\)`"):
        Workspace.open(tmp_path)
    assert [path.name for path in everything(tmp_path)] == [".kn-edit"]


def test_a_workspace_may_stand_in_the_folder_of_its_model(tmp_path):
    model = tiny_folder("llama", tmp_path / "model")
    with Workspace.init(str(model), model) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        out = workspace.export(tmp_path / "out")
        assert not (out / ".kn-edit").exists()
        assert workspace.verify() == []


def test_a_named_folder_is_looked_at_alone_and_its_ledger_stands_for_it(tmp_path):
    tiny_folder("llama", tmp_path / "model")
    with Workspace.init(tmp_path / "model", tmp_path / "work") as workspace:
        folder = workspace.folder
    with Workspace.open(folder / ".kn-edit") as workspace:
        assert workspace.folder == folder
    (folder / "below").mkdir()
    with pytest.raises(NoWorkspace) as told:
        Workspace.open(folder / "below")
    assert "above" not in str(told.value)


def test_a_current_folder_that_was_removed_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(BadPath, match="current folder"):
        Workspace.open()
    monkeypatch.undo()
