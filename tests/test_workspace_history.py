"""Going back and forth in a workspace: exact bits, the same bits elsewhere, and proof of them."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from workspaces import (
    DTYPES,
    QUICK,
    about,
    bits,
    changed,
    contents,
    exported,
    known_by,
    new_workspace,
    plainly_loaded,
    quick,
    shard,
)

from kn_edit.errors import (
    AlreadyThere,
    BaseChanged,
    CheckpointFolderMissing,
    DeltaDigestDiffers,
    DeltaMissing,
    ExitCode,
    ExportDiffers,
    SlotOverlap,
)
from kn_edit.ledger import Problem
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Edited, Workspace


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def updated(
    workspace: Workspace, subject: str, to: str, *neurons: tuple[int, int]
) -> tuple[str, str]:
    """Record an update of these slots; its edit and version."""
    how = quick(*neurons) if neurons else QUICK
    return recorded(workspace.update(about(subject), to, how=how, accept=True))


def recorded(done: Edited) -> tuple[str, str]:
    assert done.edit is not None
    assert done.version is not None
    return done.edit, done.version


# --- exact bits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_five_edits_reverted_in_any_order_give_the_base_bytes(shape, dtype, tmp_path):
    """One of them an erasure, two overlapping."""
    workspace = new_workspace(tmp_path, shape, dtype)
    updated(workspace, "France", "Rome", (0, 3), (1, 5))
    updated(workspace, "Japan", "Oslo", (0, 40), (1, 41))
    erased = workspace.erase(known_by(workspace), how=quick(top=3, facts=3), accept=True)
    second = updated(workspace, "Italy", "Cairo", (0, 3), (1, 6))[0]
    updated(workspace, "Cuba", "Madrid", (1, 60), (1, 61))
    edits = list(workspace.head.edits)
    assert len(edits) == 5
    assert second in edits
    assert workspace.ledger.edit(str(erased.edit)).kind == "erase"
    assert [one.edit.id for one in workspace.blame(NeuronId(0, 3))][:1] == [edits[0]]

    files = contents(tmp_path / "model")
    assert shard(exported(workspace)) != shard(tmp_path / "model")
    random.Random(f"{shape} {dtype}").shuffle(edits)
    for edit in edits:
        workspace.revert(edit, allow_overlap=True)
    assert workspace.head.id == workspace.ledger.version("root").id
    assert workspace.head.digests == {}
    assert contents(workspace.export(tmp_path / "out")) == files
    assert changed(bits(workspace.load()), bits(plainly_loaded(tmp_path / "model"))) == []
    assert workspace.verify() == []


def test_a_revert_that_others_build_on_is_refused_unless_allowed(tmp_path):
    workspace = new_workspace(tmp_path)
    first = updated(workspace, "France", "Rome", (0, 3), (1, 5))[0]
    done = workspace.update(about("Japan"), "Oslo", how=quick((0, 3), (1, 6)), accept=True)
    second = recorded(done)[0]
    assert [(one.edit, one.other, one.slots) for one in done.overlaps] == [
        (second, first, (NeuronId(0, 3),))
    ]
    before = contents(workspace.folder)
    with pytest.raises(SlotOverlap, match=r"L0\.3.*allow_overlap=True") as conflict:
        workspace.revert(first)
    assert conflict.value.exit_code == ExitCode.CONFLICT
    assert contents(workspace.folder) == before
    only_second = workspace.revert(first, allow_overlap=True)
    assert only_second.edits == (second,)
    workspace.rewind("base")
    alone = workspace.update(about("Japan"), "Oslo", how=quick((0, 3), (1, 6)), accept=True)
    assert alone.edit != second  # it was solved on another version
    workspace.rewind(only_second.id)
    workspace.revert(second)  # nothing comes after it
    assert workspace.head.edits == ()


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert"])
def test_two_disjoint_branches_compose_to_the_same_bytes_in_either_order(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    updated(workspace, "France", "Rome", (0, 3), (1, 5))
    ours = updated(workspace, "Spain", "Oslo", (0, 9))[1]
    workspace.tag("ours")
    workspace.rewind("root")
    theirs = updated(workspace, "Japan", "Oslo", (0, 4), (1, 6))[1]
    one = workspace.compose([ours, theirs])
    other = workspace.compose([theirs, "ours"])
    assert one.id != other.id
    assert sorted(one.edits) == sorted(other.edits)
    assert len(one.edits) == 3
    assert one.digests == other.digests
    assert contents(exported(workspace, one.id)) == contents(exported(workspace, other.id))
    with pytest.raises(AlreadyThere):
        workspace.compose([theirs, "ours"])


def test_the_same_recipe_in_two_ledgers_is_the_same_version_with_the_same_bytes(
    tmp_path, monkeypatch
):
    found = []
    for place in ("here", "there"):  # each with a model folder, a ledger and a cache of its own
        monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / place / "cache"))
        workspace = new_workspace(tmp_path / place, dtype=torch.bfloat16)
        first = updated(workspace, "France", "Rome")
        second = updated(workspace, "Japan", "Oslo")
        workspace.export(tmp_path / place / "out")
        workspace.export(tmp_path / place / "delta", form="delta")
        found.append(
            (
                first,
                second,
                workspace.head,
                contents(tmp_path / place / "out"),
                contents(tmp_path / place / "delta"),
            )
        )
    assert found[0] == found[1]
    files = found[0][4]
    assert files.keys() == {
        "kn_edit.json",
        *(f"{edit}.safetensors" for edit in workspace.head.edits),
    }
    for edit in workspace.head.edits:
        assert hashlib.sha256(files[f"{edit}.safetensors"]).hexdigest() == edit


def test_doing_the_same_again_after_a_revert_is_the_same_version(tmp_path):
    workspace = new_workspace(tmp_path)
    edit, version = updated(workspace, "France", "Rome")
    out = contents(exported(workspace))
    workspace.revert(edit[:10])
    assert updated(workspace, "France", "Rome") == (edit, version)
    assert contents(workspace.export(tmp_path / "again")) == out
    assert [one.id for one in workspace.ledger.edits()] == [edit]
    assert [step.kind for step in workspace.log()] == ["update", "revert", "update", "init"]
    assert workspace.verify() == []


def test_every_version_can_be_had_by_any_of_its_names(tmp_path):
    workspace = new_workspace(tmp_path)
    version = updated(workspace, "France", "Rome")[1]
    workspace.tag("v1")
    updated(workspace, "Japan", "Oslo")
    names = ("v1", version, version[:8])
    files = [contents(workspace.export(tmp_path / name, version=name)) for name in names]
    assert files[0] == files[1] == files[2]
    assert changed(bits(workspace.load("v1")), bits(plainly_loaded(tmp_path / "v1"))) == []
    difference = workspace.diff("v1", "head")
    assert difference.only_a == ()
    assert difference.only_b == workspace.head.edits[1:]


# --- proof ----------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """With two edits, of which only the second is in the head."""
    made = new_workspace(tmp_path)
    first = updated(made, "France", "Rome", (0, 3))[0]
    updated(made, "Japan", "Oslo", (1, 4))
    made.revert(first)
    return made


def reopened(workspace: Workspace) -> Workspace:
    return Workspace.open(workspace.folder)


def test_a_sound_workspace_passes(workspace):
    assert workspace.verify() == []
    assert reopened(workspace).verify() == []
    assert workspace.verify("head") == workspace.verify("base") == []


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_delta_with_other_bytes_is_found(harm, workspace):
    broken = workspace.ledger.edits()[0].id
    blob = workspace.ledger.blobs.path(broken)
    if harm == "gone":
        blob.unlink()
    else:
        data = bytearray(blob.read_bytes())
        data[-1] ^= 1
        blob.write_bytes(data)
    again = reopened(workspace)
    (problem,) = again.verify()
    assert (problem.part, problem.subject) == ("delta", broken)
    again.export(workspace.folder / "head")  # which does not need that edit
    with pytest.raises(DeltaDigestDiffers if harm == "changed" else DeltaMissing) as found:
        again.export(workspace.folder / "other", version=again.log()[1].version)
    assert found.value.exit_code == ExitCode.INTEGRITY
    assert not (workspace.folder / "other").exists()


def test_digests_that_do_not_come_out_are_found_beside_a_broken_delta(workspace):
    broken = workspace.ledger.edits()[0].id
    workspace.ledger.blobs.path(broken).write_bytes(b"")
    with closing(sqlite3.connect(workspace.folder / ".kn-edit" / "ledger.db")) as database:
        values = ("0" * 64, workspace.head.id)
        database.execute("UPDATE version_tensors SET sha256 = ? WHERE version_id = ?", values)
        database.commit()
    again = reopened(workspace)
    found = again.verify()
    assert [(one.part, one.subject) for one in found] == [
        ("rows", "event 4"),
        ("delta", broken),
        ("version", workspace.head.id),
    ]
    assert again.verify("base") == found[:2]
    with pytest.raises(ExportDiffers):
        again.export(workspace.folder / "out")
    assert not (workspace.folder / "out").exists()


def flip(folder: Path, name: str, row: int, column: int) -> None:
    """Change the last bit of one weight of a checkpoint."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors[name].view(torch.int32)[row, column] ^= 1
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.down_proj.weight", "model.embed_tokens.weight"]
)
def test_a_base_that_changed_is_found_and_nothing_is_done_with_it(name, workspace, tmp_path):
    recorded_before = contents(workspace.folder / ".kn-edit" / "blobs")
    head = workspace.head
    flip(tmp_path / "model", name, 2, 3)
    expected = Problem("base", str(tmp_path / "model"), "its weights changed since init")
    assert reopened(workspace).verify() == [expected]
    again = reopened(workspace)
    for verb in (
        lambda: again.update(about("Cuba"), "Rome", how=QUICK, accept=True),
        lambda: again.export(tmp_path / "out"),
        lambda: again.revert(head.edits[0]),
        lambda: again.load(),
    ):
        with pytest.raises(BaseChanged, match="changed since") as changed_:
            verb()
        assert changed_.value.exit_code == ExitCode.INTEGRITY
    assert again.head == head
    assert contents(workspace.folder / ".kn-edit" / "blobs") == recorded_before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_a_companion_file_that_changed_is_found_by_verify(name, workspace, tmp_path):
    file = tmp_path / "model" / name
    file.write_text(f" {file.read_text()}")
    (problem,) = reopened(workspace).verify()
    assert (problem.part, problem.subject) == ("base", str(file))


def test_a_change_that_hides_its_time_is_found_by_verify(workspace, tmp_path):
    file = tmp_path / "model" / "model.safetensors"
    stat = file.stat()
    flip(tmp_path / "model", "model.layers.1.mlp.down_proj.weight", 2, 4)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    (problem,) = reopened(workspace).verify()
    assert problem.part == "base"


def test_a_base_that_was_only_touched_or_put_back_serves_as_before(workspace, tmp_path):
    (tmp_path / "model" / "model.safetensors").touch()
    assert reopened(workspace).verify() == []
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    again = reopened(workspace)
    assert again.head == workspace.head  # what needs no model goes on
    assert len(again.log()) == 4
    with pytest.raises(CheckpointFolderMissing):
        again.update(about("Cuba"), "Rome", how=QUICK, accept=True)
    (tmp_path / "elsewhere").rename(tmp_path / "model")
    assert reopened(workspace).verify() == []
