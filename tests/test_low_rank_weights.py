"""Low-rank changes in checkpoints, adapters and patches."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from tensor_folds import fold_weight
from test_export import (
    BASE,
    D_FF,
    D_MODEL,
    DTYPES,
    base_tensors,
    changes,
    contents,
    loaded,
    raw,
    slots_sha256,
    weight_name,
    write_base,
)

from kn_edit.checkpoints import slots
from kn_edit.checkpoints.adapter import CONFIG, WEIGHTS, adapter_files
from kn_edit.checkpoints.digests import digests
from kn_edit.checkpoints.materialise import export_checkpoint
from kn_edit.checkpoints.patch import patch_of
from kn_edit.checkpoints.recipe import export_deltas, read_deltas
from kn_edit.edits.changes import Change, LowRankChange, Mode
from kn_edit.edits.delta import Delta
from kn_edit.edits.tensors import tensor_of
from kn_edit.errors import DeltaMisfit, RankTooHigh
from kn_edit.models.families import FAMILIES
from kn_edit.models.shards import Shards

LLAMA, GPT2 = FAMILIES["llama"], FAMILIES["gpt2"]


def low_rank(axis: str, seed: int, rank: int = 1) -> LowRankChange:
    rng = torch.Generator().manual_seed(seed)
    u = torch.randn(rank, D_FF, generator=rng)
    return LowRankChange(axis, u, torch.randn(rank, D_MODEL, generator=rng))


def mixed_deltas(axis: str, name=weight_name) -> list[Delta]:
    """Both kinds on one weight, in turns; a second one with one direction, a third with slots."""
    add, put = Mode.ADD, Mode.SET
    return [
        Delta(BASE, {name(0): low_rank(axis, 1, 2), name(1): low_rank(axis, 2)}),
        Delta(BASE, {name(0): changes(axis, [3, 5, 7], [put, add, put], 3)}),
        Delta(BASE, {name(0): low_rank(axis, 4), name(2): changes(axis, [1], [put], 5)}),
        Delta(BASE, {name(0): changes(axis, [7], [add], 6)}),
    ]


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_checkpoint_holds_the_folded_weights_and_nothing_else_changes(
    dtype, axis, sharded, tmp_path
):
    tensors = base_tensors(dtype, axis)
    base = write_base(tmp_path / "base", tensors, sharded=sharded)
    deltas = mixed_deltas(axis)
    expected = digests(base, deltas)
    out = export_checkpoint(base, deltas, tmp_path / "out", expected=expected)
    found = loaded(out)
    for name, weight in tensors.items():
        folded = raw(fold_weight(weight, name, deltas))
        assert raw(found[name]) == folded
        if name == weight_name(2):  # of which single slots are touched
            matrix = fold_weight(weight, name, deltas)
            assert slots_sha256(base.entry(name).dtype, axis, [1], matrix) == expected[name]
        elif name in expected:
            assert hashlib.sha256(folded).hexdigest() == expected[name]
    assert expected.keys() == {weight_name(layer) for layer in range(3)}
    again = export_checkpoint(base, [], tmp_path / "reverted")
    assert contents(again)["config.json"] == contents(out)["config.json"]
    assert Shards.open(again).fingerprint() == base.fingerprint()


def test_a_recipe_folder_holds_both_formats(tmp_path):
    deltas = mixed_deltas("row")
    folder = export_deltas(BASE, deltas, tmp_path / "out")
    recipe, found = read_deltas(folder)
    assert [delta.to_bytes() for delta in found] == [delta.to_bytes() for delta in deltas]
    formats = [
        b"kn-delta/2" in (folder / f"{edit}.safetensors").read_bytes() for edit in recipe.edits
    ]
    assert formats == [True, False, True, False]


@pytest.mark.parametrize("axis", ["row", "column"])
def test_a_patch_gives_the_version_on_top_of_the_base(axis, tmp_path):
    tensors = base_tensors(torch.bfloat16, axis)
    base = write_base(tmp_path / "base", tensors, sharded=True)
    deltas = mixed_deltas(axis)
    patch = patch_of(base, deltas)
    for name in digests(base, deltas):
        flat = tensors[name].clone().flatten()
        index, value = patch[f"{name}.idx"], patch[f"{name}.val"]
        assert index.equal(index.unique())
        assert not bool((flat[index].view(torch.int16) == value.view(torch.int16)).any())
        flat[index] = value
        assert raw(flat) == raw(fold_weight(tensors[name], name, deltas))


# --- adapters ------------------------------------------------------------------------------------


def gpt2_name(layer: int) -> str:
    return f"transformer.h.{layer}.mlp.c_proj.weight"


def sound_base(folder: Path, axis: str, name) -> tuple[Shards, dict[str, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    shape = (D_FF, D_MODEL) if axis == "row" else (D_MODEL, D_FF)
    tensors = {name(layer): torch.randn(shape, generator=rng) for layer in range(3)}
    return write_base(folder, tensors, sharded=False), tensors


def adapted(base: Shards, family, deltas: list[Delta], name: str, weight: torch.Tensor):
    """Rank and weight of a module with the adapter merged, in float64."""
    files = adapter_files(base, BASE, family, deltas, None)
    tensors, config = load(files[WEIGHTS]), json.loads(files[CONFIG])
    module = name.removesuffix(".weight")
    a, b = (
        tensors[f"base_model.model.{module}.lora_{part}.weight"].double() for part in ("A", "B")
    )
    shift = b @ a  # (d_model, d_ff)
    rank = config["rank_pattern"][module]
    assert a.shape[0] == b.shape[1] == rank == config["alpha_pattern"][module] <= config["r"]
    return rank, weight.double() + (shift.T if family.axis == "row" else shift)


@pytest.mark.parametrize(
    ("axis", "family", "name"), [("column", LLAMA, weight_name), ("row", GPT2, gpt2_name)]
)
def test_ranks_add_up_and_the_adapter_gives_the_weights_of_the_version(
    axis, family, name, tmp_path
):
    base, tensors = sound_base(tmp_path / "base", axis, name)
    deltas = mixed_deltas(axis, name)
    ranks = []
    for layer in range(3):
        weight = tensors[name(layer)]
        rank, merged = adapted(base, family, deltas, name(layer), weight)
        folded = fold_weight(weight, name(layer), deltas).double()
        assert torch.allclose(merged, folded, rtol=0, atol=2**-20)
        ranks.append(rank)
    assert ranks == [3 + 3, 1, 1]


@pytest.mark.parametrize("seed", range(8))
def test_any_list_of_both_kinds_gives_the_weights_of_its_version(seed, tmp_path):
    draw = random.Random(seed)
    base, tensors = sound_base(tmp_path / "base", "column", weight_name)
    deltas = []
    for number in range(draw.randint(1, 6)):
        index = sorted(draw.sample(range(D_FF), 3))
        modes = [draw.choice((Mode.ADD, Mode.SET)) for _ in index]
        single = changes("column", index, modes, 10 * seed + number)
        change: Change = draw.choice((single, low_rank("column", 10 * seed + number)))
        deltas.append(Delta(BASE, {weight_name(1): change}))
    weight = tensors[weight_name(1)]
    _, merged = adapted(base, LLAMA, deltas, weight_name(1), weight)
    folded = fold_weight(weight, weight_name(1), deltas).double()
    assert torch.allclose(merged, folded, rtol=0, atol=2**-19)


def test_a_rank_one_change_is_a_rank_one_adapter_of_its_own_factors(tmp_path):
    base, _ = sound_base(tmp_path / "base", "column", weight_name)
    change = low_rank("column", 1)
    files = adapter_files(base, BASE, LLAMA, [Delta(BASE, {weight_name(1): change})], 1)
    tensors, module = load(files[WEIGHTS]), "base_model.model.model.layers.1.mlp.down_proj"
    a, b = (tensors[f"{module}.lora_{part}.weight"] for part in ("A", "B"))
    assert a.equal(tensor_of(change.u)) and b.equal(tensor_of(change.v.T))
    config = json.loads(files[CONFIG])
    assert (config["r"], config["lora_alpha"]) == (1, 1)
    two = [Delta(BASE, {weight_name(1): low_rank("column", seed)}) for seed in (1, 2)]
    with pytest.raises(RankTooHigh, match="rank 2"):
        adapter_files(base, BASE, LLAMA, two, 1)


def test_a_low_rank_change_of_another_model_is_refused_before_anything_is_copied(tmp_path):
    base, _ = sound_base(tmp_path / "base", "column", weight_name)
    wide = LowRankChange("column", torch.ones(1, D_FF + 1), torch.ones(1, D_MODEL))
    delta = Delta(BASE, {weight_name(0): wide})
    for make in (
        lambda: export_checkpoint(base, [delta], tmp_path / "out"),
        lambda: patch_of(base, [delta]),
        lambda: adapter_files(base, BASE, LLAMA, [delta], None),
        lambda: digests(base, [delta]),
    ):
        with pytest.raises(DeltaMisfit, match=r"no neuron 12, only 12|neurons"):
            make()
    assert not (tmp_path / "out").exists()


def test_runs_of_a_whole_weight_may_be_of_any_length(tmp_path, monkeypatch):
    tensors = base_tensors(torch.bfloat16, "column")
    base = write_base(tmp_path / "base", tensors, sharded=False)
    deltas = mixed_deltas("column")
    expected = digests(base, deltas)
    for number, length in enumerate((1, 7, 64, 1 << 20)):
        monkeypatch.setattr(slots, "RUN", length)
        export_checkpoint(base, deltas, tmp_path / f"out{number}", expected=expected)
