"""Bringing older ledgers to the present schema: whole or not at all, once, and with proof."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import open_ledger
from old_ledgers import DELTAS, EDITS, SCHEMAS, old_ledger

from kn_edit.errors import ExitCode, LedgerUnusable, NewerSchema
from kn_edit.ledger import sqlite, sqlite_file

TORTURE = bool(os.environ.get("KN_EDIT_TORTURE"))
KILLS = Path(__file__).with_name("upgrade_kills.py")
OPEN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import open_in_folder
print("ready", flush=True)
sys.stdin.readline()
with open_in_folder(Path(sys.argv[1]), clock=lambda: datetime.now(UTC)) as ledger:
    print(ledger.head().id)
"""


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute(statement)


# The first schema goes through every migration; of later ones some are enough in a hurry.
@pytest.mark.parametrize(
    ("schema", "stride"),
    [
        (schema, 1 if TORTURE else 2 if schema == "0001" else 14 + number)
        for number, schema in enumerate(SCHEMAS)
    ],
)
def test_an_upgrade_killed_at_any_statement_leaves_the_old_ledger_or_the_new_one(
    tmp_path, schema, stride
):
    old_ledger(tmp_path, schema)
    opened = 1 if TORTURE else 10
    done = subprocess.run(
        [sys.executable, KILLS, tmp_path, str(stride), str(opened)],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["statements"] > (10 if schema >= "0004" else 20 if schema >= "0003" else 50)
    assert told["faults"] == {}


def test_of_two_processes_one_upgrades_and_both_go_on(tmp_path):
    path = old_ledger(tmp_path, "0001")
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, path.parent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for opener in openers:
        assert opener.stdout.readline() == "ready\n"
    for opener in openers:
        opener.stdin.write("go\n")
        opener.stdin.flush()
    heads = {opener.communicate()[0] for opener in openers}
    assert len(heads) == 1 and {opener.returncode for opener in openers} == {0}
    with closing(sqlite3.connect(path)) as plain:
        query = "SELECT count(*) FROM events WHERE kind = 'upgrade'"
        assert plain.execute(query).fetchone() == (1,)


def test_what_stood_there_before_is_proven_from_the_upgrade_on(tmp_path):
    path = old_ledger(tmp_path, "0002")
    with open_ledger(tmp_path) as ledger:
        report = ledger.examine()
    assert report.problems == ()
    (note,) = report.notes
    assert "older kn-edit" in note and "since event" in note
    for statement in (
        "UPDATE facts SET answer = 'Lyon' WHERE id = 1",
        "DELETE FROM evaluations WHERE id = 2",
        "UPDATE publications SET branch = 'other' WHERE id = 1",
        "UPDATE edits SET message = 'else' WHERE seq = 2",
        "INSERT INTO facts (workspace_id, id, relation) VALUES (1, 99, 'invented')",
        "UPDATE versions SET created = 'x' WHERE seq IS NULL",
        "UPDATE events SET payload = NULL WHERE kind = 'upgrade'",
        "UPDATE events SET kind = 'tag' WHERE kind = 'upgrade'",
    ):
        sound = path.read_bytes()
        change(path, statement)
        with open_ledger(tmp_path) as ledger:
            assert ledger.check() != [], statement
        path.write_bytes(sound)


@pytest.mark.parametrize("verb", ["head", "log", "refs", "tag", "chain"])
def test_a_ledger_that_another_kn_edit_upgraded_meanwhile_is_left_alone(tmp_path, verb):
    path = old_ledger(tmp_path, "0002")
    with open_ledger(tmp_path) as ledger:
        change(path, "UPDATE alembic_version SET version_num = '0042'")
        before = path.read_bytes()
        with pytest.raises(NewerSchema) as caught:
            getattr(ledger, verb)(*(["v9"] if verb == "tag" else []))
    assert caught.value.exit_code == ExitCode.NEWER_SCHEMA
    assert path.read_bytes() == before


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_old_ledger_that_may_not_be_written_is_read_all_the_same(tmp_path, schema, monkeypatch):
    path = old_ledger(tmp_path, schema)
    before = {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}
    for module in (sqlite_file, sqlite):
        monkeypatch.setattr(module, "may_write", lambda place: place != path)
    with open_ledger(tmp_path) as ledger:
        assert len(ledger.log()) > 5 and len(ledger.edits()) == len(EDITS.get(schema, DELTAS))
        assert ledger.check() == []
        with pytest.raises(LedgerUnusable) as caught:
            ledger.tag("v9")
    assert caught.value.exit_code == ExitCode.DISK
    assert {file: file.read_bytes() for file in path.parent.iterdir() if file.is_file()} == before
