"""Links of a checkpoint folder hand out nothing that lies outside of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from failing_disk import failing_from
from safetensors.torch import load_file, save_file
from tiny_models import tiny_folder

from kn_edit.checkpoints import folders
from kn_edit.checkpoints.folders import (
    files_below,
    leads_outside,
    new_folder,
    refuse_links,
    write_folder,
)
from kn_edit.checkpoints.materialise import export_checkpoint, published_names
from kn_edit.errors import CannotWrite, LinkLeadsOutside, WriteUnknown
from kn_edit.models.shards import Shards
from kn_edit.workspace.publishing import _local_license

SECRET = "aws_secret_access_key = precious"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "credentials").write_text(SECRET)
    return folder


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"weight": torch.ones(2, 2)}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


LINKS = ("tokenizer.secret", "LICENSE", "README.md", "vocab.txt", "notes", "sub/inside")


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_outside_is_not_exported(model, home, tmp_path, name):
    (model / "sub").mkdir()
    (model / name).symlink_to(home / "credentials")
    with pytest.raises(LinkLeadsOutside, match="follow_links=True") as caught:
        export_checkpoint(Shards.open(model), [], tmp_path / "out")
    assert (caught.value.link, caught.value.target) == (model / name, home / "credentials")
    assert not (tmp_path / "out").exists()
    export_checkpoint(Shards.open(model), [], tmp_path / "out", follow_links=True)
    assert (tmp_path / "out" / name).read_text() == SECRET
    assert not (tmp_path / "out" / name).is_symlink()


@pytest.mark.parametrize("name", ["tokenizer.secret.json", "LICENSE", "vocab.txt"])
def test_a_link_that_leads_outside_is_not_published(model, home, name):
    (model / name).symlink_to(home / "credentials")
    files = published_names(Shards.open(model))
    if name in files:
        with pytest.raises(LinkLeadsOutside):
            refuse_links(model, files)
    else:
        refuse_links(model, files)


def test_weights_that_are_links_are_read_and_not_handed_on(model, tmp_path):
    """Somebody else's folder may name the private weights of the user."""
    (tmp_path / "private").mkdir()
    (model / "model.safetensors").rename(tmp_path / "private" / "weights")
    (model / "model.safetensors").symlink_to(tmp_path / "private" / "weights")
    shards = Shards.open(model)
    assert shards.read("weight").tolist() == [[1, 1], [1, 1]]
    with pytest.raises(LinkLeadsOutside):
        export_checkpoint(shards, [], tmp_path / "out")
    with pytest.raises(LinkLeadsOutside):
        refuse_links(model, published_names(shards))
    export_checkpoint(shards, [], tmp_path / "out", follow_links=True)
    assert "model.safetensors" in names(tmp_path / "out")


@pytest.mark.parametrize("through", ["folder", "chain", "parent"])
def test_a_linked_folder_or_a_chain_of_links_leads_outside_too(model, home, tmp_path, through):
    if through == "folder":
        (model / "more").symlink_to(home)
    elif through == "chain":
        (model / "b").symlink_to(home / "credentials")
        (model / "a").symlink_to("b")
    else:
        (model / "a").symlink_to("../home/credentials")
    with pytest.raises(LinkLeadsOutside):
        export_checkpoint(Shards.open(model), [], tmp_path / "out")


def test_links_inside_the_folder_are_copied_as_files(model, tmp_path):
    (model / "again.json").symlink_to("tokenizer.json")
    (model / "sub").mkdir()
    (model / "sub" / "file").write_text("x")
    (model / "linked").symlink_to("sub")
    (model / "sub" / "up").symlink_to("..")
    export_checkpoint(Shards.open(model), [], tmp_path / "out")
    assert (tmp_path / "out" / "again.json").read_text() == "{}"
    assert (tmp_path / "out" / "linked" / "file").read_text() == "x"


