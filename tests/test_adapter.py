"""Small forms of a version: a LoRA that PEFT merges to its weights, and a sparse patch."""

from __future__ import annotations

import json
import warnings
from itertools import product

import pytest
import torch
from safetensors.torch import load_file
from samples import sampled
from workspaces import (
    CAPITAL,
    DTYPES,
    SHAPES,
    about,
    exported,
    logits,
    new_workspace,
    plainly_loaded,
    quick,
)

from kn_edit.errors import NothingToExport, RankTooHigh, TargetInsideLedger
from kn_edit.models.families import FAMILIES, module_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from peft import PeftModel

EPSILON = {torch.float32: 2**-24, torch.float16: 2**-11, torch.bfloat16: 2**-8}


@pytest.fixture(scope="module", params=sampled(product(SHAPES, DTYPES), 5, seed=3), ids=str)
def workspace(request, tmp_path_factory):
    """Two updates that meet in a slot, and an erasure: shifts, sums and set slots."""
    shape, dtype = request.param
    with new_workspace(tmp_path_factory.mktemp("adapter"), shape, dtype) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        workspace.update(about("Japan"), "Cairo", how=quick((1, 5), (1, 9)), accept=True)
        workspace.erase(CAPITAL, how=quick(top=2, zero=True), accept=True)
        yield workspace


@pytest.mark.filterwarnings("ignore")
def test_peft_loads_the_adapter_and_merges_it_to_the_versions_weights(workspace, tmp_path):
    folder = workspace.export(tmp_path / "adapter", form="adapter")
    assert sorted(file.name for file in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    base = plainly_loaded(workspace.engine.shards.folder)
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    adapted = PeftModel.from_pretrained(base, folder)
    version = plainly_loaded(exported(workspace))
    largest = float(logits(version).abs().max())
    step = 64 * EPSILON[version.dtype] * max(largest, 1.0)
    assert torch.allclose(logits(adapted).float(), logits(version).float(), atol=step)
    merged = adapted.merge_and_unload().state_dict()
    touched = 0
    for name, weight in version.state_dict().items():
        if weight.equal(before[name]):
            assert merged[name].equal(before[name])
            continue
        touched += 1
        # The shift is rounded to the dtype, and so is the sum.
        size = torch.maximum(weight.abs(), before[name].abs()).double()
        room = 4 * EPSILON[version.dtype] * size + torch.finfo(version.dtype).tiny
        assert bool(((merged[name].double() - weight.double()).abs() <= room).all())
    assert touched == len(workspace.ledger.version("head").digests)


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_a_local_base_finds_its_base(tmp_path):
    from peft import AutoPeftModelForCausalLM

    with new_workspace(tmp_path) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        folder = workspace.export(tmp_path / "adapter", form="adapter")
        version = plainly_loaded(exported(workspace))
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "model")
    adapted = AutoPeftModelForCausalLM.from_pretrained(str(folder))
    assert torch.allclose(logits(adapted), logits(version), atol=1e-4)


def test_the_same_version_gives_the_same_bytes(workspace, tmp_path):
    for form in ("adapter", "patch"):
        one = workspace.export(tmp_path / f"{form}1", form=form)
        two = workspace.export(tmp_path / f"{form}2", form=form)
        assert {f.name: f.read_bytes() for f in one.iterdir()} == {
            f.name: f.read_bytes() for f in two.iterdir()
        }


def test_a_patch_holds_the_new_numbers_and_no_others(workspace, tmp_path):
    folder = workspace.export(tmp_path / "patch", form="patch")
    patch = load_file(folder / "patch.safetensors")
    base = {name: workspace.engine.shards.read(name) for name in workspace.engine.shards.entries}
    version = load_file(exported(workspace) / "model.safetensors")
    for name, weight in base.items():
        if f"{name}.idx" in patch:
            index, value = patch.pop(f"{name}.idx"), patch.pop(f"{name}.val")
            assert value.dtype == weight.dtype
            assert index.tolist() == sorted(set(index.tolist()))
            flat = weight.flatten()
            whole = {2: torch.int16, 4: torch.int32}[weight.element_size()]
            assert not bool((flat[index].view(whole) == value.view(whole)).any())
            flat[index] = value
        assert weight.equal(version[name])
    assert patch == {}


def test_a_rank_above_the_limit_is_refused_with_the_alternative(workspace, tmp_path):
    with pytest.raises(RankTooHigh, match="form='patch'"):
        workspace.export(tmp_path / "a", form="adapter", most_rank=1)
    assert not (tmp_path / "a").exists()


def test_the_base_itself_has_no_small_form(workspace, tmp_path):
    for form in ("adapter", "patch"):
        with pytest.raises(NothingToExport, match="form='checkpoint'"):
            workspace.export(tmp_path / form, version="base", form=form)


def test_the_config_names_rank_and_scale_of_every_module(workspace, tmp_path):
    folder = workspace.export(tmp_path / "adapter", form="adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert config["r"] == config["lora_alpha"] == max(config["rank_pattern"].values())
    modules = dict(plainly_loaded(workspace.engine.shards.folder).named_modules())
    assert set(config["target_modules"]) == set(config["rank_pattern"]) <= set(modules)


@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_a_module_is_found_with_and_without_the_prefix_of_the_task(prefix):
    stored = f"{prefix}encoder.layer.3.output.dense.weight"
    assert module_of(FAMILIES["bert"], stored) == "bert.encoder.layer.3.output.dense"


@pytest.mark.parametrize("form", ["checkpoint", "delta", "adapter", "patch"])
def test_no_export_is_written_into_a_ledger(workspace, form):
    target = workspace.ledger_folder / "blobs" / "out"
    with pytest.raises(TargetInsideLedger):
        workspace.export(target, form=form)
    assert not target.exists()
