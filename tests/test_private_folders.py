"""Private folders among the system's temporary files: for one user, and collected after a kill."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tiny_models import tiny_folder
from workspaces import new_workspace

from kn_edit.atomic import is_leftover_name, private_folder, private_leftovers
from kn_edit.ledger.sqlite import PrivateCopy
from kn_edit.models.model import load
from kn_edit.workspace.caches import remove_leftovers

KILLED = """
import os, signal, sys
from pathlib import Path
from kn_edit.{module} import {name}
def die(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)
import kn_edit.{module} as module
module.{at} = die
{call}
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def leftovers_in(folder: Path) -> list[Path]:
    """Tests beside these have folders of their own in /tmp, where paths are short."""
    return [path for path in private_leftovers() if path.parent == folder]


def ours(folder: Path) -> list[str]:
    """torch has a folder of its own there."""
    return [path.name for path in folder.iterdir() if "kn-edit" in path.name]


def killed(module: str, name: str, at: str, call: str) -> None:
    """Run a call in a process that is killed when it reaches a function."""
    program = KILLED.format(module=module, name=name, at=at, call=call)
    ran = subprocess.run([sys.executable, "-c", program], timeout=120)
    assert ran.returncode == -9


def test_nobody_else_may_look_into_it_and_it_goes(temporary):
    with private_folder() as folder:
        assert folder.parent == temporary and is_leftover_name(folder.name)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert leftovers_in(temporary) == [folder]
        assert remove_leftovers() == [] and folder.is_dir()
    assert list(temporary.iterdir()) == []


def test_a_tokenizer_and_a_private_copy_leave_nothing(tmp_path, temporary):
    load(tiny_folder("llama", tmp_path / "model"))
    assert ours(temporary) == []
    database = tmp_path / "ledger.db"
    database.write_bytes(b"x")
    copy = PrivateCopy(database)
    assert copy.path.read_bytes() == b"x" and remove_leftovers() == []
    copy.close()
    assert ours(temporary) == []
    copy = PrivateCopy(database)
    del copy
    assert ours(temporary) == []


def test_gc_takes_what_a_kill_left(tmp_path, temporary):
    folder = tiny_folder("llama", tmp_path / "model")
    call = f"{{}}(Path({str(folder)!r}))"
    loading = "from kn_edit.models.model import load; " + call.format("load")
    killed("models.tokenizer", "load_tokenizer", "_loaded", loading)
    database = tmp_path / "ledger.db"
    database.write_bytes(b"x")
    copying = f"kept = PrivateCopy(Path({str(database)!r})); die()"
    killed("ledger.sqlite", "PrivateCopy", "has_log", copying)
    left = {temporary / name for name in ours(temporary)}
    assert len(left) == 2 and all(any(folder.iterdir()) for folder in left)
    with new_workspace(tmp_path / "other") as workspace:
        assert left <= set(workspace.gc())
    assert ours(temporary) == []


def test_what_is_not_ours_stays(temporary, monkeypatch):
    number = "0" * 16
    (temporary / "elsewhere").mkdir()
    (temporary / f".kn-edit.{number}.partial").symlink_to(temporary / "elsewhere")
    (temporary / f".kn-edit.{'1' * 16}.partial").write_text("a file")
    (temporary / f".other.{number}.partial").mkdir()
    (temporary / "kn-edit-notes").mkdir()
    before = sorted(temporary.iterdir())
    assert remove_leftovers() == [] and sorted(temporary.iterdir()) == before
    foreign = temporary / f".kn-edit.{'2' * 16}.partial"
    foreign.mkdir()
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert remove_leftovers() == [] and foreign.is_dir()
    monkeypatch.undo()


def test_one_for_sockets_has_a_short_path_wherever_temporary_files_lie(temporary):
    with private_folder(for_sockets=True) as folder:
        assert folder.parent == Path("/tmp") and folder in private_leftovers()
