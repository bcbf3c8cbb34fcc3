"""Weights on their way from the file to their device: one copy of them, and the right numbers."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_folder
from transformers import AutoConfig, AutoModelForCausalLM

from kn_edit.models.model import load
from kn_edit.models.shards import Shards

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEASURABLE = pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux's /proc/self/clear_refs")
D_FF = 500_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of 192 MB in bfloat16, all zeros, in 6 large weights."""
    folder = tiny_folder("llama", tmp_path_factory.mktemp("large") / "model", torch.bfloat16)
    config = json.loads((folder / "config.json").read_text()) | {"intermediate_size": D_FF}
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        net = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    state = {
        name: torch.zeros(weight.shape, dtype=torch.bfloat16)
        for name, weight in net.named_parameters()
    }
    save_file(state, folder / "model.safetensors")
    return folder


def peak_while_loading(folder: Path, device: str, dtype: torch.dtype | None = None) -> float:
    """The most memory that loading took, over the checkpoint's bytes."""
    load(tiny_folder("llama", folder / device / str(dtype)))  # whatever is imported or made once
    gc.collect()  # what earlier models held is not to be used again
    before = _kilobytes("VmRSS")
    CLEAR.write_text("5")
    load(folder, device=device, dtype=dtype)
    stored = (folder / "model.safetensors").stat().st_size
    return (_kilobytes("VmHWM") - before) * 1024 / stored


def _kilobytes(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


@MEASURABLE
def test_weights_for_another_device_take_a_fifth_of_their_size_in_host_memory(large):
    assert peak_while_loading(large, "meta") < 0.2


@MEASURABLE
@pytest.mark.parametrize(("dtype", "copies"), [(torch.bfloat16, 1), (torch.float32, 2)])
def test_weights_are_in_memory_once_in_the_format_that_they_are_wanted_in(large, dtype, copies):
    assert peak_while_loading(large, "cpu", dtype) < copies + 0.2


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "gpt_neox"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_is_that_of_the_file_rounded_once(tmp_path, shape, dtype):
    folder = tiny_folder(shape, tmp_path / "model")
    model, shards = load(folder, dtype=dtype), Shards.open(folder)
    weights = dict(model.net.named_parameters(remove_duplicate=False))
    stored = [name for name in shards.entries if name in weights]
    assert len(stored) > 10
    for name in stored:
        assert torch.equal(weights[name], shards.read(name).to(dtype))
    head, words = model.net.get_output_embeddings().weight, model.net.get_input_embeddings().weight
    assert (head is words) == model.net.config.tie_word_embeddings
    assert not any(weight.requires_grad for weight in weights.values())


def test_a_tensor_is_read_in_pieces_whatever_their_size(tmp_path, monkeypatch):
    shards = Shards.open(tiny_folder("llama", tmp_path / "model"))
    name = max(shards.entries, key=lambda name: shards.entries[name].end)
    for piece in (8, 24, 1 << 20):
        monkeypatch.setattr("kn_edit.models.shards.CHUNK", piece)
        target = torch.empty(shards.entries[name].shape, dtype=torch.float64)
        shards.read_into(name, target)
        assert torch.equal(target, shards.read(name).double())
