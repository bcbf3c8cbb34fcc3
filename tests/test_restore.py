"""Restoring: everything is checked first, then the whole ledger changes its place by one rename."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import delta_of, move, new_ledger, open_ledger, record, ticking
from old_ledgers import old_ledger

from kn_edit.errors import (
    BackupDamaged,
    ExitCode,
    KnEditError,
    LedgerBusy,
    LedgerDamaged,
    LedgerUnusable,
    LinkInLedger,
    NewerSchema,
    RestoreTargetTaken,
    WriteUnknown,
)
from kn_edit.ledger import archive, restoring, sqlite_file
from kn_edit.ledger.in_folder import restore_in_folder

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A ledger with two edits, a revert and a tag: its folder, and a backup of it."""
    folder = tmp_path_factory.mktemp("source")
    with new_ledger(folder) as ledger:
        record(ledger, A)
        record(ledger, B)
        ledger.tag("v1")
        move(ledger, ledger.plan_revert(A.id))
        ledger.backup(folder / "b.tar")
    return folder


@pytest.fixture
def backup(source):
    return source / "b.tar"


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    return folder


def restore(file: Path, folder: Path, *, replace: bool = False) -> Path | None:
    clock = ticking().__next__
    placed = restore_in_folder(file, folder / ".kn-edit", clock=clock, replace=replace)
    return placed.aside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def is_that_of(source: Path, folder: Path) -> bool:
    with open_ledger(source) as one, open_ledger(folder) as other:
        assert other.check() == []
        assert len(other.deltas([A.id, B.id])) == 2
        return (one.log(), one.edits(), one.refs()) == (other.log(), other.edits(), other.refs())


# --- into an empty place -------------------------------------------------------------------------


@pytest.mark.parametrize("made", ["nothing", "an empty folder", "no workspace folder"])
def test_a_backup_is_restored_into_an_empty_place(source, backup, place, made):
    if made == "an empty folder":
        (place / ".kn-edit").mkdir()
    folder = place / "new" / "deep" if made == "no workspace folder" else place
    assert restore(backup, folder) is None
    assert names(folder) == [".kn-edit"]
    assert names(folder / ".kn-edit") == ["blobs", "ledger.db"]
    assert is_that_of(source, folder)
    with open_ledger(folder) as ledger:
        record(ledger, delta_of((1, 3)))


def test_a_backup_of_an_older_version_of_kn_edit_is_restored(source, place, tmp_path):
    """It has no member that empties the log, and a header beside each member for its time."""
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        for path in sorted((source / ".kn-edit").rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(source / ".kn-edit"))
    assert b" mtime=" in (tmp_path / "old.tar").read_bytes()
    restore(tmp_path / "old.tar", place)
    assert is_that_of(source, place)


@pytest.mark.parametrize("schema", ["0001", "0002"])
def test_a_backup_of_an_older_schema_is_brought_to_the_present_one(place, tmp_path, schema):
    path = old_ledger(tmp_path / "old", schema)
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        tar.add(path, "ledger.db")
        tar.add(path.parent / "blobs", "blobs", filter=lambda info: info)
    with tarfile.open(tmp_path / "old.tar") as tar:
        files = [member.name for member in tar if member.isfile()]
    with tarfile.open(tmp_path / "files.tar", "w") as tar:
        for name in files:
            tar.add(path.parent / name, name)
    restore(tmp_path / "files.tar", place)
    with open_ledger(place) as ledger:
        assert ledger.check() == []


