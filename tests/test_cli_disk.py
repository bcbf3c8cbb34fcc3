"""init, export, verify, backup, gc, doctor at the command line."""

from __future__ import annotations

import tarfile
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

from kn_edit.errors import ExitCode
from kn_edit.models.cache import notes_folder
from kn_edit.workspace import Workspace


def test_init_makes_a_workspace_once(shell, tmp_path):
    ran = shell("init", shell.model, "--json", "--workspace", "w")
    assert ran.code == 0
    assert (tmp_path / "w" / ".kn-edit" / "ledger.db").is_file()
    assert (ran.json["model"], ran.json["edits"]) == ("model", [])
    assert shell("status", "--workspace", "w", "-q").lines == [ran.json["head"]]
    again = shell("init", shell.model, "--workspace", "w", "--json")
    assert (again.code, again.json) == (0, ran.json)
    assert shell("tag", "v1", "--workspace", "w").code == 0
    refused = shell("init", shell.model, "--workspace", "w")
    assert (refused.code, refused.out) == (ExitCode.CONFLICT, "")


def test_export_of_the_base_gives_its_bytes_and_of_the_head_others(edited):
    assert edited("export", "base", "--version", "base").code == 0
    head = edited("export", "head", "--json").json
    assert head["version"] == edited("status", "-q").lines[0]
    assert (head["path"], head["as"]) == ("head", "checkpoint")
    original = (Path(edited.model) / "model.safetensors").read_bytes()
    assert Path("base/model.safetensors").read_bytes() == original
    assert Path("head/model.safetensors").read_bytes() != original


def test_export_as_delta_holds_the_edits(edited):
    edits = edited("status", "--json").json["edits"]
    assert edited("export", "recipe", "--as", "delta").code == 0
    names = " ".join(path.name for path in Path("recipe").rglob("*"))
    assert all(edit in names for edit in edits)


def test_export_never_writes_over_anything(edited):
    Path("full").mkdir()
    Path("full/mine").write_text("mine")
    assert edited("export", "full").code == ExitCode.USAGE
    assert [path.name for path in Path("full").iterdir()] == ["mine"]


