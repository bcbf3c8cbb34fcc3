"""Delta files: flushed before they are trusted, regular files only, no link followed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ledgers import delta_of, folder_of, new_ledger, open_ledger, record

from kn_edit.errors import DeltaMissing, ExitCode, KnEditError, LedgerUnusable, LinkInLedger
from kn_edit.ledger.blob_store import MAX_BYTES
from kn_edit.ledger.folder_blobs import FolderBlobs

A = delta_of((0, 1))


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def synced(monkeypatch):
    """The paths of what is flushed, as it happens."""
    paths: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_a_delta_that_a_crash_left_is_flushed_before_it_is_trusted(tmp_path, synced):
    folder = tmp_path / ".kn-edit"
    blobs = FolderBlobs(folder / "blobs")
    path = blobs.path(A.id)
    path.parent.mkdir(parents=True)
    path.write_bytes(A.to_bytes())  # by a process that was killed before it flushed anything
    blobs.put(A.to_bytes())
    assert set(synced) == {str(path), *map(str, (path.parent, path.parent.parent, folder))}
    assert synced.index(str(path)) == 0


def test_a_new_delta_and_every_folder_above_it_are_flushed(tmp_path, synced):
    folder = tmp_path / ".kn-edit"
    folder.mkdir()
    blobs = FolderBlobs(folder / "blobs")
    blobs.put(A.to_bytes())
    shard = blobs.path(A.id).parent
    assert {str(shard), str(shard.parent), str(folder)} <= set(synced)


def test_many_deltas_flush_the_folders_above_once(tmp_path, synced):
    (tmp_path / ".kn-edit").mkdir()
    blobs = FolderBlobs(tmp_path / ".kn-edit" / "blobs")
    for _ in range(5):
        blobs.put(A.to_bytes())
    assert synced.count(str(tmp_path / ".kn-edit")) == 1


def in_place_of_a_delta(ledger, kind: str) -> None:
    path = ledger.blobs.path(A.id)
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        copy = folder_of(ledger).parent / "copy"
        copy.write_bytes(A.to_bytes())
        path.symlink_to(copy)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(MAX_BYTES + 1)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("fifo", LedgerUnusable),
        ("folder", LedgerUnusable),
        ("link", LinkInLedger),
        ("dangling link", LinkInLedger),
        ("device", LinkInLedger),
        ("huge", LedgerUnusable),
        ("nothing", DeltaMissing),
    ],
)
def test_what_is_no_delta_file_is_refused_at_once_and_found_by_check(ledger, kind, error):
    record(ledger, A)
    in_place_of_a_delta(ledger, kind)
    started = time.monotonic()
    with pytest.raises(error):
        ledger.delta(A.id)
    assert [problem.part for problem in ledger.check()] == ["delta"]
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device"])
def test_storing_a_delta_where_something_else_lies_is_refused(ledger, kind):
    record(ledger, A)
    in_place_of_a_delta(ledger, kind)
    with pytest.raises((LedgerUnusable, LinkInLedger)):
        ledger.blobs.put(A.to_bytes())


@pytest.mark.parametrize("name", [f"ledger.db{end}" for end in ("", "-wal", "-shm", "-journal")])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_database_that_is_a_link_or_a_pipe_is_refused_when_opened(tmp_path, name, kind):
    new_ledger(tmp_path).close()
    path = tmp_path / ".kn-edit" / name
    moved = tmp_path / "elsewhere"
    moved.write_text("precious")
    if path.exists():
        path.rename(moved)
    before = moved.read_bytes()
    path.symlink_to(moved) if kind == "link" else os.mkfifo(path)
    with pytest.raises(KnEditError) as caught:
        open_ledger(tmp_path)
    assert caught.value.exit_code in {ExitCode.INTEGRITY, ExitCode.DISK}
    assert moved.read_bytes() == before


def test_a_ledger_behind_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "w").mkdir()
    new_ledger(tmp_path / "real").close()
    (tmp_path / "w" / ".kn-edit").symlink_to(tmp_path / "real" / ".kn-edit")
    with pytest.raises(LinkInLedger):
        open_ledger(tmp_path / "w")
