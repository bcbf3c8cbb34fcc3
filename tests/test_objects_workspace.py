"""A workspace whose deltas lie in a bucket, and versions that are exported into one."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import safetensors.torch
from tiny_models import tiny_folder
from workspaces import QUICK

from kn_edit.cli.run import run
from kn_edit.errors import (
    BadSetting,
    BadSettingsFile,
    BlobsTaken,
    BucketMissing,
    DeltaMissing,
    KnEditError,
    LedgerExists,
    ObjectAccessDenied,
    ObjectKeysMissing,
    ObjectsInTheWay,
)
from kn_edit.objects.address import ObjectAddress
from kn_edit.objects.opening import open_bucket
from kn_edit.objects.whole import CLAIM, MANIFEST
from kn_edit.workspace import Workspace, case_of
from kn_edit.workspace.storage import BLOBS_URL

TORTURE = "KN_EDIT_TORTURE" in os.environ
KILLS = 20 if TORTURE else 2
KN_EDIT = (sys.executable, "-m", "kn_edit.cli")
JAPAN = case_of(prompts=["the capital of [X] is [Y]"], subject="Japan", answer="Tokyo")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture
def workspace(model, tmp_path, bucket):
    with Workspace.init(model, tmp_path / "w", blobs=f"{bucket}/team") as workspace:
        workspace.update(JAPAN, "Oslo", how=QUICK, accept=True)
        yield workspace


def objects_at(address: str) -> dict[str, bytes]:
    objects = open_bucket(ObjectAddress.parse(address))
    return {entry.name: objects.get(entry.name, 1 << 30) or b"" for entry in objects.entries()}


# --- deltas --------------------------------------------------------------------------------------


def test_deltas_lie_in_the_bucket_and_nowhere_else(workspace, bucket):
    [edit] = workspace.ledger.edits()
    names = [name for name in objects_at(bucket) if name.endswith(".safetensors")]
    assert names == [f"team/blobs/{edit.id[:2]}/{edit.id}.safetensors"]
    assert not (workspace.folder / ".kn-edit" / "blobs").exists()
    assert workspace.verify() == []
    with Workspace.open(workspace.folder) as again:
        assert again.ledger.delta(edit.id).id == edit.id
        again.revert(edit.id)
        assert again.verify() == []


def test_the_settings_keep_the_address_and_no_secret(workspace, bucket, object_server):
    text = (workspace.folder / "kn-edit.toml").read_text()
    assert tomllib.loads(text) == {"ledger": {"blobs": f"{bucket}/team"}}
    everything = b"".join(
        path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()
    )
    assert object_server.writer.secret.encode() not in everything
    assert object_server.writer.key.encode() not in everything


def test_the_environment_names_a_bucket_for_a_new_workspace(model, tmp_path, bucket, monkeypatch):
    monkeypatch.setenv(BLOBS_URL, bucket)
    Workspace.init(model, tmp_path / "w").close()
    monkeypatch.setenv(BLOBS_URL, f"{bucket}/other")
    with Workspace.open(tmp_path / "w") as workspace:  # which keeps its own
        workspace.update(JAPAN, "Oslo", how=QUICK, accept=True)
        assert workspace.ledger.blobs.place == f"{bucket}/blobs"
    with pytest.raises(BadSettingsFile, match=r"\[ledger\] says otherwise"):
        Workspace.init(model, tmp_path / "w")


def test_init_tries_the_bucket_before_it_makes_anything(model, tmp_path, bucket, monkeypatch):
    def refused(error: type[Exception], url: str = bucket) -> None:
        with pytest.raises(error):
            Workspace.init(model, tmp_path / "w", blobs=url)
        assert not (tmp_path / "w").exists()

    refused(BadSetting, "/tmp/blobs")
    refused(BucketMissing, "s3://nobody-has-this")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    refused(ObjectAccessDenied)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(ObjectKeysMissing)


def test_a_store_belongs_to_one_ledger(workspace, model, tmp_path, bucket):
    with pytest.raises(BlobsTaken, match="store of another ledger") as caught:
        Workspace.init(model, tmp_path / "other", blobs=f"{bucket}/team")
    assert caught.value.exit_code == 3 and not (tmp_path / "other").exists()
    with pytest.raises(LedgerExists):  # of its own, which goes on
        Workspace.init(model, workspace.folder, blobs=f"{bucket}/team")
    assert workspace.verify() == []


def test_an_init_that_fails_leaves_the_store_to_others(model, tmp_path, bucket):
    with pytest.raises(KnEditError):
        Workspace.init(tmp_path / "no model", tmp_path / "w", blobs=bucket)
    Workspace.init(model, tmp_path / "w", blobs=bucket).close()
    Workspace.init(model, tmp_path / "w", blobs=bucket).close()  # nothing is recorded yet


def test_an_edit_whose_delta_the_bucket_lost_is_told_with_its_address(workspace, bucket):
    [edit] = workspace.ledger.edits()
    workspace.ledger.blobs.delete(edit.id, before=time.time() + 100)
    with pytest.raises(DeltaMissing, match=f"{bucket}/team/blobs"):
        workspace.ledger.delta(edit.id)
    assert [problem.part for problem in workspace.verify()] == ["delta"]


def test_a_backup_is_restored_into_the_bucket_of_the_environment(
    workspace, tmp_path, bucket, monkeypatch
):
    workspace.backup(tmp_path / "b.tar")
    monkeypatch.setenv(BLOBS_URL, f"{bucket}/restored")
    Workspace.restore(tmp_path / "b.tar", tmp_path / "r")
    monkeypatch.delenv(BLOBS_URL)
    with Workspace.open(tmp_path / "r") as restored:
        assert restored.verify() == []
        assert restored.ledger.blobs.place == f"{bucket}/restored/blobs"
        assert restored.head.id == workspace.head.id
    assert not (tmp_path / "r" / ".kn-edit" / "blobs").exists()


def test_a_workspace_in_a_bucket_is_opened_without_keys_and_without_the_client(
    workspace, monkeypatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    script = (
        "import sys; from kn_edit.workspace import Workspace\n"
        "with Workspace.open(sys.argv[1]) as w: print(len(w.log()))\n"
        "print('obstore' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(workspace.folder)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["2", "False"], done.stderr


# --- exports -------------------------------------------------------------------------------------


def test_a_checkpoint_in_a_bucket_has_the_bytes_of_one_in_a_folder(workspace, tmp_path, bucket):
    workspace.export(f"{bucket}/v1")
    folder = workspace.export(tmp_path / "v1")
    objects = objects_at(f"{bucket}/v1")
    manifest = json.loads(objects.pop(MANIFEST))
    assert {"config.json", "model.safetensors"} <= objects.keys()
    assert objects == {name: (folder / name).read_bytes() for name in objects}
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in objects.items()
    }
    assert (manifest["form"], manifest["version"]) == ("checkpoint", workspace.head.id)
    assert manifest["edits"] == [edit.id for edit in workspace.ledger.edits()]
    assert safetensors.torch.load(objects["model.safetensors"])


@pytest.mark.parametrize("form", ["delta", "adapter", "patch"])
def test_each_form_goes_into_a_bucket(workspace, tmp_path, bucket, form):
    workspace.export(f"{bucket}/{form}", form=form)
    folder = workspace.export(tmp_path / form, form=form)
    objects = objects_at(f"{bucket}/{form}")
    assert json.loads(objects.pop(MANIFEST))["form"] == form
    paths = [path for path in folder.rglob("*") if path.is_file()]
    assert objects.keys() == {path.relative_to(folder).as_posix() for path in paths}


def test_an_export_goes_only_where_nothing_lies(workspace, bucket):
    workspace.export(f"{bucket}/v1")
    before = objects_at(f"{bucket}/v1")
    with pytest.raises(ObjectsInTheWay, match="another prefix"):
        workspace.export(f"{bucket}/v1")
    assert objects_at(f"{bucket}/v1") == before
    open_bucket(ObjectAddress.parse(f"{bucket}/v2")).create(CLAIM, b"")
    with pytest.raises(ObjectsInTheWay, match="under way, or was cut off"):
        workspace.export(f"{bucket}/v2")
    workspace.export(f"{bucket}/v")  # a name that begins others is no folder of theirs


def test_an_export_that_fails_leaves_nothing(workspace, bucket, monkeypatch):
    def fail(task: str, done: int, total: int) -> None:
        if task == "uploading" and done > 0.5 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), workspace.call(progress=fail):
        workspace.export(f"{bucket}/v1")
    assert objects_at(f"{bucket}/v1") == {}


def test_who_may_not_write_is_told_so_and_nothing_is_there(
    workspace, bucket, object_server, monkeypatch, capsys
):
    for name, value in object_server.environment(object_server.reader).items():
        monkeypatch.setenv(name, value)
    code = run(["--workspace", str(workspace.folder), "export", f"{bucket}/v1"])
    assert code == 5 and "is denied (AccessDenied)" in capsys.readouterr().err
    assert objects_at(f"{bucket}/v1") == {}


def test_the_command_line_exports_into_a_bucket(workspace, bucket, capsys):
    code = run(["--workspace", str(workspace.folder), "export", f"{bucket}/v1", "--json"])
    assert code == 0
    assert json.loads(capsys.readouterr().out)["path"] == f"{bucket}/v1"
    assert MANIFEST in objects_at(f"{bucket}/v1")
    assert not Path("s3:").exists()


def test_an_export_that_is_killed_is_whole_or_has_no_config(workspace, bucket):
    for number in range(KILLS):
        place = f"{bucket}/killed-{number}"
        process = subprocess.Popen(
            [*KN_EDIT, "--workspace", str(workspace.folder), "export", place],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        objects = open_bucket(ObjectAddress.parse(place))
        while process.poll() is None and not objects.entry(CLAIM):
            time.sleep(0.01)
        time.sleep(0.1 * number / KILLS)
        process.send_signal(signal.SIGKILL)
        process.wait()
        names = objects_at(place).keys()
        assert MANIFEST in names or CLAIM in names
        if MANIFEST in names:
            assert {"config.json", "model.safetensors"} <= names
        else:
            with pytest.raises(ObjectsInTheWay):
                workspace.export(place)
