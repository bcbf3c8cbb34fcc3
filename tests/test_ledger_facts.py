"""Edits of many facts in a ledger, and edits of one that came before the table of facts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import (
    FINGERPRINT,
    about,
    about_many,
    delta_of,
    digests,
    move,
    new_ledger,
    only_sqlite,
    open_ledger,
    record,
    record_many,
)
from mutations import rich_ledger
from old_ledgers import DELTAS, EDITS, SCHEMAS, old_ledger

from kn_edit.errors import LedgerDamaged
from kn_edit.ledger import Adoption, FactChange
from kn_edit.ledger.history import version_id
from kn_edit.ledger.in_folder import restore_in_folder

pytestmark = pytest.mark.usefixtures("database")

ONE, MANY, LAST = delta_of((0, 1)), delta_of((0, 2), (1, 3)), delta_of((1, 4))
SUBJECTS = ("Japan", "France", "Cuba")
FACTS = (
    FactChange("capital", "Japan", "Paris", "Rome"),
    FactChange("capital", "France", "France old", "Rome"),
    FactChange("capital", "Cuba", "Cuba old", "Rome"),
)


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / ".kn-edit" / "ledger.db")) as plain:
        return plain.execute(query).fetchall()


# --- what is recorded ----------------------------------------------------------------------------


def test_an_edit_of_many_facts_comes_back_with_all_of_them_in_order(ledger, tmp_path):
    record(ledger, ONE)
    record_many(ledger, MANY, *SUBJECTS)
    with open_ledger(tmp_path) as again:
        one, many = again.edits()
        assert again.check() == []
    assert many.facts == FACTS
    assert (many.relation, many.subject, many.answer, many.target) == tuple(vars(FACTS[0]).values())
    assert one.facts == (FactChange("capital", "France", "Paris", "Rome"),)
    assert one.further == ()


def test_an_erasure_is_of_one_relation_without_a_subject(ledger):
    plan = ledger.plan_edit(ONE, "erase", "capital erased")
    erased = replace(about(ONE, kind="erase"), subject=None, answer=None, target=None)
    ledger.advance(plan, digests([ONE]), edit=erased)
    assert ledger.edit(ONE.id).facts == (FactChange("capital", None, None, None),)
    assert ledger.check() == []


@only_sqlite
def test_one_fact_may_stand_in_an_edit_twice_and_in_several_edits(ledger, tmp_path):
    record_many(ledger, MANY, "Japan", "Cuba", "Cuba")
    record_many(ledger, LAST, "Cuba", "Japan", "Cuba")
    assert [fact.subject for fact in ledger.edit(MANY.id).facts] == ["Japan", "Cuba", "Cuba"]
    assert [fact.subject for fact in ledger.edit(LAST.id).facts] == ["Cuba", "Japan", "Cuba"]
    assert ledger.check() == []
    assert len(rows(tmp_path, "SELECT DISTINCT relation, subject, answer FROM facts")) == len(
        rows(tmp_path, "SELECT * FROM facts")
    )


@only_sqlite
def test_edits_of_one_fact_are_journaled_as_before_there_was_the_table(tmp_path):
    """Hashes and payloads are those of the last kn-edit without it, which wrote the fixture."""
    (tmp_path / "old").mkdir()
    old_ledger(tmp_path / "old", "0005")
    rich_ledger(tmp_path)
    query = "SELECT seq, kind, edit_id, payload, hash FROM events WHERE seq <= 13 ORDER BY seq"
    events = rows(tmp_path, query)
    assert events == rows(tmp_path / "old", query)
    assert sum(kind == "update" for _, kind, *_ in events) == 4  # the last one of low rank


def test_many_facts_are_reverted_and_come_back_together(ledger):
    record(ledger, ONE)
    head = record_many(ledger, MANY, *SUBJECTS)
    reverted = move(ledger, ledger.plan_revert(MANY.id))
    assert reverted.edits == (ONE.id,)
    assert ledger.log(1)[0].message.startswith("revert")
    assert move(ledger, ledger.plan_rewind(head.id)).edits == head.edits
    assert ledger.edit(MANY.id).facts == FACTS
    assert ledger.check() == []


def test_an_edit_of_many_facts_is_adopted(ledger):
    ids = (MANY.id, LAST.id)
    edits = (about_many(MANY, *SUBJECTS), about(LAST))
    plan = Adoption("ann/m@main", version_id(FINGERPRINT, ids), ids, edits, "pull")
    ledger.adopt(plan, digests([MANY, LAST]))
    assert [edit.facts for edit in ledger.edits()] == [FACTS, about(LAST).facts]
    assert ledger.check() == []


def test_a_known_edit_keeps_the_facts_that_it_was_recorded_with(ledger):
    record_many(ledger, MANY, *SUBJECTS)
    move(ledger, ledger.plan_rewind("base"))
    record(ledger, MANY, subject="Spain")
    assert ledger.edit(MANY.id).facts == FACTS
    assert ledger.check() == []


@only_sqlite
def test_a_backup_holds_every_fact(ledger, tmp_path):
    record_many(ledger, MANY, *SUBJECTS)
    ledger.backup(tmp_path / "b.tar")
    restore_in_folder(tmp_path / "b.tar", tmp_path / "back" / ".kn-edit", clock=ledger._clock)
    with open_ledger(tmp_path / "back") as back:
        assert back.edit(MANY.id).facts == FACTS
        assert back.check() == []


# --- damage --------------------------------------------------------------------------------------

DAMAGE = [
    "UPDATE edit_facts SET target = 'Lyon' WHERE position = 0",
    "UPDATE edit_facts SET target = 'Lyon' WHERE position = 2",
    "UPDATE edit_facts SET target = NULL WHERE position = 1",
    "UPDATE edit_facts SET target = CAST('Rome' AS BLOB) WHERE position = 0",
    "UPDATE edit_facts SET fact_id = fact_id % 3 + 1 WHERE position = 1",
    "UPDATE edit_facts SET fact_id = 1 WHERE position = 0",
    "UPDATE edit_facts SET position = position + 1 WHERE position = 2",
    "UPDATE edit_facts SET position = -1 WHERE position = 0",
    "UPDATE edit_facts SET position = 'x' WHERE position = 1",
    "UPDATE edit_facts SET position = position + 10",
    "DELETE FROM edit_facts WHERE position = 0",
    "DELETE FROM edit_facts WHERE position = 2",
    "DELETE FROM edit_facts",
    "INSERT INTO edit_facts SELECT 1, id, 3, 1, 'Rome' FROM edits",
    "INSERT INTO edit_facts SELECT 1, id, -1, 1, 'Rome' FROM edits",
    "UPDATE edits SET target = 'Lyon'",
    "UPDATE edits SET fact_id = 2",
    "UPDATE edits SET target = 'Lyon'; UPDATE edit_facts SET target = 'Lyon' WHERE position = 0",
    "DROP TABLE edit_facts",
]


@only_sqlite
@pytest.mark.parametrize("script", DAMAGE)
def test_every_damage_of_the_table_is_found_and_nothing_of_it_is_told(script, ledger, tmp_path):
    record(ledger, ONE)
    record_many(ledger, MANY, *SUBJECTS)
    ledger.close()
    with closing(sqlite3.connect(tmp_path / ".kn-edit" / "ledger.db")) as plain:
        plain.executescript(script)
    with open_ledger(tmp_path) as damaged:
        assert damaged.check() != []
        with pytest.raises(LedgerDamaged):
            damaged.edits()


@only_sqlite
def test_a_row_of_no_edit_is_found(ledger, tmp_path):
    record(ledger, ONE)
    ledger.close()
    for position in (0, 1):
        with closing(sqlite3.connect(tmp_path / ".kn-edit" / "ledger.db")) as plain, plain:
            plain.execute(f"INSERT INTO edit_facts VALUES (1, '{'a' * 64}', {position}, 1, 'Rome')")
        with open_ledger(tmp_path) as damaged:
            parts = {problem.part for problem in damaged.check()}
            assert {"database", "rows"} <= parts
            assert len(damaged.edits()) == 1


# --- older ledgers -------------------------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_fact_of_every_older_edit_is_carried_over(schema, tmp_path):
    path = old_ledger(tmp_path, schema)
    query = (
        "SELECT e.id, f.relation, f.subject, f.answer, e.target "
        "FROM edits e JOIN facts f ON f.id = e.fact_id ORDER BY e.seq"
    )
    before = rows(tmp_path, query)
    events = rows(tmp_path, "SELECT hash FROM events ORDER BY seq")
    assert len(before) == len(EDITS.get(schema, DELTAS))
    with open_ledger(tmp_path) as ledger:
        assert [(edit.id, *vars(edit.facts[0]).values()) for edit in ledger.edits()] == before
        assert ledger.check() == []
    carried = (
        "SELECT edit_id, position, fact_id, target FROM edit_facts WHERE position = 0 ORDER BY 1"
    )
    expected = "SELECT id, 0, fact_id, target FROM edits ORDER BY 1"
    assert rows(tmp_path, carried) == rows(tmp_path, expected)
    assert rows(tmp_path, "SELECT hash FROM events ORDER BY seq")[: len(events)] == events
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("UPDATE edit_facts SET target = 'Lyon' WHERE edit_id = ?", (before[0][0],))
    with open_ledger(tmp_path) as ledger:
        assert ledger.check() != []


@only_sqlite
@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_upgraded_ledger_takes_an_edit_of_many_facts(schema, tmp_path):
    old_ledger(tmp_path, schema)
    with open_ledger(tmp_path) as ledger:
        before = ledger.edits()
        record_many(ledger, delta_of((0, 5), value=77.0), *SUBJECTS)
        assert ledger.edits()[:-1] == before
        assert ledger.edits()[-1].facts == FACTS
        assert ledger.check() == []


@only_sqlite
def test_an_older_edit_of_a_fact_that_is_not_there_stops_no_upgrade(tmp_path):
    path = old_ledger(tmp_path, "0005")
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute("UPDATE edits SET fact_id = 99 WHERE seq = 2")
    with open_ledger(tmp_path) as ledger:
        assert ledger.head().id
        assert "rows" in {problem.part for problem in ledger.check()}
        with pytest.raises(LedgerDamaged):
            ledger.edits()
