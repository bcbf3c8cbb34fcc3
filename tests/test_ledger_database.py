"""The schema, and what happens when the disk or the file is not as it should be."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledgers import BASE, about, delta_of, digests, new_ledger, open_ledger, record
from old_dumps import old_recipes
from old_ledgers import SCHEMAS, old_ledger
from sqlalchemy import delete, event, text

from kn_edit.errors import (
    ExitCode,
    LedgerBusy,
    LedgerDamaged,
    LedgerExists,
    LedgerUnusable,
    NewerSchema,
    NoLedger,
)
from kn_edit.ledger import (
    Publication,
    creation,
    database,
    migrating,
    sqlite,
    sqlite_file,
    structure,
)
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import check_files
from kn_edit.ledger.sqlite_file import SQLiteFile
from kn_edit.ledger.tables import SCHEMA, metadata, refs

PUBLISHED = {"0002", "0003", "0004", "0005", "0006", "0007"}  # fixtures with publications


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("made", ["at once", "by migrations"])
def test_a_new_ledger_has_the_tables_that_the_migrations_make(tmp_path, made):
    db = Database.in_file(tmp_path / "x.db")
    if made == "at once":
        db.create()
    else:
        with db.dialect.upgrader().begin() as connection:
            migrating.migrate(connection)
            db.dialect.tables_made(connection)
    with db.dialect.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == SCHEMA
        assert list(structure.faults(connection)) == []


def test_a_failed_migration_leaves_nothing_behind(tmp_path, monkeypatch):
    scripts = shutil.copytree(migrating.migrations_folder(), tmp_path / "migrations")
    (scripts / "versions/0009_bad.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision = '0009'\ndown_revision = '0008'\n"
        "def upgrade():\n"
        "    op.create_table('half', sa.Column('id', sa.Integer))\n"
        "    op.add_column('refs', sa.Column('more', sa.Integer))\n"
        "    op.execute('INSERT INTO no_such_table VALUES (1)')\n"
    )
    new_ledger(tmp_path).close()
    path = tmp_path / ".kn-edit" / "ledger.db"
    monkeypatch.setattr(migrating, "migrations_folder", lambda: scripts)
    monkeypatch.setattr(database, "SCHEMA", "0009")
    with closing(sqlite3.connect(path)) as plain:
        before = list(plain.iterdump())
    with pytest.raises(LedgerDamaged):
        Database.in_file(path).upgrade()
    with closing(sqlite3.connect(path)) as plain:
        assert list(plain.iterdump()) == before


def test_an_older_ledger_is_upgraded_when_opened(tmp_path, monkeypatch):
    scripts = shutil.copytree(migrating.migrations_folder(), tmp_path / "migrations")
    (scripts / "versions/0009_good.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision = '0009'\ndown_revision = '0008'\n"
        "def upgrade():\n    op.create_table('more', sa.Column('id', sa.Integer))\n"
    )
    new_ledger(tmp_path).close()
    monkeypatch.setattr(migrating, "migrations_folder", lambda: scripts)
    monkeypatch.setattr(database, "SCHEMA", "0009")
    with open_ledger(tmp_path) as ledger, ledger._database.reading() as connection:
        assert connection.raw.execute(text("SELECT count(*) FROM more")).scalar() == 0
        assert (
            connection.raw.execute(text("SELECT version_num FROM alembic_version")).scalar()
            == "0009"
        )


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_ledger_of_an_older_schema_is_brought_up_to_date(tmp_path, schema):
    path = old_ledger(tmp_path, schema)
    recipes = old_recipes(path)
    with open_ledger(tmp_path) as ledger:
        assert {id_: ledger.version(id_).edits for id_ in recipes} == recipes
        assert [step.edits for step in ledger.log()][-1] == ()
        assert len(ledger.publications()) == (2 if schema in PUBLISHED else 0)
        moved = {"source": "/models/moved", "files": {"config.json": "a" * 64}}
        assert ledger.base == replace(BASE, **(moved if schema in PUBLISHED - {"0002"} else {}))
        head = ledger.head()
        ledger.note_publication(Publication("a/b", "main", "c" * 40, head.id, "delta", None))
        record(ledger, delta_of((1, 0)))
        assert ledger.check() == []
    with Database.in_file(path).reading() as connection:
        context = MigrationContext.configure(connection.raw, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_newer_ledger_is_refused_and_not_touched(tmp_path):
    with new_ledger(tmp_path) as ledger:
        record(ledger, delta_of((0, 1)))
    path = tmp_path / ".kn-edit" / "ledger.db"
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("UPDATE alembic_version SET version_num = '0042'")
    before = contents(tmp_path)
    with pytest.raises(NewerSchema, match=r"schema 0042.*upgrade") as caught:
        open_ledger(tmp_path)
    assert caught.value.exit_code == ExitCode.NEWER_SCHEMA
    assert contents(tmp_path) == before


def test_settings_of_a_connection(tmp_path):
    with new_ledger(tmp_path) as ledger, ledger._database.reading() as connection:
        found = {
            name: connection.raw.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": sqlite.BUSY_SECONDS * 1000,
    }


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with new_ledger(tmp_path) as ledger:
        with pytest.raises(RuntimeError), ledger._database.writing() as connection:
            connection.execute(delete(refs))
            raise RuntimeError
        assert [ref.name for ref in ledger.refs()] == ["main"]


def test_a_second_ledger_in_the_same_folder_is_refused(tmp_path):
    with new_ledger(tmp_path) as ledger:
        record(ledger, delta_of((0, 1)))
    before = contents(tmp_path)
    with pytest.raises(LedgerExists) as caught:
        new_ledger(tmp_path)
    assert caught.value.exit_code == ExitCode.CONFLICT
    assert contents(tmp_path) == before


def test_a_ledger_made_meanwhile_by_another_process_is_kept(tmp_path, monkeypatch):
    """Between the look and the rename the other one appears."""
    new_ledger(tmp_path / "other").close()
    other = tmp_path / "other" / ".kn-edit" / "ledger.db"
    fill = creation._fill

    def slowly(db, *rest):
        fill(db, *rest)
        shutil.copy(other, tmp_path / ".kn-edit" / "ledger.db")

    monkeypatch.setattr(creation, "_fill", slowly)
    with pytest.raises(LedgerExists):
        new_ledger(tmp_path)
    assert contents(tmp_path / ".kn-edit") == contents(other.parent)


@pytest.mark.parametrize(("kind", "moment"), [(Database, "create"), (SQLiteFile, "write_ahead")])
def test_an_init_that_stops_half_way_leaves_no_ledger(tmp_path, monkeypatch, kind, moment):
    def crash(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kind, moment, crash)
        with pytest.raises(KeyboardInterrupt):
            new_ledger(tmp_path)
    with pytest.raises(NoLedger):
        open_ledger(tmp_path)
    with new_ledger(tmp_path) as ledger:
        assert ledger.check() == []


def test_a_folder_without_a_ledger(tmp_path):
    with pytest.raises(NoLedger, match=r"`Workspace\.init\(MODEL\)`"):
        open_ledger(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"this is not a database, only a note" * 100])
def test_a_file_that_is_not_a_ledger(tmp_path, data):
    path = tmp_path / ".kn-edit" / "ledger.db"
    path.parent.mkdir()
    path.write_bytes(data)
    with pytest.raises(LedgerDamaged, match="backup") as caught:
        open_ledger(tmp_path)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert path.read_bytes() == data


def on_connect(ledger, pragma: str) -> None:
    @event.listens_for(ledger._database.dialect.engine, "connect")
    def limit(connection, _):
        connection.execute(pragma).fetchall()


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    with new_ledger(tmp_path) as ledger:
        delta = delta_of(*((layer, index) for layer in (0, 1) for index in range(6)))
        plan = ledger.plan_edit(delta, "update")
        edit = about(delta, subject="x" * 100_000)
        on_connect(ledger, "PRAGMA max_page_count = 1")  # SQLite: not below the present size
        with pytest.raises(LedgerUnusable, match="full") as caught:
            ledger.advance(plan, digests([delta]), edit=edit)
        assert caught.value.exit_code == ExitCode.DISK
    with open_ledger(tmp_path) as ledger:
        assert (ledger.edits(), ledger.check()) == ([], [])


def test_a_database_that_may_not_be_written_is_said(tmp_path):
    with new_ledger(tmp_path) as ledger:
        on_connect(ledger, "PRAGMA query_only = ON")
        with pytest.raises(LedgerUnusable, match="readonly"):
            ledger.tag("v1")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said(tmp_path):
    new_ledger(tmp_path).close()
    folder = tmp_path / ".kn-edit"
    folder.chmod(0o500)
    try:
        with pytest.raises(LedgerUnusable, match="you may write"):
            open_ledger(tmp_path).tag("v1")
        with pytest.raises(LedgerUnusable):
            new_ledger(folder)
    finally:
        folder.chmod(0o700)


def test_a_place_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerUnusable) as caught:
        new_ledger(tmp_path / "file")
    assert caught.value.exit_code == ExitCode.DISK


def test_a_writer_that_waits_too_long_says_who_holds_it_up(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0)
    ledger, other = new_ledger(tmp_path), open_ledger(tmp_path)
    with ledger._database.writing():
        assert other.head() == ledger.head()  # readers do not wait
        with pytest.raises(LedgerBusy) as caught:
            other.tag("v1")
    assert caught.value.exit_code == ExitCode.CONFLICT


def test_a_file_beside_the_database_that_comes_and_goes_is_no_reason_to_refuse(tmp_path):
    database = tmp_path / "ledger.db"
    beside = tmp_path / "ledger.db-shm"
    database.touch()
    done = threading.Event()

    def come_and_go():
        while not done.is_set():
            beside.touch()
            beside.unlink()

    other = threading.Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(3000):
            check_files(database)
    finally:
        done.set()
        other.join()
