"""An edit of low rank goes all the way: recorded, shown, exported, published, pulled, undone."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hub_desk import Desk, desk_of
from ledgers import about
from safetensors.torch import load_file
from tensor_folds import fold_weight
from tiny_models import D_FF, D_MODEL
from workspaces import SHAPES, contents, exported, logits, new_workspace, plainly_loaded, shard

from kn_edit.editing.drafts import EditContext, Proposal
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.methods import METHODS
from kn_edit.editing.updates import UpdateMethod
from kn_edit.editing.updating import Shifts, UpdateTask
from kn_edit.edits.build import SlotPlace, low_rank_delta
from kn_edit.edits.changes import LowRankChange, Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.workspace import LayerChange, Workspace, add_method

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from peft import PeftModel

WEIGHTS = {layer: f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)}


def ref(workspace: Workspace) -> BaseRef:
    return BaseRef(workspace.base.repo, workspace.base.revision, workspace.base.fingerprint)


def low_rank(workspace: Workspace, layer: int, rank: int) -> Delta:
    rng = torch.Generator().manual_seed(layer)
    u = 0.1 * torch.randn(rank, D_FF, generator=rng)
    v = 0.1 * torch.randn(rank, D_MODEL, generator=rng)
    return low_rank_delta(SlotPlace(ref(workspace), WEIGHTS, "column"), {layer: (u, v)})


def single(workspace: Workspace) -> Delta:
    """Adds to a slot of the first layer, sets one of the second."""
    tensors = {
        WEIGHTS[layer]: SlotChanges(
            "column",
            torch.tensor([index]),
            torch.tensor([mode], dtype=torch.uint8),
            torch.full((1, D_MODEL), 0.25),
        )
        for layer, index, mode in ((0, 3, Mode.ADD), (1, 5, Mode.SET))
    }
    return Delta(ref(workspace), tensors)


def recorded(workspace: Workspace, delta: Delta, subject: str) -> str:
    """Record an edit that was made by hand."""
    plan = workspace.ledger.plan_edit(delta, "update", f"{subject}: by hand")
    edit = replace(about(delta, subject), message=f"{subject}: by hand")
    return workspace._advance(plan, edit).edits[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A workspace with a rank-one edit, one of slots, and a rank-two edit of the other layer."""
    folder = tmp_path_factory.mktemp("low_rank")
    with new_workspace(folder) as workspace:
        recorded(workspace, low_rank(workspace, 0, 1), "France")
        workspace.tag("one")
        recorded(workspace, single(workspace), "Japan")
        recorded(workspace, low_rank(workspace, 1, 2), "Italy")
    Workspace.init(str(folder / "model"), folder / "empty").close()
    return folder


@pytest.fixture(scope="module")
def workspace(folder) -> Iterator[Workspace]:
    with Workspace.open(folder / "work") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def desk(folder) -> Iterator[Desk]:
    with desk_of(folder / "work") as desk:
        yield desk


# --- what commands tell --------------------------------------------------------------------------


def test_show_tells_the_layers_of_an_edit_and_their_ranks(workspace, desk):
    edit = workspace.head.edits[2]
    plain = desk("show", edit, "--json").json
    assert plain["neurons"] == []
    assert plain["layers"] == [{"layer": 1, "kind": "low-rank", "rank": 2}]
    assert plain["overlaps"] == [workspace.head.edits[1]]
    text = desk("show", edit).out
    assert "all value slots of 1 layer:" in text and "L1 (all) of rank 2" in text
    assert "0 neurons" not in text
    assert desk("show", workspace.head.edits[1], "--json").json["layers"] == []
    assert workspace.show(edit).layers == (LayerChange(1, "low-rank", 2),)


def test_log_and_blame_and_diff_tell_of_it(workspace, desk):
    first, second, third = workspace.head.edits
    assert [step["edit"] for step in desk("log", "--json").json] == [third, second, first, None]
    assert "Italy: by hand" in desk("log").out
    blamed = desk("blame", "L0.3", "--json").json
    assert [(one["edit"], one["mode"]) for one in blamed] == [(first, "low-rank"), (second, "add")]
    assert [one["mode"] for one in desk("blame", "L1.9", "--json").json] == ["low-rank"]
    assert "low-rank" in desk("blame", "L1.9").out
    found = desk("diff", "one", "head", "--json").json
    assert found["layers"] == [{"layer": 1, "rank_a": 0, "rank_b": 2}]
    assert found["slots"] == [{"layer": 0, "index": 3}, {"layer": 1, "index": 5}]
    text = desk("diff", "base", "one").out
    assert "L0 (all): rank 0 in" in text and "value slots may differ" not in text


def test_all_that_is_recorded_is_verified(desk):
    assert desk("verify").code == 0


# --- exports -------------------------------------------------------------------------------------


