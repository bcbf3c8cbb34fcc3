"""How recipes are stored: as what sets a version apart from its parent."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import FINGERPRINT, about, delta_of, move, new_ledger, open_ledger, record
from sqlalchemy import func, select

from kn_edit.ledger import reading
from kn_edit.ledger.history import changed, changes
from kn_edit.ledger.tables import version_changes

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
            rows = connection.execute(select(func.count()).select_from(version_changes)).scalar()
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
                with closing(sqlite3.connect(ledger.folder / "ledger.db")) as plain:
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
