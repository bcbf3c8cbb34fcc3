"""Ledgers of strangers whose database would run something, and old ones with rows that are odd."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from ledgers import delta_of, new_ledger, open_ledger, record
from old_ledgers import old_ledger

from kn_edit.errors import LedgerDamaged

FOREVER = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r)"
PROGRAMS = {
    "a trigger that takes back what is recorded": (
        "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM refs WHERE kind = 'tag'; END"
    ),
    "a trigger without end": (
        f"CREATE TRIGGER t AFTER INSERT ON events BEGIN "
        f"INSERT INTO facts (relation) {FOREVER.replace('WITH', 'SELECT 1 FROM (WITH')} "
        f"SELECT n FROM r); END"
    ),
    "a view without end in the place of a table": (
        f"ALTER TABLE refs RENAME TO other; CREATE VIEW refs AS {FOREVER} "
        "SELECT n AS name, 'tag' AS kind, 'x' AS version_id FROM r"
    ),
    "a schema without end": (
        "DROP TABLE alembic_version; "
        f"CREATE VIEW alembic_version AS {FOREVER} SELECT '0003' AS version_num FROM r WHERE n < 0"
    ),
    "a column that is computed": (
        "ALTER TABLE facts ADD COLUMN more TEXT AS (hex(zeroblob(100000000)))"
    ),
    "an index over an expression": "CREATE INDEX more ON facts (hex(relation))",
    "a virtual table": "CREATE VIRTUAL TABLE more USING rtree(a, b, c)",
    "rows that are dropped quietly": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master "
        "SET sql = replace(sql, 'id, seq)', 'id, seq) ON CONFLICT REPLACE') "
        "WHERE name = 'edits'"
    ),
    "a condition": (
        "PRAGMA writable_schema = ON; UPDATE sqlite_master "
        "SET sql = replace(sql, 'answer TEXT', 'answer TEXT CHECK (1)') WHERE name = 'facts'"
    ),
}
ODD = {
    "a version whose list is that of another one": "DELETE FROM version_edits WHERE position = 1",
    "an id that is not UTF-8": (
        "UPDATE version_edits SET edit_id = CAST(x'ff41' AS TEXT) WHERE position = 0"
    ),
    "a number that none can follow": (
        "UPDATE events SET seq = 9223372036854775807 WHERE seq = (SELECT max(seq) FROM events)"
    ),
    "a schema that never was": "UPDATE alembic_version SET version_num = '0000'",
    "two bases": (
        "INSERT INTO base_models SELECT 'f', name, repo, revision, source, model_type, dtype, "
        "created FROM base_models"
    ),
    "a commit that is no text": "UPDATE publications SET commit_id = x'00'",
    "an event that was changed": "UPDATE events SET message = 'new' WHERE seq = 3",
    "a trigger without end": PROGRAMS["a trigger without end"],
}


def run_in(path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.executescript(f"PRAGMA foreign_keys = OFF; {script}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_that_a_database_holds_runs(tmp_path, program):
    with new_ledger(tmp_path) as ledger:
        record(ledger, delta_of((0, 1)))
    path = tmp_path / ".kn-edit" / "ledger.db"
    run_in(path, PROGRAMS[program])
    before = path.read_bytes()
    for use in (
        lambda ledger: ledger.refs(),
        lambda ledger: ledger.tag("v1"),
        lambda ledger: record(ledger, delta_of((0, 2))),
    ):
        with pytest.raises(LedgerDamaged, match="program"), open_ledger(tmp_path) as ledger:
            use(ledger)
    assert path.read_bytes() == before


def test_a_program_is_a_problem_that_verify_reports(tmp_path):
    with new_ledger(tmp_path) as ledger:
        run_in(
            tmp_path / ".kn-edit" / "ledger.db",
            PROGRAMS["a trigger that takes back what is recorded"],
        )
        (problem,) = ledger.check()
    assert "the trigger t in it holds a program" in problem.message


@pytest.mark.parametrize("words", [", STRICT", " /* other */"])
def test_other_words_in_a_table_are_reported(tmp_path, words):
    with new_ledger(tmp_path) as ledger:
        run_in(
            tmp_path / ".kn-edit" / "ledger.db",
            f"PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = sql || '{words}' "
            "WHERE name = 'facts'",
        )
        assert [problem.message for problem in ledger.check()] == [
            "the table facts is not as kn-edit makes it"
        ]


@pytest.mark.parametrize("oddity", ODD)
def test_an_upgrade_tells_what_is_odd_in_an_old_ledger(tmp_path, oddity):
    path = old_ledger(tmp_path, "0002")
    run_in(path, ODD[oddity])
    try:
        with open_ledger(tmp_path) as ledger:
            assert ledger.check()
    except LedgerDamaged:  # then it is the old one still
        with closing(sqlite3.connect(path)) as plain:
            assert plain.execute("SELECT count(*) FROM version_edits").fetchone()[0]
