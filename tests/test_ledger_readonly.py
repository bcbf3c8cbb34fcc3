"""Ledgers in places where nothing may be written: a mount, a snapshot, a colleague's share."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import delta_of, move, new_ledger, open_ledger, record

from kn_edit.errors import ExitCode, LedgerBusy, LedgerUnusable
from kn_edit.ledger import sqlite, sqlite_file

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))
READ = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from kn_edit.errors import KnEditError
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import open_in_folder
from kn_edit.neuron import NeuronId
told = {}
with open_in_folder(Path(sys.argv[1]), clock=lambda: datetime.now(UTC)) as ledger:
    told["head"], told["log"] = ledger.head().id, len(ledger.log())
    told["blame"], told["edits"] = len(ledger.blame(NeuronId(0, 1))), len(ledger.edits())
    told["branches"] = [branch.name for branch in ledger.branches()]
    told["graph"] = len(ledger.graph())
    told["problems"] = [str(problem) for problem in ledger.check()]
    ledger.backup(Path(sys.argv[2]))
    try:
        ledger.tag("v9")
    except KnEditError as error:
        told["tag"], told["code"] = str(error), int(error.exit_code)
print(json.dumps(told))
"""
MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


def read_only_mount(folder: Path, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command that sees a folder on a read-only mount."""
    words = ["unshare", "-m", "sh", "-c", MOUNT, "sh", folder, *command]
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def leave_log(folder: Path) -> None:
    """Leave a write-ahead log behind, as a killed writer does."""
    path = folder / ".kn-edit" / "ledger.db"
    script = (
        "import os, sqlite3, sys; plain = sqlite3.connect(sys.argv[1]);"
        "plain.execute('PRAGMA user_version = 7'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True)
    assert sqlite.has_log(path)


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """A workspace folder with a ledger of two edits, which this process takes for read-only."""
    with new_ledger(tmp_path) as ledger:
        record(ledger, A)
        record(ledger, B)
        move(ledger, ledger.plan_revert(A.id))
    path = tmp_path / ".kn-edit" / "ledger.db"
    for module in (sqlite_file, sqlite):
        monkeypatch.setattr(module, "may_write", lambda place: place != path)
    return tmp_path


@pytest.mark.parametrize("log", [False, True], ids=["at rest", "with a log"])
def test_everything_is_read_and_nothing_is_written(sealed, tmp_path_factory, log):
    if log:
        leave_log(sealed)
    before = files(sealed)
    with open_ledger(sealed) as ledger:
        assert [step.kind for step in ledger.log()] == ["revert", "update", "update", "init"]
        assert ledger.head().edits == (B.id,)
        assert ledger.check() == []
        ledger.backup(tmp_path_factory.mktemp("safe") / "ledger.tar")
        with pytest.raises(LedgerUnusable, match="may not be written") as caught:
            ledger.tag("v1")
        assert caught.value.exit_code == ExitCode.DISK
    assert files(sealed) == before


def test_what_is_only_in_the_log_is_read_too(sealed):
    path = sealed / ".kn-edit" / "ledger.db"
    script = (
        "import os, sqlite3, sys; plain = sqlite3.connect(sys.argv[1]);"
        "plain.execute(\"UPDATE base_models SET name = 'from the log'\");"
        "plain.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, path], check=True)
    with open_ledger(sealed) as ledger:
        assert ledger.base.name == "from the log"


def test_a_private_copy_is_taken_anew_when_the_ledger_changes_and_goes_in_the_end(sealed):
    leave_log(sealed)
    path = sealed / ".kn-edit" / "ledger.db"
    with open_ledger(sealed) as ledger:
        first = ledger.refs()
        copy = ledger._database.dialect._copy.path
        with closing(sqlite3.connect(path)) as plain:
            plain.execute("INSERT INTO refs SELECT 1, 'v1', 'tag', version_id FROM refs")
            plain.commit()
            assert ledger.refs() != first
        last = ledger._database.dialect._copy
    assert not copy.exists()
    assert last is None or not last.path.exists()


def test_a_ledger_that_never_holds_still_is_busy(sealed, monkeypatch):
    leave_log(sealed)
    copyfile = shutil.copyfile

    def and_touched(source, target):
        copyfile(source, target)
        os.utime(source, ns=(0, Path(source).stat().st_mtime_ns + 1))

    monkeypatch.setattr(sqlite.shutil, "copyfile", and_touched)
    with pytest.raises(LedgerBusy), open_ledger(sealed) as ledger:
        ledger.head()


@pytest.mark.parametrize("log", [False, True], ids=["at rest", "with a log"])
def test_a_ledger_on_a_read_only_mount(tmp_path, log):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    if read_only_mount(workspace, "true").returncode:
        pytest.skip("this user may not mount")
    with new_ledger(workspace) as ledger:
        record(ledger, A)
        head = record(ledger, B)
    if log:
        leave_log(workspace)
    before = files(workspace)
    command = (sys.executable, "-c", READ, workspace / ".kn-edit", tmp_path / "backup.tar")
    done = read_only_mount(workspace, *command)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["head"], told["log"], told["edits"], told["blame"]) == (head.id, 3, 2, 1)
    assert (told["branches"], told["graph"]) == (["main"], 3)
    assert (told["problems"], told["code"]) == ([], ExitCode.DISK)
    assert "may not be written" in told["tag"]
    assert files(workspace) == before
    assert (tmp_path / "backup.tar").exists()
