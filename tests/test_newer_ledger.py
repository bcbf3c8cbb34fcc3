"""A kn-edit that is at work while a newer one upgrades its ledger writes nothing into it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from workspaces import CAPITAL, about, contents, new_workspace, quick

from kn_edit.errors import ExitCode, NewerSchema
from kn_edit.workspace import Workspace

WRITERS: dict[str, Callable[[Workspace], object]] = {
    "update": lambda w: w.update(about("Japan"), "Cairo", how=quick((1, 7)), accept=True),
    "erase": lambda w: w.erase(CAPITAL, how=quick(top=2, zero=True), accept=True),
    "revert": lambda w: w.revert(w.head.edits[0]),
    "rewind": lambda w: w.rewind("base"),
    "compose": lambda w: w.compose(["one", "base"]),
    "tag": lambda w: w.tag("two"),
    "move a tag": lambda w: w.tag("one", "base", move=True),
    "gc": lambda w: w.gc(older_than=timedelta(minutes=-1)),
    "base set": lambda w: w.set_base(w.folder.parent / "model"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("newer")
    with new_workspace(folder) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        workspace.tag("one")
    return folder


@pytest.fixture
def folder(template, tmp_path) -> Path:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    orphan = tmp_path / "work" / ".kn-edit" / "blobs" / "00" / f"{'0' * 64}.safetensors"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"of an edit that only the newer kn-edit knows where to look for")
    return tmp_path / "work"


def upgrade(folder: Path) -> dict[str, bytes]:
    """Make the ledger one of a newer kn-edit; its files."""
    path = folder / ".kn-edit" / "ledger.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("UPDATE alembic_version SET version_num = '0042'")
        plain.commit()
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    """The ledger's files, what is in the write-ahead log in the database already."""
    path = folder / ".kn-edit" / "ledger.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept = contents(folder / ".kn-edit")
    return {name: data for name, data in kept.items() if not name.endswith(("-wal", "-shm"))}


@pytest.fixture
def opened(folder) -> Iterator[Workspace]:
    with Workspace.open(folder) as workspace:
        workspace.load()  # whatever a first command writes is written
        yield workspace


@pytest.mark.parametrize("verb", WRITERS)
def test_a_ledger_that_was_upgraded_since_it_was_opened_is_left_alone(verb, opened):
    before = upgrade(opened.folder)
    with pytest.raises(NewerSchema) as caught:
        WRITERS[verb](opened)
    assert caught.value.exit_code == ExitCode.NEWER_SCHEMA
    assert files(opened.folder) == before


@pytest.mark.parametrize("verb", ["update", "erase"])
def test_a_ledger_that_is_upgraded_while_an_edit_is_computed_is_left_alone(verb, folder):
    before: dict[str, bytes] = {}

    def progress(what: str, done: int, total: int) -> None:
        if not before:
            before.update(upgrade(folder))

    with Workspace.open(folder, progress=progress) as workspace, pytest.raises(NewerSchema):
        WRITERS[verb](workspace)
    assert before and files(folder) == before