def test_everything_is_on_disk_before_it_takes_its_place(backup, place, monkeypatch):
    synced: set[str] = set()
    fsync, rename, moment = os.fsync, Path.rename, []

    def note(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def look(path, target):
        if Path(target).name == ".kn-edit":
            moment.append({str(inner) for inner in (path, *path.rglob("*"))} - synced)
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(Path, "rename", look)
    restore(backup, place)
    assert moment == [set()]
    assert str(place) in synced


# --- over a ledger -------------------------------------------------------------------------------


def test_a_ledger_is_never_replaced_unasked(backup, place):
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
    before = contents(place)
    with pytest.raises(RestoreTargetTaken, match="replace=True") as caught:
        restore(backup, place)
    assert caught.value.exit_code == ExitCode.CONFLICT
    assert contents(place) == before


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_the_former_ledger_is_kept_aside(source, backup, place, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(restoring, "_exchange", lambda one, other: False)
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
    before = contents(place / ".kn-edit")
    first = restore(backup, place, replace=True)
    assert first is not None
    assert contents(first) == before
    assert is_that_of(source, place)
    second = restore(backup, place, replace=True)
    assert names(place) == sorted([".kn-edit", first.name, second.name])


def damage(folder: Path, kind: str) -> None:
    ledger = folder / ".kn-edit"
    if kind == "cut off":
        os.truncate(ledger / "ledger.db", 5000)
    elif kind == "no database":
        (ledger / "ledger.db").write_bytes(b"not a database" * 100)
    elif kind == "empty":
        (ledger / "ledger.db").write_bytes(b"")
    elif kind == "gone":
        (ledger / "ledger.db").unlink()
    elif kind == "a log alone":
        (ledger / "ledger.db").unlink()
        (ledger / "ledger.db-wal").write_bytes(b"x" * 5000)
    elif kind == "delta gone":
        for path in (ledger / "blobs").rglob("*.safetensors"):
            path.unlink()
    elif kind == "pipe":
        (ledger / "ledger.db").unlink()
        os.mkfifo(ledger / "ledger.db")


KINDS = ("cut off", "no database", "empty", "gone", "a log alone", "delta gone", "pipe")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_ledger_is_replaced(source, backup, place, kind):
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
    damage(place, kind)
    assert restore(backup, place, replace=True) is not None
    assert is_that_of(source, place)


CRASH = """
import os, sys, sqlite3
from pathlib import Path
sys.path.insert(0, "tests")
from ledgers import delta_of, open_ledger, record
ledger = open_ledger(Path(sys.argv[1]))
reader = sqlite3.connect(Path(sys.argv[1]) / ".kn-edit" / "ledger.db")
reader.execute("SELECT * FROM refs").fetchall()  # so that the log is not folded back
for number in range(3):
    record(ledger, delta_of((1, 2), value=2.0 + number))
os.kill(os.getpid(), 9)
"""


def test_a_ledger_whose_last_writer_was_killed_is_replaced(source, backup, place):
    with new_ledger(place) as ledger:
        record(ledger, A)
    subprocess.run([sys.executable, "-c", CRASH, str(place)], check=False)
    assert (place / ".kn-edit" / "ledger.db-wal").stat().st_size > 0
    aside = restore(backup, place, replace=True)
    assert is_that_of(source, place)
    assert not list((place / ".kn-edit").glob("ledger.db-*"))
    aside.rename(place.parent / ".kn-edit")  # nothing that was acknowledged is lost there
    with open_ledger(place.parent) as former:
        assert len(former.edits()) == 4
        assert former.check() == []


def test_a_writer_in_its_transaction_is_waited_for(backup, place, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0)
    with new_ledger(place) as ledger, ledger._database.writing():
        before = names(place)
        with pytest.raises(LedgerBusy):
            restore(backup, place, replace=True)
        assert names(place) == before


@pytest.mark.parametrize("step", ["unpack", "checked_backup", "_take_place"])
def test_a_restore_that_stops_half_way_changes_nothing(backup, place, monkeypatch, step):
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
    before = contents(place)
    real = getattr(restoring, step)

    def crash(*arguments):
        if step != "_take_place":
            real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(restoring, step, crash)
    with pytest.raises(KeyboardInterrupt):
        restore(backup, place, replace=True)
    assert contents(place) == before


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("renames", [0, 1, 2, 3])
def test_a_rename_that_fails_loses_no_ledger(place, backup, monkeypatch, exchange, renames):
    if not exchange:
        monkeypatch.setattr(restoring, "_exchange", lambda one, other: False)
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
        log = ledger.log()
    rename, calls = Path.rename, []

    def fail(path, target):
        calls.append(path)
        if len(calls) == renames + 1:
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    try:
        restore(backup, place, replace=True)
    except LedgerUnusable:
        monkeypatch.undo()
        with open_ledger(place) as ledger:
            assert ledger.log() == log
    else:
        assert renames >= (1 if exchange else 3)


@pytest.mark.parametrize("kind", ["empty", "exchange", "two renames"])
def test_names_that_may_not_last_are_put_back(place, backup, monkeypatch, kind):
    if kind != "empty":
        with new_ledger(place) as ledger:
            record(ledger, delta_of((1, 3)))
    if kind == "two renames":
        monkeypatch.setattr(restoring, "_exchange", lambda one, other: False)
    before, sync = contents(place), restoring.sync

    def fail(path):
        if path == place:
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(restoring, "sync", fail)
    with pytest.raises(LedgerUnusable):
        restore(backup, place, replace=True)
    assert contents(place) == before


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("step", range(4))
def test_a_signal_right_after_a_step_loses_no_ledger(place, backup, monkeypatch, exchange, step):
    """The step was taken, and its call ended in KeyboardInterrupt."""
    with new_ledger(place) as ledger:
        record(ledger, delta_of((1, 3)))
    before, steps = contents(place), []

    def stopped(act):
        def stop(*paths):
            result = act(*paths)
            steps.append(paths)
            if len(steps) == step + 1:
                raise KeyboardInterrupt
            return result

        return stop

    monkeypatch.setattr(Path, "rename", stopped(Path.rename))
    swap = stopped(restoring._exchange) if exchange else lambda one, other: False
    monkeypatch.setattr(restoring, "_exchange", swap)
    if exchange and step > 1:
        restore(backup, place, replace=True)
        assert len(steps) == 2
        return
    with pytest.raises(KeyboardInterrupt):
        restore(backup, place, replace=True)
    assert contents(place) == before


@pytest.mark.parametrize("kind", ["empty", "exchange", "two renames"])
def test_names_that_cannot_be_put_back_are_told_as_unknown_and_no_ledger_is_lost(
    source, place, backup, monkeypatch, kind
):
    """The disk fails as the names are flushed, and as the first step is taken back."""
    if kind != "empty":
        with new_ledger(place) as ledger:
            record(ledger, delta_of((1, 3)))
            log = ledger.log()
            assert [len(step.edits) for step in log] == [1, 0]  # read while the ledger is there
    sync, rename, exchange, failures = restoring.sync, Path.rename, restoring._exchange, []

    def fail(path):
        if path == place:
            failures.append(path)
            raise OSError(5, "Input/output error")
        sync(path)

    def fail_once(path, target):
        if len(failures) == 1:
            failures.append(path)
            raise OSError(5, "Input/output error")
        return rename(path, target)

    def exchange_once(one, other):
        return kind == "exchange" and not failures and exchange(one, other)

    monkeypatch.setattr(restoring, "sync", fail)
    monkeypatch.setattr(restoring, "_exchange", exchange_once)
    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(WriteUnknown) as caught:
        restore(backup, place, replace=True)
    monkeypatch.undo()
    assert is_that_of(source, place)
    former = caught.value.former
    if kind == "empty":
        assert former is None
        return
    assert str(former) in str(caught.value)
    (place / "w").mkdir()
    former.rename(place / "w" / ".kn-edit")
    with open_ledger(place / "w") as ledger:
        assert ledger.log() == log


def test_a_ledger_that_appears_meanwhile_is_kept(source, place, backup, monkeypatch):
    checked = restoring.checked_backup

    def slowly(*arguments):
        new_ledger(place).close()
        return checked(*arguments)

    monkeypatch.setattr(restoring, "checked_backup", slowly)
    with pytest.raises(RestoreTargetTaken):
        monkeypatch.setattr(restoring, "_is_empty", lambda folder: True)
        restore(backup, place)
    assert names(place) == [".kn-edit"]
    with open_ledger(place) as ledger:
        assert ledger.edits() == []


def test_what_a_killed_restore_left_is_removed_by_the_next(backup, place):
    leftover = place / ".kn-edit.0123456789abcdef.partial"
    leftover.mkdir()
    (leftover / "ledger.db").write_text("half")
    restore(backup, place)
    assert names(place) == [".kn-edit"]


def test_a_ledger_behind_a_link_is_not_written_to(backup, place, tmp_path):
    new_ledger(tmp_path / "real").close()
    (place / ".kn-edit").symlink_to(tmp_path / "real" / ".kn-edit")
    before = contents(tmp_path / "real")
    for replace in (False, True):
        with pytest.raises(LinkInLedger):
            restore(backup, place, replace=replace)
    assert contents(tmp_path / "real") == before


# --- hostile and broken files --------------------------------------------------------------------


def members(file: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(file) as tar:
        return [(info, tar.extractfile(info).read()) for info in tar]


def repacked(file: Path, entries, form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(file, "w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return file


def entry(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = ""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, target
    return info, data


def refused(file: Path, folder: Path) -> str:
    """Restore a file that must be refused, with nothing written; the sentence."""
    before = sorted(folder.parent.rglob("*"))
    started = time.monotonic()
    with pytest.raises(BackupDamaged) as caught:
        restore(file, folder)
    assert time.monotonic() - started < 10
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert len(str(caught.value)) - len(str(file)) < 450
    assert sorted(folder.parent.rglob("*")) == before
    return str(caught.value)


C = "c" * 64
EVIL = [
    entry("../evil"),
    entry("/tmp/evil"),
    entry("blobs/../../evil"),
    entry("evil"),
    entry("blobs"),
    entry("ledger.db/x"),
    entry("./ledger.db"),
    entry("ledger.db-wal", b"frames"),
    entry("ledger.db-shm", b""),
    entry("base.json", b"{}"),
    entry(f"blobs/cc/{C}.safetensors"),  # other bytes than its name says
    entry(f"blobs/dd/{C}.safetensors"),
    entry(f"blobs/cc/{C}"),
    entry(f"blobs//{C}.safetensors"),
    entry("x" * 90),
    entry("n\nn\x1b[2J"),
    entry("blobs/cc/link", b"", tarfile.SYMTYPE, "/etc/passwd"),
    entry("ledger.db-wal", b"", tarfile.SYMTYPE, "/etc/passwd"),
    entry("blobs", b"", tarfile.SYMTYPE, "/tmp"),
    entry(f"blobs/cc/{C}.safetensors", b"", tarfile.LNKTYPE, "/etc/passwd"),
    entry("dev", b"", tarfile.CHRTYPE),
    entry("dev", b"", tarfile.BLKTYPE),
    entry("pipe", b"", tarfile.FIFOTYPE),
    entry("blobs/cc", b"", tarfile.DIRTYPE),
    entry("more", b"", tarfile.CONTTYPE),
    entry("sparse", b"", tarfile.GNUTYPE_SPARSE),
    entry("long", b"a" * 200 + b"\0", tarfile.GNUTYPE_LONGNAME),
]


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("evil", EVIL, ids=lambda item: repr(item[0].name[:20] + str(item[0].type)))
def test_a_member_that_no_ledger_has_is_refused(backup, place, tmp_path, evil, first):
    sound = members(backup)
    file = repacked(tmp_path / "evil.tar", [evil, *sound] if first else [*sound, evil])
    refused(file, place)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_member_that_comes_twice_is_refused(backup, place, tmp_path, number):
    sound = members(backup)
    assert "twice" in refused(repacked(tmp_path / "twice.tar", [*sound, sound[number]]), place)


def test_a_backup_that_lacks_something_is_refused(backup, place, tmp_path):
    sound = members(backup)
    database, log, *deltas = sound
    assert "no ledger" in refused(repacked(tmp_path / "a.tar", deltas), place)
    assert "no ledger" in refused(repacked(tmp_path / "b.tar", []), place)
    assert "lacks" in refused(repacked(tmp_path / "c.tar", [database, log, deltas[0]]), place)
    with new_ledger(tmp_path / "other") as other:
        other.backup(tmp_path / "other.tar")
    entries = [*members(tmp_path / "other.tar"), deltas[0]]
    assert "no edit" in refused(repacked(tmp_path / "d.tar", entries), place)


def test_a_file_cut_off_anywhere_is_refused_or_whole(source, backup, place, tmp_path):
    data, cut = backup.read_bytes(), tmp_path / "cut.tar"
    whole = 0
    for end in range(0, len(data), 512):
        cut.write_bytes(data[:end])
        try:
            restore(cut, place / str(end))
        except BackupDamaged as error:
            assert "cut off" in str(error)
            assert not (place / str(end) / ".kn-edit").exists()
        else:
            whole += 1
            last = place / str(end)
    assert 0 < whole < 20  # only the padding at the end was cut off
    assert is_that_of(source, last)


@pytest.mark.parametrize(
    "size", [2**33 - 1, 2**33, 2**40, 2**62, -1, -512, -(2**40)], ids=lambda size: f"{size:+}"
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_size_that_cannot_be_is_refused_at_once(place, tmp_path, size, kind):
    info = tarfile.TarInfo("ledger.db")
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    file = tmp_path / "size.tar"
    with file.open("wb") as output:
        output.write(block)
        output.truncate(1 << 34)  # a file with holes: nothing of it is on disk
    refused(file, place)


def test_headers_that_rename_or_nest_are_refused(backup, place, tmp_path):
    sound = members(backup)
    info = tarfile.TarInfo("blobs/cc/x")
    info.pax_headers = {"path": "../evil", "comment": "x"}
    refused(repacked(tmp_path / "a.tar", [(info, b""), *sound], tarfile.PAX_FORMAT), place)
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    nested = tmp_path / "nested.tar"
    nested.write_bytes(header.tobuf(tarfile.GNU_FORMAT) * 20_000)
    refused(nested, place)
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.XHDTYPE, archive.MAX_HEADER + 1
    (tmp_path / "huge.tar").write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    refused(tmp_path / "huge.tar", place)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", bytes(511), b"x" * 10_000, b"\x1f\x8b" + b"x" * 2000, b"SQLite format 3\0" * 600],
    ids=["empty", "one byte", "zeros", "letters", "gzip", "sqlite"],
)
def test_what_is_no_tar_is_refused(place, tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    refused(tmp_path / "x.tar", place)


def test_a_pipe_a_device_a_folder_and_nothing_are_refused_at_once(place, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "missing"):
        started = time.monotonic()
        with pytest.raises(LedgerUnusable):
            restore(file, place)
        assert time.monotonic() - started < 2
    assert names(place) == []


def test_no_room_is_said_before_anything_is_unpacked(backup, place, monkeypatch):
    usage = archive.shutil.disk_usage(place)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(LedgerUnusable, match="are free"):
        restore(backup, place)
    assert names(place) == []


def with_database(file: Path, backup: Path, change) -> Path:
    """The backup with another database in it."""
    database, *rest = members(backup)
    path = file.with_suffix(".db")
    path.write_bytes(database[1])
    change(path)
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    return repacked(file, [entry("ledger.db", path.read_bytes()), *rest])


def run_sql(*statements: str):
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as plain, plain:
            for statement in statements:
                plain.execute(statement)

    return change


def test_a_database_that_is_none_or_not_ours_is_refused(backup, place, tmp_path):
    changes = [
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:-512]),
        lambda path: path.write_bytes(path.read_bytes() + bytes(4096)),
        lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
        lambda path: path.write_bytes(b""),
        run_sql("DROP TABLE edits"),
        run_sql("DROP TABLE alembic_version"),
        run_sql("DELETE FROM alembic_version"),
        run_sql("DELETE FROM facts"),
        run_sql("PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = 'nonsense'"),
    ]
    for number, change in enumerate(changes):
        file = with_database(tmp_path / f"{number}.tar", backup, change)
        refused(file, place)


def test_flipped_bytes_of_the_database_never_end_in_something_untyped(backup, place, tmp_path):
    database, *rest = members(backup)
    for number in range(0, len(database[1]), len(database[1]) // 40):
        data = bytearray(database[1])
        data[number] ^= 0xFF
        file = repacked(tmp_path / "flip.tar", [entry("ledger.db", bytes(data)), *rest])
        try:
            restore(file, place / str(number))
        except KnEditError:
            assert not (place / str(number) / ".kn-edit").exists()


def test_a_newer_schema_is_refused_by_the_name_of_the_file(backup, place, tmp_path):
    newer = run_sql("UPDATE alembic_version SET version_num = '0042'")
    file = with_database(tmp_path / "newer.tar", backup, newer)
    with pytest.raises(NewerSchema, match=r"newer\.tar has schema 0042"):
        restore(file, place)
    assert names(place) == []


def test_every_advice_to_restore_names_the_command(tmp_path):
    assert "Workspace.restore(FILE" in str(LedgerDamaged(tmp_path, "cut off"))
