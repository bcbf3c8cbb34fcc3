"""The spans that lead back from a version in few steps, and the packed lists that they make."""

from __future__ import annotations

import copy
import hashlib
import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import FINGERPRINT, about, delta_of, new_ledger, open_ledger
from old_ledgers import LINE, old_ledger

from kn_edit.edits.delta import Delta
from kn_edit.errors import LedgerDamaged
from kn_edit.ledger import Advance, Ledger, NewEdit, history, lists
from kn_edit.ledger.recipes import BadId, Recipe
from kn_edit.ledger.spans import (
    FANOUT,
    MOST_HOPS,
    WHOLE,
    Effect,
    Hop,
    Span,
    Way,
    effect_of,
    joined,
    new_span,
)

IDS = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(12))
lists_of_ids = st.permutations(IDS).flatmap(
    lambda order: st.integers(0, len(order)).map(lambda size: tuple(order[:size]))
)


# --- packed lists --------------------------------------------------------------------------------


@given(lists_of_ids, lists_of_ids)
def test_a_recipe_is_to_everybody_the_tuple_of_its_ids(one, other):
    recipe = Recipe(one)
    assert recipe == one and one == recipe and tuple(recipe) == one
    assert (recipe == Recipe(other)) == (one == other) == (recipe == other)
    assert hash(recipe) == hash(one) and len(recipe) == len(one)
    assert [recipe[place] for place in range(-len(one), len(one))] == [*one, *one]
    assert recipe + one == one + recipe == recipe * 2 == one * 2
    assert recipe[2:5] == one[2:5] and recipe[:-1] == one[:-1] and recipe[::-2] == one[::-2]
    assert recipe.places(other) == {id_: one.index(id_) for id_ in other if id_ in one}
    assert [id_ in recipe for id_ in IDS] == [id_ in one for id_ in IDS]
    assert pickle.loads(pickle.dumps(recipe)) == copy.deepcopy(recipe) == one


@given(lists_of_ids, lists_of_ids)
def test_whatever_is_asked_of_packed_lists_is_what_tuples_answer(one, other):
    a, b = Recipe(one), Recipe(other)
    assert history.version_id("x", a) == history.version_id("x", one)
    assert history.changes(a, b) == history.changes(one, other)
    assert history.composed([a, b]) == history.composed([one, other])
    assert history.beyond(a, b) == history.beyond(one, other)
    assert history.difference(a, b) == history.difference(one, other)
    for id_ in IDS:
        assert history.without(a, id_) == history.without(one, id_)


@given(lists_of_ids, st.data())
def test_lists_that_grow_from_one_another_never_change_each_other(ids, data):
    grown: list[tuple[Recipe, tuple[str, ...]]] = [(Recipe(), ())]
    for id_ in ids:
        recipe, truth = data.draw(st.sampled_from(grown))
        grown.append((recipe.appended((id_,)), (*truth, id_)))
    for recipe, truth in data.draw(st.permutations(grown)):
        assert recipe == truth
        assert recipe.version_id(FINGERPRINT) == history.version_id(FINGERPRINT, truth)


@pytest.mark.parametrize("bad", ["", "ab", "A" * 64, "g" * 64, "é" * 64, " " + "0" * 63, None, 7])
def test_what_is_no_id_stands_in_no_list(bad):
    with pytest.raises(BadId):
        Recipe([IDS[0], bad])
    assert bad not in Recipe(IDS)


def test_an_id_is_found_only_where_it_begins():
    shifted = (IDS[0] + IDS[1])[2:66]  # the bytes of no id that was put there
    assert shifted not in Recipe(IDS) and Recipe(IDS).places((shifted,)) == {}
    many = Recipe(IDS).places((*IDS, shifted))
    assert many == {id_: place for place, id_ in enumerate(IDS)}


# --- spans ---------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.lists(lists_of_ids, min_size=1, max_size=6))
def test_effects_joined_do_what_they_do_one_by_one(line):
    effects, before = [], ()
    for after in line:
        effects.append(effect_of(history.changes(before, after)))
        before = after
    for first in range(len(effects)):
        start = Recipe(line[first - 1] if first else ())
        together = joined(reversed(effects[first:]))
        assert together.applied(start) == line[-1]


def grow(moves: list[tuple[str, bool]]) -> tuple[Recipe, list[list[Hop]]]:
    """Follow changes, one a version, storing spans as a ledger does; the list, each way back."""
    recipe, way, ways = Recipe(), None, []
    for number, step in enumerate(moves):
        own = effect_of([step])
        recipe = own.applied(recipe)
        here = Way.on(Hop(str(number), 0, own), way)
        span = new_span(own, [] if way is None else way.until(None) or [], len(recipe))
        if span is not None:
            back = here.until(span.ancestor)
            assert back is not None and joined(hop.effect for hop in back) == span.effect
            here = Way.on(Hop(str(number), span.level, span.effect), here.beyond(span.ancestor))
        way = here
        ways.append(here.until(None) or [])
        assert recipe.holds(lists.list_of(ways[-1]))
    return recipe, ways


def ids_of(count: int) -> list[str]:
    return [hashlib.sha256(f"edit {number}".encode()).hexdigest() for number in range(count)]


def test_the_way_back_is_short_however_long_the_line():
    recipe, ways = grow([(id_, True) for id_ in ids_of(1500)])
    assert len(recipe) == 1500
    assert max(map(len, ways)) <= 3 * FANOUT
    levels = {hop.level for way in ways for hop in way}
    assert levels == {0, 1, 2}


