"""Tidying a ledger: what goes, what stays, and that nothing outside is ever touched."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from ledgers import delta_of, folder_of, move, new_ledger, only_sqlite, record

from kn_edit.atomic import scratch_folder
from kn_edit.errors import LinkInLedger

pytestmark = pytest.mark.usefixtures("database")

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))
NOW = timedelta(0)
TOKEN = "0123456789abcdef"


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "w").mkdir()
    with new_ledger(tmp_path / "w") as ledger:
        yield ledger


@pytest.fixture
def outside(tmp_path):
    """Files of the user that look like a ledger's, and are old."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in (f"{A.id}.safetensors", "model.safetensors", f"{A.id}.1.2.tmp", "x.tmp"):
        (folder / name).write_text("precious")
        age(folder / name, days=100)
    return folder


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - 86400 * days,) * 2, follow_symlinks=False)


def unharmed(folder: Path) -> bool:
    texts = [path.read_text() for path in folder.iterdir()]
    return len(texts) == 4 and set(texts) == {"precious"}


# --- what goes and what stays --------------------------------------------------------------------


def test_deltas_of_no_edit_go_after_two_weeks(ledger):
    ledger.blobs.put(A.to_bytes())
    path = ledger.blobs.path(A.id)
    age(path, days=13.9)
    assert ledger.gc() == []
    age(path, days=14.1)
    assert ledger.gc() == [str(path)]
    assert not path.exists()


def test_young_deltas_go_when_asked(ledger):
    ledger.blobs.put(A.to_bytes())
    age(ledger.blobs.path(A.id), days=0.01)
    assert ledger.gc(older_than=NOW) == [ledger.blobs.where(A.id)]


def test_a_delta_that_is_stored_again_is_young_again(ledger):
    ledger.blobs.put(A.to_bytes())
    age(ledger.blobs.path(A.id), days=20)
    ledger.blobs.put(A.to_bytes())
    assert ledger.gc() == []


def test_the_deltas_of_recorded_edits_stay_reverted_or_not(ledger):
    record(ledger, A)
    record(ledger, B)
    move(ledger, ledger.plan_revert(A.id))
    for edit in (A.id, B.id):
        age(ledger.blobs.path(edit), days=1000)
    assert ledger.gc(older_than=NOW) == []
    assert len(ledger.deltas([A.id, B.id])) == 2


@pytest.mark.parametrize("hours", [1.02, 24 * 365])
def test_a_delta_from_the_future_is_young(ledger, hours):
    """The clock of the machine that wrote it was ahead, or that of this one is behind."""
    ledger.blobs.put(A.to_bytes())
    age(ledger.blobs.path(A.id), days=-hours / 24)
    assert ledger.gc() == []


def test_a_wrong_clock_of_this_process_does_not_matter(ledger, monkeypatch):
    ledger.blobs.put(A.to_bytes())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * 365)
    ledger._clock = lambda: pytest.fail("ages are told by the file system")
    assert ledger.gc() == []


@only_sqlite
def test_leftovers_go_at_once_and_work_under_way_stays(ledger):
    record(ledger, A)
    shard = ledger.blobs.path(A.id).parent
    leftovers = [
        folder_of(ledger) / f".ledger.db.{TOKEN}.partial",
        folder_of(ledger) / f".base.json.{TOKEN}.tmp",
        shard / f".{A.id[:40]}.{TOKEN}.tmp",
        folder_of(ledger).parent / f".kn-edit.{TOKEN}.partial",
        folder_of(ledger).parent / f".out.{TOKEN}.partial",
    ]
    for path in leftovers:
        path.mkdir() if path.name.endswith(".partial") else path.touch()
    (leftovers[0] / "ledger.db").write_text("half")
    with scratch_folder(folder_of(ledger), "push") as scratch:
        (scratch / "weights").write_text("w")
        assert sorted(ledger.gc()) == sorted(map(str, leftovers))
        assert (scratch / "weights").exists()
    assert not any(path.exists() for path in leftovers)


