"""`init` ends in a whole ledger on disk, or in none; cut off anywhere, it can be run again."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from failing_disk import failing_from
from ledgers import BASE, delta_of, folder_of, new_ledger, open_ledger, record
from tiny_models import tiny_folder

from kn_edit.errors import LedgerExists, LedgerUnusable, LinkInLedger, WriteUnknown
from kn_edit.ledger import creation, sqlite_file
from kn_edit.workspace import Workspace

TOKEN = "0123456789abcdef"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder("llama", tmp_path_factory.mktemp("model"))


# --- durable -------------------------------------------------------------------------------------


def test_file_and_every_folder_that_it_made_are_on_disk(tmp_path, monkeypatch):
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    new_ledger(tmp_path / "a" / "b").close()
    database = next(path for path in synced if path.endswith("/ledger.db"))
    folder = tmp_path / "a" / "b" / ".kn-edit"
    assert synced.index(database) < synced.index(str(folder))
    assert {str(path) for path in (folder, folder.parent, tmp_path / "a", tmp_path)} <= set(synced)


def test_a_folder_that_a_killed_init_made_is_flushed_too(tmp_path, monkeypatch):
    (tmp_path / ".kn-edit").mkdir()
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    new_ledger(tmp_path).close()
    assert {str(tmp_path), str(tmp_path / ".kn-edit")} <= set(synced)


def test_a_ledger_whose_name_may_not_last_is_not_there(tmp_path, monkeypatch):
    (tmp_path / ".kn-edit").mkdir()
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path / ".kn-edit":
            raise OSError(5, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LedgerUnusable):
        new_ledger(tmp_path)
    monkeypatch.undo()
    assert names(tmp_path / ".kn-edit") == []
    new_ledger(tmp_path).close()


def test_a_ledger_whose_name_cannot_be_taken_back_is_told_as_unknown(tmp_path, monkeypatch):
    """The disk fails for good: nobody may say that nothing is there."""
    (tmp_path / ".kn-edit").mkdir()
    failed = failing_from(lambda path: path == tmp_path / ".kn-edit", monkeypatch)
    with pytest.raises(WriteUnknown) as caught:
        new_ledger(tmp_path)
    monkeypatch.undo()
    assert failed
    assert caught.value.path == tmp_path / ".kn-edit" / "ledger.db"
    with open_ledger(tmp_path) as ledger:
        assert ledger.check() == []


# --- cut off -------------------------------------------------------------------------------------


def test_what_a_killed_init_left_is_removed_by_the_next(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    folder = tmp_path / ".kn-edit"
    (folder / f".ledger.db.{TOKEN}.partial").mkdir(parents=True)
    (folder / f".ledger.db.{TOKEN}.partial" / "ledger.db").write_text("half")
    for ending in ("", "-wal", "-shm", "-journal"):
        (folder / f"ledger.db.{dead.pid}.tmp{ending}").write_text("half")
    new_ledger(tmp_path).close()
    assert names(folder) == ["ledger.db"]


@pytest.mark.parametrize(
    ("module", "step"),
    [(creation, "_fill"), (sqlite_file, "sync"), (sqlite_file, "_move_into_place")],
)
def test_an_init_cut_off_before_its_end_can_be_run_again(tmp_path, monkeypatch, module, step):
    def crash(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, crash)
        with pytest.raises(KeyboardInterrupt):
            new_ledger(tmp_path)
    with new_ledger(tmp_path) as ledger:
        assert ledger.check() == []
    assert names(tmp_path / ".kn-edit") == ["ledger.db"]


def test_an_init_cut_off_after_its_end_can_be_run_again(tmp_path, model):
    with Workspace.init(model, tmp_path / "w") as first:
        head, log = first.head, first.log()
    (tmp_path / "w" / ".kn-edit" / "base.json").unlink()
    with Workspace.init(model, tmp_path / "w") as second:
        assert (second.head, second.log()) == (head, log)
        assert second.verify() == []


def test_a_ledger_of_another_model_or_with_something_in_it_is_kept(tmp_path, model):
    other = tiny_folder("gpt2", tmp_path / "other")
    with Workspace.init(model, tmp_path / "w"):
        pass
    before = (tmp_path / "w" / ".kn-edit" / "ledger.db").read_bytes()
    with pytest.raises(LedgerExists):
        Workspace.init(other, tmp_path / "w")
    assert (tmp_path / "w" / ".kn-edit" / "ledger.db").read_bytes() == before
    with Workspace.open(tmp_path / "w") as workspace:
        workspace.tag("v1")
    with pytest.raises(LedgerExists):
        Workspace.init(model, tmp_path / "w")


def attempt(folder: Path, outcome) -> None:
    try:
        new_ledger(folder).close()
    except LedgerExists:
        outcome.put("there already")
    except BaseException as error:
        outcome.put(repr(error))
    else:
        outcome.put("made")


def test_of_several_inits_at_once_one_makes_the_ledger(tmp_path):
    fork = multiprocessing.get_context("fork")
    outcome = fork.Queue()
    processes = [fork.Process(target=attempt, args=(tmp_path, outcome)) for _ in range(5)]
    for process in processes:
        process.start()
    told = sorted(outcome.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert told == ["made"] + ["there already"] * 4
    assert names(tmp_path / ".kn-edit") == ["ledger.db"]
    with open_ledger(tmp_path) as ledger:
        assert ledger.check() == []


def test_the_log_of_a_ledger_that_is_gone_is_not_replayed_into_a_new_one(tmp_path):
    with new_ledger(tmp_path) as ledger:
        reader = sqlite3.connect(folder_of(ledger) / "ledger.db")
        with closing(reader):
            reader.execute("SELECT * FROM refs").fetchall()
            record(ledger, delta_of((0, 1)))
            log = (folder_of(ledger) / "ledger.db-wal").read_bytes()
    assert len(log) > 0
    (tmp_path / ".kn-edit" / "ledger.db").unlink()
    (tmp_path / ".kn-edit" / "ledger.db-wal").write_bytes(log)
    with new_ledger(tmp_path) as ledger:
        assert ledger.edits() == []
        assert ledger.check() == []
        assert ledger.base == BASE
    kept = [path for path in (tmp_path / ".kn-edit").iterdir() if path.name.endswith(".old")]
    assert [path.read_bytes() for path in kept] == [log]


# --- links ---------------------------------------------------------------------------------------


def test_no_ledger_is_made_through_a_link(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".kn-edit").symlink_to(tmp_path / "home")
    with pytest.raises(LinkInLedger):
        new_ledger(tmp_path / "w")
    assert names(tmp_path / "home") == []


@pytest.mark.parametrize("target", ["precious", "nowhere"])
def test_a_database_that_is_a_link_counts_as_there(tmp_path, target):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".kn-edit").mkdir()
    (tmp_path / ".kn-edit" / "ledger.db").symlink_to(tmp_path / target)
    with pytest.raises(LedgerExists):
        new_ledger(tmp_path)
    assert names(tmp_path) == [".kn-edit", "precious"]
    assert (tmp_path / "precious").read_text() == "precious"


def test_no_stamps_are_written_through_a_link(tmp_path, model):
    with Workspace.init(model, tmp_path / "w") as workspace:
        stamps = workspace.ledger_folder / "base.json"
    noted = stamps.read_text()
    stamps.unlink()
    (tmp_path / "precious").write_text(noted.replace("model", "other"))
    before = (tmp_path / "precious").read_text()
    stamps.symlink_to(tmp_path / "precious")
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace.engine.shards.entries
    assert (tmp_path / "precious").read_text() == before
    assert not stamps.is_symlink()
    assert stamps.read_text() == noted


@pytest.mark.parametrize("text", ["[" * 600 + "]" * 600, "\xff", "{", "[]", "9" * 5000])
def test_wild_stamps_only_cost_a_look_at_the_base(tmp_path, model, text):
    with Workspace.init(model, tmp_path / "w") as workspace:
        stamps = workspace.ledger_folder / "base.json"
    stamps.write_bytes(text.encode("latin-1"))
    with Workspace.open(tmp_path / "w") as workspace:
        assert workspace.engine.shards.entries
    assert "model" in stamps.read_text()