def test_verify_is_quiet_when_all_is_well_and_exits_4_when_not(edited):
    assert edited("verify", "--json").json["problems"] == []
    assert edited("verify", "head").out.startswith("all is well")
    assert edited("verify", "-q").out == ""
    with closing(connect(".kn-edit/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE version_tensors SET sha256 = '0'")
    ran = edited("verify", "--json")
    assert ran.code == ExitCode.INTEGRITY
    assert (ran.json["ok"], ran.error["error"]) == (False, "Unsound")
    assert {problem["part"] for problem in ran.json["problems"]} == {"rows", "version"}
    assert edited("verify").code == ExitCode.INTEGRITY


def test_what_verify_finds_is_told_in_the_words_of_each_front_end(edited):
    (delta, *_) = Path(".kn-edit/blobs").rglob("*.safetensors")
    delta.unlink()
    ran = edited("verify", "--json")
    (missing, *_) = [problem for problem in ran.json["problems"] if problem["part"] == "delta"]
    assert "`kn-edit restore FILE --replace`, FILE made by `kn-edit backup`" in missing["message"]
    assert "kn-edit restore FILE --replace" in ran.error["detail"]["problems"][0]
    assert "restore" in ran.error["remedies"]
    with Workspace.open() as workspace:
        messages = [problem.message for problem in workspace.verify()]
    assert any("`Workspace.restore(FILE, replace=True)`" in message for message in messages)
    assert not any("--" in message for message in messages)


def test_verify_prints_the_digest_of_the_journal_and_takes_it_later(edited):
    digest = edited("verify", "--json").json["chain"]
    assert edited("verify").out.strip().endswith(digest)
    edited("tag", "later")
    assert edited("verify", "--since", digest).code == 0
    ran = edited("verify", "--since", "0" * 64, "--json")
    assert (ran.code, ran.json["ok"]) == (ExitCode.INTEGRITY, False)
    assert edited("verify", "--since", "12345678").code == ExitCode.USAGE


def test_a_backup_can_be_restored(edited, tmp_path):
    log = edited("log", "--json").out
    ran = edited("backup", "edits.tar", "--json")
    assert ran.json["bytes"] == Path("edits.tar").stat().st_size
    assert edited("backup", "edits.tar").code == ExitCode.CONFLICT
    with tarfile.open("edits.tar") as tar:
        tar.extractall(tmp_path / "again" / ".kn-edit", filter="data")
    assert edited("log", "--json", "--workspace", str(tmp_path / "again")).out == log


def test_restore_makes_a_workspace_and_keeps_a_former_ledger(edited, tmp_path):
    log = edited("log", "--json").out
    assert edited("backup", "edits.tar").code == 0
    ran = edited("restore", "edits.tar", "--workspace", str(tmp_path / "again"), "--json")
    assert ran.json["workspace"] == str(tmp_path / "again")
    assert ran.json["aside"] is None
    assert edited("log", "--json", "--workspace", str(tmp_path / "again")).out == log
    taken = edited("restore", "edits.tar")
    assert (taken.code, "--replace" in taken.err) == (ExitCode.CONFLICT, True)
    Path(".kn-edit/ledger.db").write_bytes(b"damaged")
    assert "kn-edit restore" in edited("log").err
    replaced = edited("restore", "edits.tar", "--replace", "--json").json
    assert Path(replaced["aside"], "ledger.db").read_bytes() == b"damaged"
    assert edited("log", "--json").out == log
    assert edited("verify").code == 0


def test_restore_of_something_else_is_refused(shell, tmp_path):
    (tmp_path / "x.tar").write_bytes(b"no tar")
    ran = shell("restore", str(tmp_path / "x.tar"), "--workspace", "w")
    assert (ran.code, ran.out) == (ExitCode.INTEGRITY, "")
    assert "not a sound backup" in ran.err
    assert not (tmp_path / "w" / ".kn-edit").exists()


def test_gc_finds_nothing_in_a_tidy_workspace(edited):
    tidy = {"removed": [], "scores": {"removed": 0, "bytes": 0}, "jobs": {"removed": 0}}
    assert edited("gc", "--json").json == tidy
    assert edited("gc").out == "0 files removed\n"


def test_gc_takes_what_a_killed_export_left_beside_its_target(edited, tmp_path):
    partial = tmp_path / "elsewhere" / ".out.0123456789abcdef.partial"
    partial.mkdir(parents=True)
    notes = notes_folder()
    notes.mkdir(parents=True, exist_ok=True)
    (notes / "1.note").write_text(str(partial))
    assert edited("gc", "--json").json["removed"] == [str(partial)]
    assert not partial.exists()
    assert not (notes / "1.note").exists()


def test_gc_removes_an_old_orphan_and_a_young_one_when_asked(edited):
    orphan = Path(".kn-edit/blobs/ab") / f"{'ab' * 32}.safetensors"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"")
    assert edited("gc", "--json").json["removed"] == []
    assert edited("gc", "--older-than", "nan").code == ExitCode.USAGE
    assert edited("gc", "--older-than", "1e300").code == 0
    assert orphan.exists()
    assert len(edited("gc", "--older-than", "0", "--json").json["removed"]) == 1
    assert not orphan.exists()


def test_doctor_works_everywhere(shell, place):
    outside = shell("doctor", "--json").json
    found = {one["what"]: one for one in outside["findings"]}
    assert found["torch"]["ok"]
    assert found["workspace"]["found"] == "none here"
    inside = shell("doctor", "--workspace", str(place / "edited"))
    assert "model (llama, F32)" in inside.out


def test_doctor_names_what_is_wrong(edited):
    with closing(connect(".kn-edit/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE base_models SET source = '/moved/away'")
    ran = edited("doctor", "-q")
    assert (ran.code, ran.lines) == (ExitCode.ERROR, ["weights"])
    assert "! weights" in edited("doctor").out