@only_sqlite
def test_what_an_older_version_left_goes_when_its_process_is_dead_or_it_is_old(ledger):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    shard = folder_of(ledger) / "blobs" / "ab"
    shard.mkdir(parents=True)
    gone = [
        folder_of(ledger) / f"ledger.db.{dead.pid}.tmp",
        folder_of(ledger) / f"ledger.db.{dead.pid}.tmp-wal",
        shard / f"{'ab' * 32}.{dead.pid}.140.tmp",
        folder_of(ledger) / "push-old",
        folder_of(ledger) / f"ledger.db.{os.getppid()}.tmp-shm",
    ]
    kept = [folder_of(ledger) / f"ledger.db.{os.getpid()}.tmp", folder_of(ledger) / "push-new"]
    for path in (*gone, *kept):
        path.mkdir() if "push" in path.name else path.touch()
    for path in gone[3:]:
        age(path, days=15)
    assert sorted(ledger.gc()) == sorted(map(str, gone))
    assert all(path.exists() for path in kept)


def test_files_of_the_user_inside_the_ledger_stay(ledger):
    shard = folder_of(ledger) / "blobs" / "ab"
    shard.mkdir(parents=True)
    mine = [
        folder_of(ledger) / "notes.tmp",
        folder_of(ledger) / "ledger.db.old",
        shard / "model.safetensors",
        shard / "x.tmp",
        folder_of(ledger).parent / f".model.{TOKEN}.tmp",
    ]
    for path in mine:
        path.write_text("mine")
        age(path, days=1000)
    assert ledger.gc(older_than=NOW) == []
    assert all(path.read_text() == "mine" for path in mine)


# --- a stranger's workspace ----------------------------------------------------------------------


def link_blobs(ledger, outside):
    (folder_of(ledger) / "blobs").symlink_to(outside.parent)


def link_a_shard(ledger, outside):
    (folder_of(ledger) / "blobs").mkdir()
    (folder_of(ledger) / "blobs" / A.id[:2]).symlink_to(outside)
    (folder_of(ledger) / "blobs" / "x").symlink_to(outside)


def link_leftovers(ledger, outside):
    (folder_of(ledger) / "push-1").symlink_to(outside)
    (folder_of(ledger) / f".push.{TOKEN}.partial").symlink_to(outside)
    (folder_of(ledger) / "ledger.db.999999999.tmp").symlink_to(outside / "x.tmp")
    (folder_of(ledger).parent / f".kn-edit.{TOKEN}.partial").symlink_to(outside)


def link_the_folder(ledger, outside):
    """The folder of an unfinished init holds links; it goes, what they point at stays."""
    folder = folder_of(ledger) / f".ledger.db.{TOKEN}.partial"
    folder.mkdir()
    (folder / "x").symlink_to(outside)
    (folder / "y").symlink_to(outside / "x.tmp")


@pytest.mark.parametrize("plant", [link_blobs, link_a_shard, link_leftovers, link_the_folder])
def test_gc_follows_no_link_out_of_the_ledger(ledger, outside, plant):
    plant(ledger, outside)
    ledger.gc(older_than=NOW)
    assert unharmed(outside)


@pytest.mark.parametrize("plant", [link_blobs, link_a_shard])
def test_an_edit_is_not_written_through_a_link(ledger, outside, plant):
    plant(ledger, outside)
    before = sorted(path.name for path in outside.parent.iterdir())
    with pytest.raises(LinkInLedger, match="is a link"):
        record(ledger, A)
    assert ledger.edits() == []
    assert unharmed(outside)
    assert sorted(path.name for path in outside.parent.iterdir()) == before


def test_a_file_that_vanishes_while_gc_looks_is_no_error(ledger, monkeypatch):
    ledger.blobs.put(A.to_bytes())
    ledger.blobs.put(B.to_bytes())
    stored = ledger.blobs.stored

    def vanishing():
        for blob in stored():
            ledger.blobs.path(blob.digest).unlink()
            yield blob

    monkeypatch.setattr(ledger.blobs, "stored", vanishing)
    assert ledger.gc(older_than=NOW) == []
