"""Quantised checkpoints: the model runs with the numbers that they stand for, and is not edited.

The packers below are written from the formats' definitions, apart from the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_folder
from torch import Tensor
from workspaces import about, known_by

from kn_edit.errors import MalformedCheckpoint, QuantisedWeights
from kn_edit.models.model import load
from kn_edit.models.questions import ask
from kn_edit.neuron import NeuronId
from kn_edit.neurons.intervention import p_when_scaled
from kn_edit.workspace import Workspace

NF4 = (
    *(-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.5626170, 0.72295684, 1.0),
)
GROUP = 16
BASE = "org/whole-model"
Packed = tuple[dict[str, Tensor], Tensor]  # tensors of the file, and what they stand for


def lowest_first(numbers: Tensor, bits: int) -> Tensor:
    """Numbers of a few bits, packed along the first axis into those of 32, (rows, columns)."""
    parts = numbers.to(torch.int64).unflatten(0, (-1, 32 // bits))
    shifts = torch.arange(0, 32, bits)[None, :, None]
    packed = (parts << shifts).sum(1)
    return torch.where(packed >= 1 << 31, packed - (1 << 32), packed).to(torch.int32)


def in_groups(weight: Tensor, bits: int, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Round a weight, (inputs, outputs), to few bits: numbers, zero points and scales of groups."""
    count = int(groups.max()) + 1
    least = torch.stack([weight[groups == group].amin(0) for group in range(count)])
    most = torch.stack([weight[groups == group].amax(0) for group in range(count)])
    scales = ((most - least) / (2**bits - 1)).half().float()
    zeros = (-least / scales).round().clamp(1, 2**bits - 1)
    numbers = (weight / scales[groups] + zeros[groups]).round().clamp(0, 2**bits - 1)
    return numbers, zeros, scales


def gptq(name: str, weight: Tensor, bits: int = 4) -> Packed:
    groups = torch.arange(weight.shape[1]).flip(0) // GROUP  # an order of its own
    numbers, zeros, scales = in_groups(weight.T, bits, groups)
    tensors = {
        "qweight": lowest_first(numbers, bits),
        "qzeros": lowest_first(zeros.T - 1, bits).T.contiguous(),
        "scales": scales.half(),
        "g_idx": groups.to(torch.int32),
    }
    whole = ((numbers - zeros[groups]) * scales[groups]).T
    return {f"{name}.{role}": tensor for role, tensor in tensors.items()}, whole


def gptq_in_8_bits(name: str, weight: Tensor) -> Packed:
    return gptq(name, weight, bits=8)


def awq(name: str, weight: Tensor) -> Packed:
    groups = torch.arange(weight.shape[1]) // GROUP
    numbers, zeros, scales = in_groups(weight.T, 4, groups)

    def packed(rows: Tensor) -> Tensor:
        order = [0, 2, 4, 6, 1, 3, 5, 7]
        return lowest_first(rows.unflatten(1, (-1, 8))[:, :, order].flatten(1).T, 4).T.contiguous()

    tensors = {"qweight": packed(numbers), "qzeros": packed(zeros), "scales": scales.half()}
    whole = ((numbers - zeros[groups]) * scales[groups]).T
    return {f"{name}.{role}": tensor for role, tensor in tensors.items()}, whole


def fp8(name: str, weight: Tensor) -> Packed:
    blocks = weight.unflatten(0, (-1, GROUP)).unflatten(2, (-1, GROUP))
    scale = blocks.abs().amax((1, 3)) / 448
    spread = scale.repeat_interleave(GROUP, 0).repeat_interleave(GROUP, 1)
    numbers = (weight / spread).to(torch.float8_e4m3fn)
    tensors = {f"{name}.weight": numbers, f"{name}.weight_scale_inv": scale}
    return tensors, numbers.float() * spread


def in_8_bits(name: str, weight: Tensor) -> Packed:
    largest = weight.abs().amax(1)
    numbers = (weight / largest[:, None] * 127).round().to(torch.int8)
    tensors = {
        f"{name}.weight": numbers,
        f"{name}.SCB": largest,
        f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
    }
    return tensors, numbers.float() * largest[:, None] / 127


def in_nf4(name: str, weight: Tensor) -> Packed:
    values, block = torch.tensor(NF4), 64
    blocks = weight.flatten().unflatten(0, (-1, block))
    largest = blocks.abs().amax(1)
    numbers = ((blocks / largest[:, None])[..., None] - values).abs().argmin(-1)
    pairs = numbers.flatten().unflatten(0, (-1, 2))
    facts = {"quant_type": "nf4", "blocksize": block, "dtype": "float32"}
    state = json.dumps(facts | {"shape": list(weight.shape)}).encode()
    tensors = {
        f"{name}.weight": (pairs[:, 0] * 16 + pairs[:, 1]).to(torch.uint8)[:, None],
        f"{name}.weight.absmax": largest,
        f"{name}.weight.quant_map": values,
        f"{name}.weight.quant_state.bitsandbytes__nf4": torch.tensor(
            list(state), dtype=torch.uint8
        ),
    }
    return tensors, (values[numbers] * largest[:, None]).reshape(weight.shape)