def cached(tmp_path: Path, model: Path) -> Path:
    """The model as a snapshot in a Hub cache, every file a link to a blob."""
    repository = tmp_path / "cache" / "models--org--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, path in enumerate(sorted(model.iterdir())):
        path.rename(repository / "blobs" / str(number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    return snapshot


def test_a_snapshot_of_a_hub_cache_is_exported(model, tmp_path):
    snapshot = cached(tmp_path, model)
    export_checkpoint(Shards.open(snapshot), [], tmp_path / "out")
    assert names(tmp_path / "out") == ["config.json", "model.safetensors", "tokenizer.json"]
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())
    refuse_links(snapshot, published_names(Shards.open(snapshot)))


def test_a_folder_that_only_looks_like_a_hub_cache_hands_out_nothing(model, home, tmp_path):
    snapshot = cached(tmp_path, model)
    blob = snapshot.parent.parent / "blobs" / "9"
    blob.symlink_to(home / "credentials")
    (snapshot / "LICENSE").symlink_to("../../blobs/9")
    with pytest.raises(LinkLeadsOutside):
        export_checkpoint(Shards.open(snapshot), [], tmp_path / "out")


def test_pipes_sockets_devices_and_dangling_links_are_left_out(model, tmp_path):
    os.mkfifo(model / "pipe")
    (model / "nowhere").symlink_to("missing")
    (model / "round").symlink_to("round")
    (model / "zero").symlink_to("/dev/zero")
    for follow_links in (False, True):
        try:
            found = {str(path) for path in files_below(model, follow_links=follow_links)}
        except LinkLeadsOutside as error:
            assert error.link.name == "zero"
        else:
            assert found == {"config.json", "model.safetensors", "tokenizer.json"}
    assert not leads_outside(model / "nowhere", model)


def test_folders_that_link_to_each_other_end(model, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("x")
    (model / "other").symlink_to(other)
    (other / "model").symlink_to(model)
    found = {str(path) for path in files_below(model, follow_links=True)}
    assert "other/file" in found
    assert len(found) == 4


def test_no_license_is_taken_from_a_linked_card(model, home):
    (home / "card").write_text("---\nlicense: mit\n---\n")
    (model / "README.md").symlink_to(home / "card")
    assert "mit" not in _local_license(model).values()
    (model / "README.md").unlink()
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    assert "mit" in _local_license(model).values()


# --- folders that appear whole -------------------------------------------------------------------


def test_every_folder_of_an_export_is_on_disk_before_it_has_its_name(model, tmp_path, monkeypatch):
    (model / "sub" / "deep").mkdir(parents=True)
    (model / "sub" / "deep" / "file").write_text("x")
    synced: set[str] = set()
    fsync, rename, missing = os.fsync, Path.rename, []

    def note(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def look(path, target):
        missing.append({str(inner) for inner in (path, *path.rglob("*"))} - synced)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", look)
    export_checkpoint(Shards.open(model), [], tmp_path / "out")
    assert missing == [set()]
    assert str(tmp_path) in synced


def test_a_folder_whose_name_may_not_last_is_not_there(tmp_path, monkeypatch):
    sync = folders.sync

    def fail(path):
        if path == tmp_path:
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(folders, "sync", fail)
    with pytest.raises(CannotWrite), new_folder(tmp_path / "out") as partial:
        (partial / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_taken_back_is_told_as_unknown(tmp_path, monkeypatch):
    """The disk fails for good: nobody may say that nothing is left behind."""
    failed = failing_from(lambda path: path == tmp_path, monkeypatch)
    with pytest.raises(WriteUnknown) as caught:
        write_folder(tmp_path / "out", {"file": b"x"})
    monkeypatch.undo()
    assert failed
    assert caught.value.path == tmp_path / "out"
    assert (tmp_path / "out" / "file").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["x" * 250, "é" * 120])
def test_a_long_name_that_the_disk_allows_is_no_problem(tmp_path, name):
    with new_folder(tmp_path / name):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_target_in_a_circle_of_links_is_refused(tmp_path):
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(CannotWrite), new_folder(tmp_path / "round" / "out"):
        pass


def test_the_index_goes_with_one_shard_too_and_with_shards_without_tensors(tmp_path):
    """Without it transformers looks for model.safetensors."""
    folder = tiny_folder("llama", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "all.safetensors")
    save_file({}, folder / "none.safetensors")
    weight_map = dict.fromkeys(tensors, "all.safetensors") | {"tied": "none.safetensors"}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    names = {"all.safetensors", "none.safetensors", "model.safetensors.index.json"}
    assert names <= {*published_names(Shards.open(folder))}