def test_the_checkpoint_holds_the_folded_weights(workspace):
    deltas = workspace.ledger.deltas(workspace.head.edits)
    version = load_file(exported(workspace) / "model.safetensors")
    base = load_file(workspace.engine.shards.folder / "model.safetensors")
    for name, weight in base.items():
        assert version[name].equal(fold_weight(weight, name, deltas))
    with workspace.engine.at(deltas) as live:
        model = live.model
        for layer, name in WEIGHTS.items():
            assert model.downs[layer].weight.equal(version[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("version", "ranks"), [("one", [1]), ("head", [2, 3])])
def test_peft_loads_the_adapter_and_says_what_the_checkpoint_says(
    version, ranks, workspace, tmp_path
):
    folder = workspace.export(tmp_path / "adapter", version=version, form="adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    assert sorted(config["rank_pattern"].values()) == ranks and config["r"] == max(ranks)
    base = plainly_loaded(workspace.engine.shards.folder)
    before = logits(base)
    adapted = PeftModel.from_pretrained(base, folder)
    expected = logits(plainly_loaded(exported(workspace, version)))
    assert torch.allclose(logits(adapted), expected, rtol=0, atol=1e-5)
    assert not torch.allclose(before, expected, rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", SHAPES)
def test_peft_says_the_same_in_every_layout_of_slots(shape, tmp_path):
    with new_workspace(tmp_path, shape) as workspace:
        place, rng = workspace.engine.place, torch.Generator().manual_seed(3)
        u, v = (0.1 * torch.randn(1, width, generator=rng) for width in (D_FF, D_MODEL))
        recorded(workspace, low_rank_delta(place, {1: (u, v)}), "Cuba")
        folder = workspace.export(tmp_path / "adapter", form="adapter")
        assert json.loads((folder / "adapter_config.json").read_text())["r"] == 1
        adapted = PeftModel.from_pretrained(plainly_loaded(tmp_path / "model"), folder)
        expected = logits(plainly_loaded(exported(workspace)))
        assert torch.allclose(logits(adapted), expected, rtol=0, atol=1e-5)


def test_the_patch_and_the_recipe_give_the_version_too(workspace, tmp_path):
    version = load_file(exported(workspace) / "model.safetensors")
    base = load_file(workspace.engine.shards.folder / "model.safetensors")
    folder = workspace.export(tmp_path / "patch", form="patch")
    patch = load_file(folder / "patch.safetensors")
    for name in WEIGHTS.values():
        flat = base[name].clone().flatten()
        flat[patch[f"{name}.idx"]] = patch[f"{name}.val"]
        assert flat.reshape(version[name].shape).equal(version[name])
    folder = workspace.export(tmp_path / "delta", form="delta")
    files = [(folder / f"{edit}.safetensors").read_bytes() for edit in workspace.head.edits]
    assert [data.count(b"kn-delta/2") for data in files] == [1, 0, 1]


# --- the Hub -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["checkpoint", "adapter", "delta"])
def test_a_version_goes_to_the_hub_and_comes_back_to_the_bit(form, folder, desk, tmp_path):
    repo = f"ann/{form}"
    pushed = desk("push", repo, "--as", form, "--json")
    assert pushed.code == 0, pushed.err
    card = desk.hub.read(repo, "README.md").decode()
    assert "adding a low-rank change to all value slots of layers 0, 1" in card
    assert "layer 1, rank 2" in card and "value slots of a few neurons, and adding" in card
    shutil.copytree(folder / "empty", tmp_path / "bob")
    pulled = desk("pull", repo, "--json", workspace=tmp_path / "bob")
    assert pulled.code == 0, pulled.err
    assert desk("verify", workspace=tmp_path / "bob").code == 0
    with Workspace.open(tmp_path / "bob") as bob, Workspace.open(folder / "work") as ann:
        assert bob.head == ann.head
        for edit in ann.head.edits:
            mine, hers = bob.show(edit), ann.show(edit)
            assert (mine.layers, mine.neurons) == (hers.layers, hers.neurons)
            assert mine.overlaps == hers.overlaps
        assert shard(exported(bob)) == shard(exported(ann))


def test_a_low_rank_change_that_does_not_fit_is_refused_when_it_is_pulled(folder, desk, tmp_path):
    with Workspace.open(folder / "work") as workspace:
        base = ref(workspace)
    vector, output = torch.ones(1, D_MODEL), "model.layers.0.self_attn.o_proj.weight"
    evil = (
        Delta(base, {WEIGHTS[0]: LowRankChange("column", torch.ones(1, D_FF + 1), vector)}),
        Delta(base, {WEIGHTS[0]: LowRankChange("row", torch.ones(1, D_FF), vector)}),
        Delta(base, {output: LowRankChange("column", vector, vector)}),
    )
    assert desk("push", "ann/sound", "--version", "one", "--as", "delta").code == 0
    sound = desk.hub.read("ann/sound", "kn_edit.json")
    (edit,) = json.loads(sound)["edits"]
    for number, delta in enumerate(evil):
        recipe = desk.hub.read("ann/sound", "kn_edit.json").replace(
            edit.encode(), delta.id.encode()
        )
        files = {
            "kn_edit.json": recipe,
            f"kn_edit/{delta.id}.safetensors": delta.to_bytes(),
            f"kn_edit/{delta.id}.json": desk.hub.read("ann/sound", f"kn_edit/{edit}.json"),
        }
        desk.hub.create(f"ann/evil{number}")
        desk.hub.commit(f"ann/evil{number}", files)
        shutil.copytree(folder / "empty", tmp_path / f"bob{number}")
        refused = desk("pull", f"ann/evil{number}", workspace=tmp_path / f"bob{number}")
        assert refused.code == 3 and "does not fit" in refused.err


# --- undone --------------------------------------------------------------------------------------


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    shutil.copytree(folder / "work", tmp_path / "work")
    return tmp_path / "work"


def test_a_revert_asks_for_a_set_slot_and_tells_of_a_sum(workspace, desk, copy):
    first, second, _ = workspace.head.edits
    refused = desk("revert", second, workspace=copy)
    assert refused.code == 3 and "L1.5" in refused.err and "--allow-overlap" in refused.err
    done = desk("revert", first, "--json", workspace=copy)
    assert done.code == 0 and "add to the same slots: L0.3" in done.err
    assert done.json["overlaps"] == [
        {"edit": first, "other": second, "slots": [{"layer": 0, "index": 3}], "layers": []}
    ]


def test_reverting_all_gives_the_bytes_of_the_base_and_a_backup_keeps_all(
    workspace, desk, copy, tmp_path
):
    edits = workspace.head.edits
    for edit in (edits[1], edits[0], edits[2]):
        assert desk("revert", edit, "--allow-overlap", workspace=copy).code == 0
    with Workspace.open(copy) as reverted:
        out = contents(exported(reverted))
        assert out == contents(Path(reverted.base.source))
    assert desk("backup", str(tmp_path / "b.tar"), workspace=copy).code == 0
    restored = tmp_path / "restored"
    assert desk("restore", str(tmp_path / "b.tar"), workspace=restored).code == 0
    assert desk("verify", workspace=restored).code == 0
    with Workspace.open(restored) as back:
        assert [edit.layers for edit in back.ledger.edits()] == [
            edit.layers for edit in workspace.ledger.edits()
        ]
        back.rewind(workspace.head.id)
        assert back.head == workspace.head


def test_gc_removes_a_low_rank_delta_of_no_edit_and_no_other(copy):
    with Workspace.open(copy) as workspace:
        stray = low_rank(workspace, 0, 3)
        workspace.ledger.blobs.put(stray.to_bytes())
        os.utime(workspace.ledger.blobs.path(stray.id), (0, 0))  # older than this tick
        removed = workspace.gc(older_than=timedelta(0))
        assert [path.name for path in removed] == [f"{stray.id}.safetensors"]
        assert workspace.verify() == []


# --- a method that makes such edits --------------------------------------------------------------


@dataclass(frozen=True)
class RankOne(UpdateMethod):
    """Add a little of the new answer's embedding to every slot of the last layer."""

    name: ClassVar[str] = "rank-one"
    source: ClassVar[str] = "this test"
    edits: ClassVar[str] = "all value slots of the last layer"

    def shifts(self, task: UpdateTask) -> Shifts:
        return Shifts([], torch.empty(0, task.model.d_model), {}, {"rank": 1})

    def propose(self, context: EditContext, request: UpdateRequest) -> Proposal:
        model, place = context.engine.model, context.engine.place
        (token,) = model.tokenizer.convert_tokens_to_ids([request.to])
        v, last = model.output_embedding(token).float(), max(place.names)
        delta = low_rank_delta(place, {last: (torch.full((model.d_ff,), 1e-3), v)})
        return replace(super().propose(context, request), delta=delta)


@pytest.fixture
def rank_one() -> Iterator[None]:
    add_method(RankOne)
    try:
        yield
    finally:
        METHODS.pop("rank-one")


def test_a_method_of_low_rank_is_measured_recorded_and_told_as_any_other(rank_one, edited):
    ran = edited.update("Italy", "Oslo", "--method", "rank-one", "--accept", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["method"], ran.json["neurons"]) == ("rank-one", [])
    assert "specificity" in ran.json["metrics"]
    record = edited("show", ran.json["edit"], "--json").json
    assert [one["rank"] for one in record["layers"]] == [1]
    assert record["layers"] == ran.json["layers"]
    again = edited.update("Egypt", "Havana", "--method", "rank-one", "--accept")
    assert again.code == 0, again.err
    assert "all value slots of 1 layer, rank-one:" in again.out and "0 neurons" not in again.out
    last = record["layers"][0]["layer"]
    assert f"writes some of the same slots: L{last} (all)" in again.err
    assert edited("verify").code == 0
