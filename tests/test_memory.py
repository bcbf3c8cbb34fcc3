"""Where memory ends: a sentence with what would fit, and a workspace that is as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_folder
from workspaces import QUICK, about, new_workspace

from kn_edit.cli.failures import as_own_error
from kn_edit.errors import ExitCode, OutOfMemory, is_out_of_memory
from kn_edit.models import memory
from kn_edit.models.memory import free_memory
from kn_edit.models.model import load
from kn_edit.models.placement import Placement
from kn_edit.workspace import Workspace

CPU = torch.device("cpu")


def free(monkeypatch: pytest.MonkeyPatch, size: int, folder: Path) -> None:
    """Let the machine have so many bytes left, as its kernel tells."""
    told = folder / "meminfo"
    told.write_text(f"MemTotal: 999999 kB\nMemAvailable: {size >> 10} kB\nSwapFree: 0 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", told)


def test_the_host_tells_what_is_free():
    size = free_memory(CPU)
    assert size is None or size > 1 << 20


def test_allocations_of_torch_and_of_python_that_fail_are_known():
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 55)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert isinstance(as_own_error(error.value), OutOfMemory)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_weights_that_do_not_fit_are_refused_unread_with_the_format_that_fits(
    tmp_path, monkeypatch
):
    folder = tiny_folder("llama", tmp_path / "model")
    weights = load(folder).weight_bytes
    free(monkeypatch, int(0.7 * weights), tmp_path)
    with pytest.raises(OutOfMemory) as error:
        load(folder)
    assert error.value.exit_code == ExitCode.ERROR
    assert (error.value.weights, error.value.fits) == (weights, "bfloat16")
    assert "dtype='bfloat16'" in str(error.value)
    assert load(folder, dtype=torch.bfloat16).weight_bytes == weights // 2
    free(monkeypatch, int(0.2 * weights), tmp_path)
    with pytest.raises(OutOfMemory, match="use a smaller model") as error:
        load(folder)
    assert error.value.fits == ""


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError, RuntimeError])
def test_work_that_does_not_fit_says_what_was_left_and_leaves_all_as_it_was(tmp_path, kind):
    with new_workspace(tmp_path) as workspace:
        edited = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        model = workspace.engine.model
        before = [model.slots(layer).clone() for layer in range(model.n_layers)]
        with (
            pytest.raises(OutOfMemory) as error,
            workspace.engine.at([edited.draft.delta]),
        ):
            raise kind("DefaultCPUAllocator: can't allocate memory")
        assert error.value.loaded and error.value.device == "cpu"
        assert error.value.weights == model.weight_bytes
        assert f"memory='{error.value.memory}'" in str(error.value)
        assert Placement(memory=error.value.memory).memory_bytes < error.value.free
        after = [model.slots(layer) for layer in range(model.n_layers)]
        assert all(map(torch.equal, after, before))
        assert not workspace.verify()
        assert workspace.assess(about("France"))  # goes on


def test_what_is_no_failed_allocation_passes_as_it_is(tmp_path):
    with (
        new_workspace(tmp_path) as workspace,
        pytest.raises(RuntimeError, match="shapes"),
        workspace.engine.at([]),
    ):
        raise RuntimeError("shapes do not match")


def test_the_sentence_has_numbers_in_every_case():
    loading = OutOfMemory(
        device="cuda", dtype="float32", weights=32_100_000_000, free=23_600_000_000, fits="bfloat16"
    )
    assert "take 32.1 GB in float32, and cuda has 23.6 GB free; pass dtype='bfloat16'" in str(
        loading
    )
    working = OutOfMemory(
        device="cuda", dtype="bfloat16", weights=16_000_000_000, free=512_000_000, loaded=True
    )
    assert "cuda has 512 MB, which is too little" in str(working)
    assert "dtype" not in str(working)
    assert json.dumps(working.detail())


def test_a_base_that_does_not_fit_is_said_by_every_verb(tmp_path, monkeypatch):
    new_workspace(tmp_path).close()
    free(monkeypatch, 1024, tmp_path)
    with (
        Workspace.open(tmp_path / "work", device="cpu") as workspace,
        pytest.raises(OutOfMemory, match="does not suffice"),
    ):
        workspace.assess(about("France"))
