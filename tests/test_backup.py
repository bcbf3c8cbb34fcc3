"""A backup is whole or not there, its exit code is true, no file of the user is touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from failing_disk import failing_from
from ledgers import delta_of, move, new_ledger, open_ledger, record

from kn_edit import atomic
from kn_edit.errors import (
    BackupExists,
    DeltaDigestDiffers,
    DeltaMissing,
    ExitCode,
    LedgerUnusable,
    LinkInLedger,
    TargetInsideLedger,
    WriteUnknown,
)
from kn_edit.ledger import archive

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))


@pytest.fixture
def grown(tmp_path):
    """A ledger with two edits, a revert and a tag."""
    (tmp_path / "w").mkdir()
    with new_ledger(tmp_path / "w") as ledger:
        record(ledger, A)
        record(ledger, B)
        ledger.tag("v1")
        move(ledger, ledger.plan_revert(A.id))
        yield ledger


@pytest.fixture
def safe(tmp_path):
    folder = tmp_path / "safe"
    folder.mkdir()
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def untarred(file, folder):
    """The ledger in a backup, unpacked by tar itself."""
    (folder / ".kn-edit").mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-xf", file, "-C", folder / ".kn-edit"], check=True)
    return open_ledger(folder)


def test_a_backup_unpacked_by_tar_is_the_whole_ledger(grown, safe, tmp_path):
    grown.backup(safe / "ledger.tar")
    assert names(safe) == ["ledger.tar"]
    with untarred(safe / "ledger.tar", tmp_path / "again") as again:
        assert again.check() == []
        assert again.log() == grown.log()
        assert again.edits() == grown.edits()
        record(again, delta_of((1, 3)))


def test_files_that_look_temporary_are_never_touched(grown, safe):
    (safe / "precious").write_text("precious")
    (safe / "b.tar.tmp").write_text("mine")
    (safe / "b.tar.db.tmp").symlink_to(safe / "precious")
    grown.backup(safe / "b.tar")
    assert (safe / "b.tar.tmp").read_text() == "mine"
    assert (safe / "b.tar.db.tmp").is_symlink()
    assert (safe / "precious").read_text() == "precious"
    assert names(safe) == ["b.tar", "b.tar.db.tmp", "b.tar.tmp", "precious"]


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link", "link to a file"])
def test_a_backup_never_overwrites(grown, safe, kind):
    file = safe / "ledger.tar"
    (safe / "precious").write_text("precious")
    if kind == "file":
        file.write_text("precious")
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(safe / ("nowhere" if kind == "dangling link" else "precious"))
    before = names(safe)
    with pytest.raises(BackupExists):
        grown.backup(file)
    assert names(safe) == before
    assert (safe / "precious").read_text() == "precious"


def test_of_several_backups_into_one_file_exactly_one_is_acknowledged(grown, safe, tmp_path):
    def attempt(_: int) -> bool:
        try:
            with open_ledger(tmp_path / "w") as ledger:
                ledger.backup(safe / "b.tar")
        except BackupExists:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    assert names(safe) == ["b.tar"]
    with untarred(safe / "b.tar", tmp_path / "again") as again:
        assert again.check() == []


def test_a_backup_holds_regular_files_only(grown, safe):
    grown.backup(safe / "b.tar")
    with tarfile.open(safe / "b.tar") as tar:
        assert all(member.isreg() and member.linkname == "" for member in tar)
        assert {member.name for member in tar} == {
            "ledger.db",
            "ledger.db-wal",
            *(f"blobs/{edit[:2]}/{edit}.safetensors" for edit in (A.id, B.id)),
        }


def test_a_delta_that_is_a_link_stops_the_backup(grown, safe, tmp_path):
    path = grown.blobs.path(A.id)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(LinkInLedger):
        grown.backup(safe / "b.tar")
    assert names(safe) == []


@pytest.mark.parametrize("error", [DeltaMissing, DeltaDigestDiffers])
def test_a_damaged_ledger_gives_no_backup(grown, safe, error):
    path = grown.blobs.path(A.id)
    path.unlink() if error is DeltaMissing else path.write_bytes(b"")
    with pytest.raises(error):
        grown.backup(safe / "b.tar")
    assert names(safe) == []


@pytest.mark.parametrize("place", ["missing/ledger.tar", "file/ledger.tar", "x" * 300])
def test_a_backup_into_nowhere_is_said(grown, safe, place):
    (safe / "file").write_text("")
    with pytest.raises(LedgerUnusable) as caught:
        grown.backup(safe / place)
    assert caught.value.exit_code == ExitCode.DISK
    assert names(safe) == ["file"]


def test_a_long_name_that_the_disk_allows_is_no_problem(grown, safe):
    grown.backup(safe / ("é" * 127))
    assert names(safe) == ["é" * 127]


@pytest.mark.parametrize("module", [archive, atomic, os], ids=["place", "write", "fsync"])
def test_a_backup_that_is_reported_to_fail_is_not_there(grown, safe, monkeypatch, module):
    """The last steps fail: the name cannot be made, or is not known to survive a power cut."""

    def fail(*arguments, **more):
        raise OSError(5, "Input/output error")

    if module is archive:
        monkeypatch.setattr(archive, "sync", fail)
    elif module is atomic:
        monkeypatch.setattr(os, "link", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LedgerUnusable):
        grown.backup(safe / "b.tar")
    monkeypatch.undo()
    assert names(safe) == []
    grown.backup(safe / "b.tar")


def test_a_backup_that_cannot_be_taken_back_is_told_as_unknown(grown, safe, monkeypatch):
    """The disk fails for good: nobody may say that nothing is there."""
    failed = failing_from(lambda path: path == safe, monkeypatch)
    with pytest.raises(WriteUnknown, match="look at it before you try again") as caught:
        grown.backup(safe / "b.tar")
    monkeypatch.undo()
    assert failed
    assert caught.value.path == safe / "b.tar"
    assert (safe / "b.tar").is_file()


def test_clean_up_that_fails_is_no_failure_of_a_backup_that_is_there(grown, safe, monkeypatch):
    unlink = os.unlink

    def refuse(path, **more):
        if str(path).endswith("ledger.db"):
            raise PermissionError(13, "Permission denied")
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    grown.backup(safe / "b.tar")
    monkeypatch.undo()
    assert (safe / "b.tar").is_file()


def test_a_backup_beside_a_writer_is_one_state(grown, safe, tmp_path, monkeypatch):
    get, more = grown.blobs.get, [delta_of((1, 4)), delta_of((1, 5))]

    def record_meanwhile(digest):
        if more:
            with open_ledger(tmp_path / "w") as other:
                record(other, more.pop())
        return get(digest)

    monkeypatch.setattr(grown.blobs, "get", record_meanwhile)
    grown.backup(safe / "b.tar")
    assert more == []
    with untarred(safe / "b.tar", tmp_path / "again") as again:
        assert again.check() == []
        assert {edit.id for edit in again.edits()} == {A.id, B.id}


CRASH = """
import os, sys, sqlite3
from pathlib import Path
sys.path.insert(0, "tests")
from ledgers import delta_of, open_ledger, record
ledger = open_ledger(Path(sys.argv[1]))
reader = sqlite3.connect(Path(sys.argv[1]) / ".kn-edit" / "ledger.db")
reader.execute("SELECT * FROM refs").fetchall()  # so that the log is not folded back
record(ledger, delta_of((1, 2)))
os.kill(os.getpid(), 9)
"""


def crash(folder) -> None:
    """Kill a writer after its commit, so that its write-ahead log stays."""
    subprocess.run([sys.executable, "-c", CRASH, str(folder)], check=False)
    assert (folder / ".kn-edit" / "ledger.db-wal").stat().st_size > 0


def test_a_plain_tar_over_a_crashed_ledger_leaves_nothing_to_replay(grown, safe, tmp_path):
    grown.backup(safe / "b.tar")
    edits, log = grown.edits(), grown.log()
    crash(tmp_path / "w")
    with untarred(safe / "b.tar", tmp_path / "w") as again:
        assert again.check() == []
        assert (again.edits(), again.log()) == (edits, log)


@pytest.mark.parametrize("name", ["ledger.db-wal", "ledger.db-journal", "b.tar", "blobs/b.tar"])
def test_no_backup_is_written_into_a_ledger(tmp_path, name):
    """SQLite takes a file of some names for its own, and empties it."""
    with new_ledger(tmp_path) as ledger:
        record(ledger, delta_of((0, 1)))
        file = tmp_path / ".kn-edit" / name
        with pytest.raises(TargetInsideLedger):
            ledger.backup(file)
        assert not file.exists() and ledger.check() == []
