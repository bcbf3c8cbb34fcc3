"""Device and number format of the live model: every verb runs there, and edits stay what they are.

A pretended GPU (pretend_gpu.py) gives the numbers of the CPU, so results have to be the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pretend_gpu import apple_gpu, gpu, gpus  # noqa: F401  (fixtures)
from samples import TORTURE
from tiny_models import tiny_folder
from workspaces import QUICK, about, known_by, new_workspace, plainly_loaded, quick

from kn_edit.cli.run import run
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.errors import BadSetting, BadSettingsFile, DeviceMissing
from kn_edit.models.placement import Placement
from kn_edit.workspace import Correction, Workspace, case_of

SHAPES = ("llama", "gpt2", "bert")


def opened(folder: Path, shape: str = "llama", **placed: str) -> Workspace:
    """A workspace of a tiny model, whose live model lies where it is asked to."""
    new_workspace(folder, shape).close()
    return Workspace.open(folder / "work", **placed)


def everything(workspace: Workspace) -> dict[str, Any]:
    """What each verb that runs the model finds, one after the other."""
    france, known = about("France"), known_by(workspace)
    rights = (about(fact.subject, known) for fact in known.facts)
    carried = next(case for case in rights if workspace.locate(case, search="riemann").neurons)
    cuba = case_of(statement=("the capital of [X: Cuba] is [Y: Oslo]",))
    brief = Correction(settings=CorrectionSettings(steps=2, extra=1))
    found: dict[str, Any] = {
        "assess": [(one.p, one.rank, one.says) for one in workspace.assess(france)],
        "locate": workspace.locate(france).ranking[:20],
        "riemann": workspace.locate(france, search="riemann").ranking[:20],
        "suppress": workspace.scale(carried, 0.0, search="riemann").moved,
    }
    edits = [
        workspace.update(france, "Oslo", how=QUICK, accept=True),
        workspace.update(
            about("Japan"), "Oslo", how=quick((0, 1), (1, 2), closed_form=True), accept=True
        ),
        workspace.update(cuba, "Oslo", how=brief, accept=True),
        workspace.erase(known, how=quick(least=1), accept=True),
    ]
    found["edits"] = [(edit.edit, edit.draft.metrics) for edit in edits]
    evaluation = workspace.evaluate()
    found["evaluate"] = (evaluation.updates, evaluation.perplexity, evaluation.entropy)
    return found


@pytest.fixture(scope="module", params=SHAPES)
def on_cpu(request, tmp_path_factory) -> tuple[str, dict[str, Any]]:
    """A shape, and what each verb finds in it on the CPU."""
    with opened(tmp_path_factory.mktemp("cpu"), request.param, device="cpu") as workspace:
        return request.param, everything(workspace)


@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
def test_every_verb_keeps_its_tensors_on_the_device(tmp_path, on_cpu, gpu):  # noqa: F811
    shape, expected = on_cpu
    with opened(tmp_path, shape) as workspace:
        assert workspace.engine.model.device.type == "cuda"  # auto takes it
        assert everything(workspace) == expected


@pytest.mark.parametrize("on_cpu", ["llama", "bert"] if TORTURE else ["llama"], indirect=True)
def test_every_verb_runs_on_a_gpu_without_float64(tmp_path, on_cpu, apple_gpu):  # noqa: F811
    shape, expected = on_cpu
    with opened(tmp_path, shape, device="mps") as workspace:
        assert workspace.engine.model.device.type == "mps"
        assert everything(workspace) == expected


@pytest.mark.filterwarnings("ignore:User provided device_type of 'cuda'")
@pytest.mark.parametrize("on_cpu", ["llama", "bert"] if TORTURE else ["bert"], indirect=True)
def test_every_verb_runs_where_each_layer_has_a_device_of_its_own(tmp_path, on_cpu, gpus):  # noqa: F811
    shape, expected = on_cpu
    with opened(tmp_path, shape, device="spread", memory="600MB") as workspace:
        weights = sum(entry.end - entry.start for entry in workspace.engine.shards.entries.values())
        gpus[:] = [weights // 4, 5 * weights // 8]
        model = workspace.engine.model
        assert [str(model.device), *map(str, map(model.device_of, range(2)))] == [
            "cuda:0",
            "cuda:1",
            "cpu",
        ]
        assert everything(workspace) == expected


def test_a_float64_checkpoint_runs_in_float32_where_a_gpu_has_no_more(tmp_path, apple_gpu):  # noqa: F811
    new_workspace(tmp_path, "llama", torch.float64).close()
    with Workspace.open(tmp_path / "work", device="mps") as workspace:
        assert workspace.engine.model.dtype == torch.float32
        workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        exported = plainly_loaded(workspace.export(tmp_path / "out"))
        live = workspace.load()
    for own, other in zip(live.parameters(), exported.parameters(), strict=True):
        assert torch.equal(own.cpu(), other.float())  # as what is published


@pytest.mark.parametrize("shape", SHAPES)
def test_edits_made_in_bfloat16_are_rounded_to_the_format_of_the_checkpoint(tmp_path, shape):
    with opened(tmp_path, shape, device="cpu", dtype="bfloat16") as workspace:
        model = workspace.engine.model
        assert model.dtype == torch.bfloat16
        before = [model.slots(layer).clone() for layer in range(model.n_layers)]
        edited = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        assert edited.draft.found["ran"] == {"device": "cpu", "dtype": "bfloat16"}
        after = [model.slots(layer) for layer in range(model.n_layers)]
        assert all(map(torch.equal, after, before))  # outside of a verb, the base
        exported = plainly_loaded(workspace.export(tmp_path / "out"))
        live = workspace.load()
    assert {weight.dtype for weight in exported.parameters()} == {torch.float32}
    assert {weight.dtype for weight in live.parameters()} == {torch.bfloat16}
    for own, other in zip(live.parameters(), exported.parameters(), strict=True):
        assert torch.equal(own, other.bfloat16())


def test_a_checkpoint_in_bfloat16_runs_in_float32_with_the_weights_that_it_has(tmp_path):
    new_workspace(tmp_path, "llama", torch.bfloat16).close()
    with Workspace.open(tmp_path / "work", device="cpu", dtype="float32") as workspace:
        assert workspace.engine.model.dtype == torch.float32
        workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
        exported = plainly_loaded(workspace.export(tmp_path / "out"))
        live = workspace.load()
    for own, other in zip(live.parameters(), exported.parameters(), strict=True):
        assert torch.equal(own, other.float())  # as what is published


def test_scores_of_another_number_format_are_not_taken_from_the_cache(tmp_path):
    found = []
    for dtype in ("float32", "bfloat16", "float32"):
        with opened(tmp_path / dtype, device="cpu", dtype=dtype) as workspace:
            found.append(workspace.locate(about("France")).ranking)
    assert found[0] == found[2] != found[1]


def test_kn_edit_toml_sets_both_and_a_call_overrules_it(tmp_path):
    new_workspace(tmp_path).close()
    (tmp_path / "work" / "kn-edit.toml").write_text(
        '[model]\ndevice = "cpu"\ndtype = "bfloat16"\n', encoding="utf-8"
    )
    with Workspace.open(tmp_path / "work") as workspace:
        assert workspace.engine.placement == Placement("cpu", "bfloat16")
    with Workspace.open(tmp_path / "work", dtype="float32") as workspace:
        assert workspace.engine.placement == Placement("cpu", "float32")


def test_init_keeps_both_for_the_calls_that_follow(tmp_path):
    model, place = tiny_folder("llama", tmp_path / "model"), tmp_path / "work"
    place.mkdir()
    settings = place / "kn-edit.toml"
    settings.write_text("[gate]\nefficacy = 0.5  # agreed\n", encoding="utf-8")
    Workspace.init(model, place, device="cpu", dtype="bfloat16").close()
    assert settings.read_text() == (
        '[gate]\nefficacy = 0.5  # agreed\n\n[model]\ndevice = "cpu"\ndtype = "bfloat16"\n'
    )
    with Workspace.open(place) as workspace:
        assert workspace.engine.placement == Placement("cpu", "bfloat16")
        assert workspace.gate.efficacy == 0.5
    Workspace.init(model, place, dtype="bfloat16").close()  # as it is
    with pytest.raises(BadSettingsFile, match="says otherwise"):
        Workspace.init(model, place, dtype="float32")
    assert "float32" not in settings.read_text()


def test_memory_is_named_as_people_name_it(tmp_path):
    amounts = {"auto": None, "600MB": 600_000_000, "1.5 GB": 1_500_000_000, "2GiB": 2 << 30}
    for text, memory in amounts.items():
        assert Placement(memory=text).memory_bytes == memory
    for text in ("", "600", "0MB", "-1GB", "2gb", "1e3MB", 600_000_000):
        with pytest.raises(BadSetting, match="MB, GB, MiB, GiB"):
            Placement(memory=text)
    with opened(tmp_path, memory="50MB") as workspace:
        assert workspace.engine.model.memory == 50_000_000


def test_init_without_either_writes_no_settings_and_a_wrong_one_makes_no_workspace(tmp_path):
    model = tiny_folder("llama", tmp_path / "model")
    Workspace.init(model, tmp_path / "plain").close()
    assert not (tmp_path / "plain" / "kn-edit.toml").exists()
    with pytest.raises(BadSetting, match="cuda:N"):
        Workspace.init(model, tmp_path / "wrong", device="gpu")
    assert not (tmp_path / "wrong" / ".kn-edit").exists()


def test_init_at_the_command_line_keeps_both(tmp_path):
    model = tiny_folder("llama", tmp_path / "model")
    asked = ["init", str(model), "--workspace", str(tmp_path), "--dtype", "float16"]
    assert run([*asked, "--device", "cpu"]) == 0
    assert "float16" in (tmp_path / "kn-edit.toml").read_text()


@pytest.mark.parametrize("line", ['device = "gpu"', 'dtype = "int8"', "device = 0", "gpus = 1"])
def test_settings_that_are_none_are_refused_with_the_file(tmp_path, line):
    new_workspace(tmp_path).close()
    (tmp_path / "work" / "kn-edit.toml").write_text(f"[model]\n{line}\n", encoding="utf-8")
    with Workspace.open(tmp_path / "work") as workspace, pytest.raises(BadSettingsFile) as error:
        workspace.assess(about("France"))
    assert "kn-edit.toml" in str(error.value)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "", "meta", "cuda:0 "])
def test_names_that_are_no_device_are_refused_before_anything_runs(tmp_path, name):
    with pytest.raises(BadSetting, match="cuda:N"):
        opened(tmp_path, device=name)


@pytest.mark.parametrize("device", ["cuda:7", "mps"])
def test_a_device_that_is_not_here_ends_in_a_sentence_with_those_that_are(tmp_path, device):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with opened(tmp_path, device=device) as workspace, pytest.raises(DeviceMissing) as error:
        workspace.assess(about("France"))
    assert f"no device {device} here; available:" in str(error.value)
    assert "cpu" in str(error.value)


def test_a_pretended_gpu_refuses_tensors_of_two_devices(gpu):  # noqa: F811
    there, here = torch.ones(2, 2).to("cuda"), torch.ones(2, 2)
    assert there.device.type == "cuda"
    for mixed in (
        lambda: there @ here,
        lambda: torch.cat([there, here]),
        lambda: here[there.long()],
        lambda: there.numpy(),
        lambda: there.__setitem__(0, here[0]),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            mixed()
    assert (there * there.sum().cpu()).device.type == "cuda"  # a number may be anywhere
    assert torch.zeros(2, device="cuda").device.type == there[0].device.type == "cuda"
    assert (there.cpu() @ here).device.type == there.to("cpu").device.type == "cpu"