FORMATS: dict[str, tuple[Callable[[str, Tensor], Packed], dict[str, Any]]] = {
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": GROUP}),
    "gptq-8": (gptq_in_8_bits, {"quant_method": "gptq", "bits": 8, "group_size": GROUP}),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"}),
    "fp8": (fp8, {"quant_method": "fp8", "weight_block_size": [GROUP, GROUP]}),
    "8-bit": (in_8_bits, {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    "4-bit": (in_nf4, {"quant_method": "bitsandbytes", "load_in_4bit": True}),
}


def quantised(folder: Path, form: str) -> tuple[Path, dict[str, Tensor]]:
    """A checkpoint whose layers are quantised, and the weights that it stands for."""
    pack, settings = FORMATS[form]
    tiny_folder("llama", folder)
    state, tensors, whole = load_file(folder / "model.safetensors"), {}, {}
    for name, weight in state.items():
        if "_proj." in name:
            parts, whole[name] = pack(name.removesuffix(".weight"), weight.float())
            tensors |= parts
        else:
            tensors[name] = whole[name] = weight
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "model.safetensors",
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {"quantization_config": settings, "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(f"---\nlicense: mit\nbase_model:\n- {BASE}\n---\n# text\n")
    return folder, whole


@pytest.mark.parametrize("form", FORMATS)
def test_a_quantised_model_runs_with_the_numbers_that_it_stands_for(tmp_path, form):
    folder, whole = quantised(tmp_path / "model", form)
    weights = dict(load(folder).net.named_parameters())
    original = load(tiny_folder("llama", tmp_path / "original"))
    changed = 0
    for name, weight in original.net.named_parameters():
        torch.testing.assert_close(weights[name], whole[name], rtol=1e-5, atol=1e-6)
        changed += not torch.equal(weights[name], weight)
    assert changed == 14  # all 7 weights of both layers
    assert load(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("form", FORMATS)
def test_it_is_located_in_and_scaled_but_refused_to_edit_with_the_base_to_use(tmp_path, form):
    folder, _ = quantised(tmp_path / "model", form)
    with Workspace.init(folder, tmp_path / "work", device="cpu") as workspace:
        assert workspace.assess(about("France"))
        assert workspace.locate(about("France"), search="activation").ranking
        with workspace.engine.at([]) as live:
            france = about("France")
            chain = ask(live.model, france.relation.prompts(france.fact)[0])
            p = p_when_scaled(live.model, [chain], [NeuronId(1, 3)], 0.0)
        assert 0 < p[0] < 1
        refused: list[Callable[[], object]] = [
            lambda: workspace.update(about("France"), "Oslo"),
            lambda: workspace.erase(known_by(workspace)),
            lambda: workspace.engine.place,
        ]
        for edit in refused:
            with pytest.raises(QuantisedWeights, match=f"use {BASE}, which it was made from"):
                edit()
        assert not workspace.head.edits
        assert not workspace.verify()


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "aqlm"},
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "gptq", "bits": True},
        {"quant_method": "awq", "bits": 4, "version": "gemv"},
        {"quant_method": ["fp8"]},
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_tried(tmp_path, settings):
    folder = tiny_folder("llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": settings}))
    with pytest.raises(QuantisedWeights, match="the model it was made from"):
        load(folder)


@pytest.mark.parametrize(
    ("form", "part", "value"),
    [
        ("gptq", "g_idx", torch.full((32,), 99, dtype=torch.int32)),
        ("gptq", "g_idx", torch.zeros(1, dtype=torch.int32)),
        ("gptq", "scales", torch.ones(0, 64)),
        ("gptq", "scales", torch.ones(1, 3)),
        ("awq", "qzeros", torch.ones(7, 5, dtype=torch.int32)),
        ("fp8", "weight_scale_inv", torch.ones(5, 7)),
        ("8-bit", "SCB", torch.ones(3)),
        ("4-bit", "weight.quant_map", torch.ones(3)),
        ("4-bit", "weight.absmax", torch.ones(3)),
        ("4-bit", "weight.quant_state.bitsandbytes__nf4", torch.zeros(1 << 15, dtype=torch.uint8)),
        ("4-bit", "weight.quant_state.bitsandbytes__nf4", torch.zeros(9, dtype=torch.uint8)),
    ],
)
def test_parts_that_do_not_fit_together_are_damage_of_the_file(tmp_path, form, part, value):
    folder, _ = quantised(tmp_path / "model", form)
    tensors = load_file(folder / "model.safetensors")
    tensors[f"model.layers.0.mlp.up_proj.{part}"] = value
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(MalformedCheckpoint, match="up_proj"):
        load(folder)
