"""On a real CUDA GPU: the numbers of the CPU up to rounding, and edits that are as good anywhere.

Where there is none, test_placement.py runs the same verbs on a pretended one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_loading import MEASURABLE, large, peak_while_loading  # noqa: F401  (a fixture)
from test_placement import SHAPES, everything, opened
from workspaces import QUICK, about, plainly_loaded

from kn_edit.edits.settings import CorrectionSettings
from kn_edit.errors import OutOfMemory
from kn_edit.models.model import Model
from kn_edit.workspace import Correction, Workspace, case_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
GPU = "cuda"


def slots(model: Model) -> list[torch.Tensor]:
    return [model.slots(layer).clone() for layer in range(model.n_layers)]


def on_the_cpu(workspace: Workspace) -> Workspace:
    """The same workspace, opened where there is no GPU."""
    workspace.close()
    return Workspace.open(workspace.folder, device="cpu")


@pytest.mark.parametrize("shape", SHAPES)
def test_neurons_are_located_with_the_scores_of_the_cpu(tmp_path, shape):
    found: list[dict[str, Any]] = []
    for device in ("cpu", GPU):
        with opened(tmp_path / device, shape, device=device) as workspace:
            assert workspace.engine.model.device.type == torch.device(device).type
            located = {
                rule: workspace.locate(about("France"), search=rule)
                for rule in ("riemann", "adaptive", "activation")
            }
            found.append({rule: dict(each.ranking) for rule, each in located.items()})
            assert located["adaptive"].reached
    cpu, gpu = found
    for rule in ("riemann", "activation"):
        assert gpu[rule] == pytest.approx(cpu[rule], rel=1e-3, abs=1e-5)
    best = {rule: max(cpu[rule], key=lambda neuron: cpu[rule][neuron]) for rule in cpu}
    assert gpu["adaptive"][best["adaptive"]] == pytest.approx(
        cpu["adaptive"][best["adaptive"]], 0.1
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_has_bytes_that_the_cpu_reads_and_is_reverted_bit_for_bit(tmp_path, shape):
    workspace = opened(tmp_path, shape, device=GPU)
    base = slots(workspace.engine.model)
    edited = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
    assert edited.draft.found["ran"]["device"] == torch.device(GPU).type
    with workspace.engine.at([edited.draft.delta]) as version:
        on_gpu = [weight.cpu() for weight in slots(version.model)]
    assert not all(map(torch.equal, on_gpu, (weight.cpu() for weight in base)))
    assert all(map(torch.equal, slots(workspace.engine.model), base))  # outside of the block
    with on_the_cpu(workspace) as workspace:
        assert not workspace.verify()
        delta = workspace.ledger.delta(edited.edit)
        assert delta.id == edited.draft.delta.id
        with workspace.engine.at([delta]) as version:
            assert all(map(torch.equal, slots(version.model), on_gpu))
        exported = plainly_loaded(workspace.export(tmp_path / "out"))
        live = workspace.load()
        for own, other in zip(live.parameters(), exported.parameters(), strict=True):
            assert torch.equal(own, other)
        workspace.revert(edited.edit)
        assert all(map(torch.equal, slots(workspace.engine.model), (each.cpu() for each in base)))
        assert not workspace.head.edits


def test_a_correction_made_on_the_gpu_says_the_same_on_the_cpu(tmp_path):
    cuba = case_of(statement=("the capital of [X: Cuba] is [Y: Oslo]",))
    brief = Correction(settings=CorrectionSettings(steps=4, extra=1))
    workspace = opened(tmp_path, device=GPU)
    edited = workspace.update(cuba, "Oslo", how=brief, accept=True)
    answers = [workspace.assess(cuba)[0].p]
    with on_the_cpu(workspace) as workspace:
        assert not workspace.verify()
        answers.append(workspace.assess(cuba)[0].p)
        workspace.revert(edited.edit)
        before = workspace.assess(cuba)[0].p
    assert answers[0] == pytest.approx(answers[1], rel=1e-3)
    assert before != pytest.approx(answers[1], rel=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_verb_answers_as_on_the_cpu(tmp_path, shape):
    found = []
    for place, device in (("host", "cpu"), ("gpu", GPU)):
        with opened(tmp_path / place, shape, device=device) as workspace:
            found.append(everything(workspace))
            live = workspace.load()
            exported = plainly_loaded(workspace.export(tmp_path / place / "out"))
            for own, other in zip(live.parameters(), exported.parameters(), strict=True):
                assert torch.equal(own.cpu(), other)
    cpu, gpu = found
    ranks = [[(rank, says) for _, rank, says in each["assess"]] for each in found]
    assert ranks[0] == ranks[1]
    assert [p for p, *_ in gpu["assess"]] == pytest.approx([p for p, *_ in cpu["assess"]], 1e-4)
    assert dict(gpu["riemann"]) == pytest.approx(dict(cpu["riemann"]), 1e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_in_16_bits_locates_and_is_updated(tmp_path, dtype):
    with opened(tmp_path, device=GPU, dtype=dtype) as workspace:
        assert workspace.locate(about("France")).ranking
        edited = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        assert edited.draft.found["ran"] == {"device": torch.device(GPU).type, "dtype": dtype}
        assert not workspace.verify()


@MEASURABLE
def test_weights_reach_the_gpu_through_a_fifth_of_their_size_in_host_memory(
    large: Path,  # noqa: F811
):
    torch.ones(1, device=GPU)  # the driver takes some memory, once
    assert peak_while_loading(large, GPU) < 0.2


def test_memory_of_the_gpu_that_ends_is_said_with_its_numbers_and_loses_nothing(tmp_path):
    with opened(tmp_path, device=GPU) as workspace:
        edited = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        before = slots(workspace.engine.model)
        with pytest.raises(OutOfMemory) as error, workspace.engine.at([edited.draft.delta]):
            torch.empty(1 << 45, dtype=torch.uint8, device=GPU)
        assert error.value.loaded
        assert error.value.free is not None
        assert torch.device(error.value.device).type == torch.device(GPU).type
        assert all(map(torch.equal, slots(workspace.engine.model), before))
        assert workspace.assess(about("France"))  # goes on
        assert not workspace.verify()
