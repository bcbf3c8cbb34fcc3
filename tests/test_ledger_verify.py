"""What `verify` proves beyond single rows: the journal's digest, the tables, stray files."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from ledgers import (
    FINGERPRINT,
    about,
    delta_of,
    digests,
    folder_of,
    move,
    new_ledger,
    only_sqlite,
    open_ledger,
    record,
)
from old_ledgers import SCHEMAS, old_ledger
from sqlalchemy import event

from kn_edit.errors import BadDigest, ExitCode, LedgerDamaged
from kn_edit.ledger import Adoption, structure
from kn_edit.ledger.database import Database
from kn_edit.ledger.history import version_id
from kn_edit.neuron import NeuronId

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))


@pytest.fixture
def ledger(tmp_path, database):
    with new_ledger(tmp_path) as ledger:
        record(ledger, A)
        record(ledger, B)
        yield ledger


def alter(ledger, script: str) -> None:
    with closing(sqlite3.connect(folder_of(ledger) / "ledger.db")) as plain:
        plain.executescript(script)


# --- the digest of the journal -------------------------------------------------------------------


def test_a_journal_that_goes_on_still_holds_its_former_digest(ledger):
    digest = ledger.chain()
    ledger.tag("v1")
    move(ledger, ledger.plan_revert(A.id))
    assert ledger.chain() != digest
    assert ledger.check(since=digest) == []
    assert ledger.examine().chain == ledger.chain()


@only_sqlite
def test_a_journal_that_was_cut_off_shows_by_its_former_digest(ledger):
    ledger.tag("v1")
    digest = ledger.chain()
    alter(ledger, "DELETE FROM events WHERE kind = 'tag'; DELETE FROM refs WHERE kind = 'tag'")
    assert ledger.check() == []  # as if the tag had never been
    (problem,) = ledger.check(since=digest)
    assert (problem.part, problem.subject) == ("events", digest)


def test_a_journal_that_was_written_anew_shows_by_its_former_digest(ledger, tmp_path):
    digest = ledger.chain()
    with new_ledger(tmp_path / "other") as other:
        record(other, A, subject="Spain")
        record(other, B)
        assert other.check() == []
        assert [problem.part for problem in other.check(since=digest)] == ["events"]


@pytest.mark.parametrize("given", ["", "abc", "g" * 64, "A" * 64, "0" * 63, "é" * 64])
def test_what_is_no_digest_is_refused(ledger, given):
    with pytest.raises(BadDigest) as caught:
        ledger.check(since=given)
    assert caught.value.exit_code == ExitCode.USAGE


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [*SCHEMAS, "new"])
def test_every_way_to_the_present_schema_gives_the_same_tables(tmp_path, schema):
    if schema == "new":
        new_ledger(tmp_path).close()
    else:
        old_ledger(tmp_path, schema)
        open_ledger(tmp_path).close()
    with Database.in_file(tmp_path / ".kn-edit" / "ledger.db").reading() as connection:
        assert list(structure.faults(connection.raw)) == []


def test_statistics_of_sqlite_are_no_fault(ledger):
    alter(ledger, "ANALYZE")
    assert ledger.check() == []


@only_sqlite
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("CREATE VIEW seen AS SELECT 1", "view seen does not belong"),
        ("CREATE TRIGGER t AFTER INSERT ON events BEGIN SELECT 1; END", "trigger t in it"),
        (
            "DROP INDEX ix_edit_slots_workspace_id_layer_neuron",
            "index ix_edit_slots_workspace_id_layer_neuron is missing",
        ),
        ("DROP TABLE publications", "table publications is missing"),
        ("ALTER TABLE refs ADD COLUMN more", "table refs is not as kn-edit makes it"),
    ],
)
def test_tables_and_what_belongs_to_them_are_compared(ledger, script, words):
    alter(ledger, script)
    assert any(words in problem.message for problem in ledger.check())


@only_sqlite
def test_several_faults_are_told_at_once(ledger):
    ledger.blobs.path(A.id).unlink()
    alter(
        ledger,
        "DROP TABLE publications; UPDATE facts SET answer = 'x'; DELETE FROM base_models;"
        "UPDATE refs SET kind = 'tag'; UPDATE edit_slots SET mode = x'ff'",
    )
    parts = {problem.part for problem in ledger.check()}
    assert parts >= {"database", "rows", "refs", "delta"}


# --- reading what is damaged ---------------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize(
    "script",
    [
        "DELETE FROM base_models",
        "INSERT INTO base_models SELECT 1, 'x', name, repo, revision, source, model_type, dtype, "
        "created, files FROM base_models",
        "DELETE FROM refs WHERE name = 'main'",
        "UPDATE edits SET message = CAST(x'ff41' AS TEXT)",
        "UPDATE edits SET message = x'00'",
        "UPDATE attributions SET found = '{'",
        "UPDATE evaluations SET metrics = '{\"p_old_before\": null}'",
        "UPDATE versions SET parent_id = id",
        "DROP TABLE edit_slots",
    ],
)
def test_looking_at_a_damaged_ledger_ends_in_one_sentence(ledger, script):
    alter(ledger, f"PRAGMA foreign_keys = OFF; {script}")
    errors = []
    for look in (
        lambda: ledger.base,
        ledger.head,
        ledger.log,
        ledger.edits,
        ledger.refs,
        lambda: ledger.edit(A.id),
        lambda: ledger.blame(NeuronId(0, 1)),
        lambda: ledger.diff("base", "head"),
        lambda: ledger.plan_revert(A.id),
    ):
        try:
            look()
        except LedgerDamaged as error:
            errors.append(error)
    assert errors and {error.exit_code for error in errors} == {ExitCode.INTEGRITY}
    assert ledger.check() != []


# --- files ---------------------------------------------------------------------------------------


def test_a_delta_of_no_edit_is_noted_and_is_no_problem(ledger):
    ledger.blobs.put(delta_of((1, 5)).to_bytes())
    report = ledger.examine()
    assert report.problems == ()
    assert any("`workspace.gc()` tidies" in note for note in report.notes)


@pytest.mark.parametrize(
    "name", ["notes.txt", "ab/notes.txt", "ab/" + "c" * 64 + ".safetensors", "zz/x", "ab/link"]
)
def test_files_that_nobody_of_kn_edit_made_are_problems(ledger, name):
    path = folder_of(ledger) / "blobs" / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("/dev/zero") if name.endswith("link") else path.write_text("x")
    (problem,) = ledger.check()
    assert problem.part == "files" and str(path).startswith(problem.subject)


def test_a_file_on_its_way_is_no_problem(ledger):
    shard = ledger.blobs.path(A.id).parent
    (shard / f".{A.id[:40]}.0123456789abcdef.tmp").write_text("half")
    assert ledger.check() == []


# --- size ----------------------------------------------------------------------------------------


def test_a_pull_asks_a_bounded_number_of_questions_for_each_edit(tmp_path):
    counts = []
    for size in (20, 40):
        deltas = [delta_of((0, n % 6), value=n + 1.0) for n in range(size)]
        ids = tuple(delta.id for delta in deltas)
        plan = Adoption("a/b@main", version_id(FINGERPRINT, ids), ids, (*map(about, deltas),), "x")
        with new_ledger(tmp_path / str(size)) as ledger:
            statements: list[str] = []
            engine = ledger._database.dialect.engine

            event.listen(
                engine, "connect", lambda c, _, seen=statements: c.set_trace_callback(seen.append)
            )
            ledger.adopt(plan, digests(deltas))
            assert ledger.check() == []
            counts.append(len(statements))
    assert counts[1] < 2.2 * counts[0]
