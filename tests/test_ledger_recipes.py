"""How recipes are stored: as what sets a version apart from its parent."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import (
    FINGERPRINT,
    NAMES,
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

from kn_edit.ledger import reading
from kn_edit.ledger.connection import select
from kn_edit.ledger.history import changed, changes
from kn_edit.ledger.spans import FANOUT
from kn_edit.ledger.tables import version_changes

pytestmark = pytest.mark.usefixtures("database")

recipes = st.permutations("abcdefgh").flatmap(
    lambda order: st.integers(0, 8).map(lambda size: tuple(order[:size]))
)


@settings(max_examples=300)
@given(recipes, recipes)
def test_any_recipe_can_be_stored_as_a_change_of_any_other(parent, recipe):
    assert changed(parent, changes(parent, recipe)) == recipe


@given(recipes, st.sampled_from("abcdefgh"))
def test_one_edit_more_or_less_is_one_change(recipe, edit):
    fewer = tuple(other for other in recipe if other != edit)
    assert len(changes(fewer, (*fewer, edit))) == 1
    assert len(changes(recipe, fewer)) == len(recipe) - len(fewer)


def test_every_version_keeps_its_list_in_its_order(tmp_path):
    deltas = [delta_of((0, 1), value=float(number)) for number in range(1, 7)]
    ids = [delta.id for delta in deltas]
    with new_ledger(tmp_path) as ledger:
        lists = {ledger.head().id: ()}
        for delta in deltas:
            lists[record(ledger, delta).id] = tuple(ids[: len(lists)])
        for edit in (ids[0], ids[3]):
            head = move(ledger, ledger.plan_revert(edit, allow_overlap=True))
            lists[head.id] = tuple(i for i in ledger.log()[1].edits if i != edit)
        head = record(ledger, deltas[0])
        lists[head.id] = (ids[1], ids[2], ids[4], ids[5], ids[0])
        for version, edits in lists.items():
            assert ledger.version(version).edits == edits
        with ledger._database.reading() as connection:
            assert dict(reading.each_recipe(connection)) == lists
            rows = len(connection.execute(select(version_changes)).all())
        assert rows == len(deltas) + 3  # one a move
        assert ledger.check() == []


def test_the_ledger_grows_by_the_same_with_every_edit(tmp_path):
    sizes = []
    with new_ledger(tmp_path) as ledger:
        for number in range(90):
            delta = delta_of((number % 2, number % 6), value=number + 1.0)
            plan = ledger.plan_edit(delta, "update", "a change")
            ledger.advance(plan, {"tensor": "0" * 64}, edit=about(delta, subject=f"S{number}"))
            if number % 30 == 29:
                with closing(sqlite3.connect(folder_of(ledger) / "ledger.db")) as plain:
                    sizes.append(sum(map(len, plain.iterdump())))
        assert len(ledger.head().edits) == len(ledger.log()) - 1 == 90
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], rel=0.02)


def test_a_base_that_was_moved_is_remembered_with_its_files(tmp_path):
    with new_ledger(tmp_path) as ledger:
        assert ledger.base.files is None
        ledger.set_base("/elsewhere/demo", {"config.json": "a" * 64})
        ledger.set_base("/at/last/demo", {"config.json": "b" * 64})
        assert ledger.base.source == "/at/last/demo"
        assert ledger.check() == []
        assert [step.kind for step in ledger.log()] == ["init"]
    with open_ledger(tmp_path) as ledger:
        assert ledger.base.source == "/at/last/demo"
        assert ledger.base.files == {"config.json": "b" * 64}
        assert ledger.base.fingerprint == FINGERPRINT


@only_sqlite
def test_digests_are_stored_where_they_are_others_than_those_of_the_parent(tmp_path):
    deltas = [delta_of((number % 2, number), value=2.0) for number in range(6)]
    with new_ledger(tmp_path) as ledger:
        versions = [record(ledger, delta) for delta in deltas]
        fewer = move(ledger, ledger.plan_revert(deltas[4].id))
        for version in (*versions, fewer):
            ids = ledger.deltas(version.edits)
            assert ledger.version(version.id).digests == digests(ids)
        for delta in (deltas[5], deltas[3], deltas[1]):  # then nothing touches the second layer
            head = move(ledger, ledger.plan_revert(delta.id))
        assert list(ledger.head().digests) == [NAMES[0]] == list(head.digests)
        assert ledger.check() == []
    with closing(sqlite3.connect(tmp_path / ".kn-edit" / "ledger.db")) as plain:
        query = "SELECT version_id, count(*) FROM version_tensors GROUP BY version_id"
        rows = dict(plain.execute(query))
    assert [rows[version.id] for version in versions] == [1] * 6


@only_sqlite
def test_a_long_line_tells_all_digests_again_from_time_to_time(tmp_path):
    told = {f"tensor {number}": f"{number:064x}" for number in range(5)}
    with new_ledger(tmp_path) as ledger:
        for number in range(70):
            delta = delta_of((0, 0), value=number + 1.0)
            told[f"tensor {number % 5}"] = f"{number + 100:064x}"
            plan = ledger.plan_edit(delta, "update", "a change")
            ledger.advance(plan, told, edit=about(delta, subject=f"S{number}"))
            assert ledger.head().digests == told
    with closing(sqlite3.connect(tmp_path / ".kn-edit" / "ledger.db")) as plain:
        query = "SELECT count(*) FROM version_tensors GROUP BY version_id ORDER BY 1 DESC"
        counts = [row[0] for row in plain.execute(query)]
    assert counts == [5] * (1 + 70 // FANOUT) + [1] * (69 - 70 // FANOUT)


@only_sqlite
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE versions SET partial = NULL",
        "UPDATE versions SET partial = 1 WHERE partial IS NULL",
        "UPDATE versions SET partial = 0 WHERE seq = 4",
        "UPDATE versions SET partial = 'x' WHERE partial IS NOT NULL",
        "DELETE FROM version_tensors WHERE sha256 = ''",
    ],
)
def test_a_change_of_what_digests_are_left_out_is_found(tmp_path, change):
    told = {f"tensor {number}": f"{number:064x}" for number in range(4)}
    with new_ledger(tmp_path) as ledger:
        for number in range(4):
            told["tensor 1"] = f"{number + 10:064x}"
            delta = delta_of((0, number))
            plan = ledger.plan_edit(delta, "update", "a change")
            ledger.advance(plan, told, edit=about(delta, subject=f"S{number}"))
        del told["tensor 2"]
        ledger.advance(ledger.plan_revert(delta_of((0, 0)).id), told)
        assert ledger.head().digests == told
        assert ledger.check() == []
        with closing(sqlite3.connect(tmp_path / ".kn-edit" / "ledger.db")) as plain, plain:
            assert plain.execute(change).rowcount
        assert any(problem.part == "rows" for problem in ledger.check())