def test_what_is_read_is_bounded_by_the_list_whatever_was_dropped():
    ids = ids_of(600)
    moves = [(id_, True) for id_ in ids] + [(id_, False) for id_ in reversed(ids)]
    moves += [(id_, True) for id_ in ids[:10]]
    recipe, ways = grow(moves)
    assert recipe == tuple(ids[:10])
    for length, way in zip([*range(1, 601), *range(599, -1, -1), *range(1, 11)], ways, strict=True):
        assert sum(hop.effect.size for hop in way) <= 2 * length + 8 * FANOUT + 3 * FANOUT
    assert any(hop.level == WHOLE for way in ways for hop in way)


def test_a_version_with_many_changes_has_a_span_at_once():
    many = Effect(appended=Recipe(ids_of(500)).to_bytes())
    assert new_span(many, [], 500) == Span(1, None, many)
    assert new_span(Effect(appended=Recipe(IDS).to_bytes()), [], 12) is None


# --- in a ledger ---------------------------------------------------------------------------------


def go(ledger: Ledger, plan: Advance, edit: NewEdit | None = None) -> None:
    """Carry out a plan without the weights: what they would be is made of the version's id."""
    ledger.advance(plan, {"tensor": plan.version} if plan.recipe else {}, edit=edit)


def put(ledger: Ledger, delta: Delta, subject: str) -> None:
    go(ledger, ledger.plan_edit(delta, "update", "a change"), about(delta, subject=subject))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("line")
    with new_ledger(folder) as ledger:
        for number in range(100):
            put(ledger, delta_of((number % 2, number % 6), value=number + 1.0), f"S{number}")
    return folder


@pytest.fixture
def line(template, tmp_path) -> Path:
    """A workspace folder whose ledger has a line of 100 edits."""
    return shutil.copytree(template, tmp_path, dirs_exist_ok=True)


def span_rows(folder) -> list[tuple[str, str | None, int, int, int]]:
    with closing(sqlite3.connect(folder / ".kn-edit" / "ledger.db")) as plain:
        query = "SELECT version_id, ancestor_id, level, length(dropped), length(appended)"
        return plain.execute(f"{query} FROM version_spans ORDER BY rowid").fetchall()


def test_a_line_has_a_span_every_so_many_edits(line):
    rows = span_rows(line)
    assert [row[2:] for row in rows] == [(1, 0, FANOUT * 32)] * (100 // FANOUT)
    assert [row[1] for row in rows] == [None, *(row[0] for row in rows[:-1])]
    with open_ledger(line) as ledger:
        with ledger._database.reading() as connection:
            hops = lists.way_back(connection, ledger.head().id)
        assert len(hops) == 100 // FANOUT + 100 % FANOUT
        assert len(ledger.head().edits) == 100 and ledger.check() == []


DAMAGES = (
    "UPDATE version_spans SET appended = substr(appended, 33)",
    "UPDATE version_spans SET appended = CAST(hex(appended) AS TEXT)",
    "UPDATE version_spans SET appended = appended || x'00'",
    "UPDATE version_spans SET dropped = (SELECT substr(appended, 1, 32) FROM version_spans "
    "WHERE rowid = 1) WHERE rowid = 2",
    "UPDATE version_spans SET level = 'high'",
    "UPDATE version_spans SET ancestor_id = version_id",
    "UPDATE version_spans SET ancestor_id = NULL WHERE rowid = 2",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_span_is_told_and_leads_to_no_other_list(line, damage):
    lists.forget()
    with closing(sqlite3.connect(line / ".kn-edit" / "ledger.db")) as plain, plain:
        plain.execute(f"{damage}")
    with open_ledger(line) as ledger:
        assert any(problem.part == "version" for problem in ledger.check())
        with pytest.raises(LedgerDamaged):
            ledger.head()
        with pytest.raises(LedgerDamaged):
            put(ledger, delta_of((0, 0), value=0.5), "S")


def test_without_spans_the_changes_tell_the_same(line):
    with open_ledger(line) as ledger:
        edits = ledger.head().edits
        with closing(sqlite3.connect(line / ".kn-edit" / "ledger.db")) as plain, plain:
            plain.execute("DELETE FROM version_spans")
        assert ledger.head().edits == edits
        assert ledger.check() == []
    assert len(edits) < MOST_HOPS


def test_an_upgrade_stores_the_spans_that_recording_would_have(tmp_path):
    old_ledger(tmp_path / "old", "0003_line")
    open_ledger(tmp_path / "old").close()
    ids = [delta.id for delta in LINE]
    with new_ledger(tmp_path / "new") as ledger:  # the moves that the old ledger went through
        for number, delta in enumerate(LINE[:84]):
            put(ledger, delta, f"S{number}")
            if number % 10 == 9:
                go(ledger, ledger.plan_revert(ids[number - 5], allow_overlap=True))
            if number == 40:
                ledger.tag("forty")
        ledger.tag("line")
        go(ledger, ledger.plan_revert(ids[0], allow_overlap=True))
        go(ledger, ledger.plan_rewind("base"))
        for number, delta in enumerate(LINE[84:], 84):
            put(ledger, delta, f"S{number}")
        go(ledger, ledger.plan_compose(["line"], allow_overlap=True))
        go(ledger, ledger.plan_compose(["forty", "head"], allow_overlap=True))
        for id_ in ids[60:76]:
            if id_ in ledger.head().edits:
                go(ledger, ledger.plan_revert(id_, allow_overlap=True))
        assert ledger.check() == []
    assert sorted(span_rows(tmp_path / "new")) == sorted(span_rows(tmp_path / "old"))
    assert len(span_rows(tmp_path / "new")) > 3
