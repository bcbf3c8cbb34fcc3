"""Where versions stand in the tree of their parents, and what is told by it without lists."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import FINGERPRINT, about, delta_of, new_ledger, open_ledger
from mutations import lax
from old_ledgers import SCHEMAS, old_ledger
from sqlalchemy.event import listen

from kn_edit.edits.delta import Delta
from kn_edit.errors import LedgerDamaged
from kn_edit.ledger import (
    Advance,
    EditRecord,
    Ledger,
    NewEdit,
    ancestry,
    history,
    lists,
    membership,
)
from kn_edit.ledger.writes import Writes
from kn_edit.neuron import NeuronId

POOL = {
    delta.id: delta
    for delta in (delta_of((n % 2, n // 2 % 6), value=n // 12 + 1.0) for n in range(36))
}


def go(ledger: Ledger, plan: Advance, edit: NewEdit | None = None) -> None:
    """Carry out a plan without the weights: what they would be is made of the version's id."""
    ledger.advance(plan, {"tensor": plan.version} if plan.recipe else {}, edit=edit)


def put(ledger: Ledger, delta: Delta) -> None:
    go(ledger, ledger.plan_edit(delta, "update", "a change"), about(delta))


def random_history(ledger: Ledger, moves: int, seed: int) -> None:
    """Updates, reverts, rewinds, compositions and branches, drawn by chance."""
    draw = random.Random(seed)
    versions, branches = [ledger.head().id], ["main"]
    for number in range(moves):
        edits = ledger.head().edits
        kind = draw.choice(("put", "put", "put", "put", "revert", "rewind", "compose", "branch"))
        fresh = [delta for id_, delta in POOL.items() if id_ not in edits]
        if kind == "put" and fresh:
            put(ledger, draw.choice(fresh))
        elif kind == "revert" and edits:
            go(ledger, ledger.plan_revert(draw.choice(edits), allow_overlap=True))
        elif kind == "branch":
            name = f"b{number}"
            ledger.make_branch(name, draw.choice(versions))
            branches.append(name)
            ledger.switch(draw.choice(branches))
        elif kind in ("rewind", "compose"):
            name = draw.choice(versions)
            if kind == "rewind" and name != ledger.head().id:
                go(ledger, ledger.plan_rewind(name))
            elif kind == "compose" and not {*ledger.version(name).edits} <= {*edits}:
                go(ledger, ledger.plan_compose([name], allow_overlap=True))
        versions.append(ledger.head().id)


@pytest.fixture(scope="module")
def wild(tmp_path_factory) -> Path:
    """A workspace folder whose ledger has a random history with branches."""
    folder = tmp_path_factory.mktemp("wild")
    with new_ledger(folder) as ledger:
        random_history(ledger, 160, seed=11)
        assert ledger.check() == []
    return folder


def parents_in(folder: Path) -> dict[str, str | None]:
    return dict(rows(folder, "SELECT id, parent_id FROM versions"))


def rows(folder: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / ".kn-edit" / "ledger.db")) as plain:
        return plain.execute(query).fetchall()


def line_of(version: str, parents: dict[str, str | None]) -> list[str]:
    """A version and those above it, parent by parent."""
    line = [version]
    while (parent := parents[line[-1]]) is not None:
        line.append(parent)
    return line


# --- depths and jumps ----------------------------------------------------------------------------


def test_jumps_lead_far_up_and_a_way_to_any_depth_is_short():
    assert [ancestry.jump_depth(depth) for depth in range(1, 16)] == [
        0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0,
    ]  # fmt: skip
    jumps = {depth: ancestry.jump_depth(depth) for depth in range(1, 100_001)}
    for depth in (100_000, 99_999, 65_535, 131_071 // 2):
        for target in range(0, depth, 97):
            here, steps = depth, 0
            while here > target:
                here = jumps[here] if jumps[here] >= target else here - 1
                steps += 1
            assert here == target and steps <= 3 * depth.bit_length()


def test_every_version_has_the_depth_and_the_jump_that_its_parents_make(wild):
    parents = parents_in(wild)
    stored = rows(wild, "SELECT id, depth, jump_id FROM versions")
    assert len(stored) > 80 and max(depth for _, depth, _ in stored) > 15
    for version, depth, jump in stored:
        line = line_of(version, parents)
        assert depth == len(line) - 1
        assert jump == (line[::-1][ancestry.jump_depth(depth)] if depth else None)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_upgrade_gives_every_version_its_place(schema, tmp_path):
    old_ledger(tmp_path, schema)
    with open_ledger(tmp_path) as ledger:
        put(ledger, delta_of((0, 5), value=50.0))
        assert ledger.check() == []
    assert rows(tmp_path, "SELECT count(*) FROM versions WHERE depth IS NULL") == [(0,)]


# --- what is told without lists ------------------------------------------------------------------


@pytest.fixture
def reading(wild):
    """The random history, and a connection to it."""
    with open_ledger(wild) as ledger, ledger._database.reading() as connection:
        yield ledger, connection


def test_versions_above_are_found_at_any_depth(wild, reading):
    _, connection = reading
    parents = parents_in(wild)
    for version in parents:
        line = line_of(version, parents)[::-1]
        for depths in (range(len(line)), [0], [len(line) - 1], range(0, len(line), 3)):
            found = ancestry.at_depths(connection, version, depths)
            assert found == {depth: line[depth] for depth in depths}


def test_two_versions_meet_at_the_deepest_one_above_both(wild, reading):
    _, connection = reading
    parents = parents_in(wild)
    draw = random.Random(3)
    depths = set()
    for _ in range(400):
        a, b = draw.choice([*parents]), draw.choice([*parents])
        above_a = line_of(a, parents)
        meeting = next((each for each in line_of(b, parents) if each in above_a), None)
        assert ancestry.meeting(connection, a, b) == meeting
        depths.add(meeting and parents_depth(meeting, parents))
    assert len(depths) > 8 and None in depths


def parents_depth(version: str, parents: dict[str, str | None]) -> int:
    return len(line_of(version, parents)) - 1


@pytest.mark.parametrize("most", [10**6, 20, 1])
def test_members_are_those_edits_of_a_list_in_its_order(wild, reading, most, monkeypatch):
    monkeypatch.setattr(membership, "_MOST_CHANGES", most)
    ledger, connection = reading
    draw = random.Random(5)
    for version in parents_in(wild):
        edits = ledger.version(version).edits
        for count in (1, 3, 12, len(POOL)):
            wanted = draw.sample([*POOL], count)
            found = membership.members(connection, FINGERPRINT, version, wanted)
            assert found == tuple(edit for edit in edits if edit in wanted)


def brute_overlaps(edit: EditRecord, recipes: dict[str, tuple], recorded: dict[str, str]) -> tuple:
    """The edits before this one in the version it came with that write one of its slots."""
    edits = recipes[recorded[edit.id]]
    slots = POOL[edit.id].modes().keys()
    before = edits[: edits.index(edit.id)]
    return tuple(other for other in before if POOL[other].modes().keys() & slots)


def test_show_and_blame_tell_what_whole_lists_would(wild, reading):
    ledger, _ = reading
    recipes = {version: tuple(ledger.version(version).edits) for version in parents_in(wild)}
    query = "SELECT d.id, v.version_id FROM edits d JOIN events v ON v.seq = d.seq"
    recorded = dict(rows(wild, query))
    shown = [ledger.edit(id_) for id_ in recorded]
    assert any(edit.overlaps for edit in shown)
    for edit in shown:
        assert edit.overlaps == brute_overlaps(edit, recipes, recorded)
    assert {edit.id: edit for edit in ledger.edits()} == {edit.id: edit for edit in shown}
    head = recipes[ledger.head().id]
    for layer, index in itertools.product(range(2), range(6)):
        told = ledger.blame(NeuronId(layer, index))
        writers = [edit for edit in shown if NeuronId(layer, index) in edit.neurons]
        assert {entry.edit.id: entry.in_head for entry in told} == {
            edit.id: edit.id in head for edit in writers
        }


@pytest.mark.parametrize("most", [1000, 3])
def test_a_diff_tells_what_whole_lists_would(wild, reading, most, monkeypatch):
    monkeypatch.setattr(membership, "_MOST_CHANGES", most)
    ledger, _ = reading
    versions = [*parents_in(wild)]
    recipes = {version: tuple(ledger.version(version).edits) for version in versions}
    draw = random.Random(7)
    for _ in range(150):
        a, b = draw.choice(versions), draw.choice(versions)
        told = ledger.diff(a, b)
        assert told.only_a == tuple(edit for edit in recipes[a] if edit not in recipes[b])
        assert told.only_b == tuple(edit for edit in recipes[b] if edit not in recipes[a])
        writes_of = lambda edit: Writes.of(POOL[edit])  # noqa: E731
        assert told.slots == history.differing_slots(recipes[a], recipes[b], writes_of)


def test_a_move_meets_the_edits_that_whole_lists_would_tell(wild, tmp_path):
    shutil.copytree(wild, tmp_path, dirs_exist_ok=True)
    with open_ledger(tmp_path) as ledger:
        recipes = {version: tuple(ledger.version(version).edits) for version in parents_in(wild)}
        head, writes_of = recipes[ledger.head().id], lambda edit: Writes.of(POOL[edit])
        draw = random.Random(9)
        for edit in head:
            plan = ledger.plan_revert(edit, allow_overlap=True)
            assert plan.overlaps == history.overlaps_after(head, edit, writes_of)
            assert plan.recipe == history.without(head, edit)
        for id_ in POOL.keys() - {*head}:
            plan = ledger.plan_edit(POOL[id_], "update")
            assert plan.overlaps == history.overlaps_before(head, id_, writes_of)
        for version in draw.sample([*recipes], 30):
            result = history.composed([head, recipes[version]])
            if result != head:
                plan = ledger.plan_compose([version], allow_overlap=True)
                meetings = history.overlaps_between([head, recipes[version]], writes_of)
                assert {*plan.overlaps} == {*meetings}
                assert plan.recipe == result and plan.version == history.version_id(
                    FINGERPRINT, result
                )


def test_what_is_told_of_single_edits_reads_no_list(tmp_path):
    with new_ledger(tmp_path) as ledger:
        for delta in POOL.values():
            put(ledger, delta)
        last = ledger.head().edits[-1]
        lists.forget()
        statements: list[str] = []
        listen(
            ledger._database.dialect.engine,
            "connect",
            lambda plain, _: plain.set_trace_callback(statements.append),
        )
        assert ledger.edit(last).overlaps and ledger.blame(NeuronId(1, 5))
        steps = ledger.log(20)
        assert ledger.diff(steps[3].version, "head").only_b == tuple(
            step.edit for step in steps[2::-1]
        )
        way_back = "way (id, next, depth)"  # in the query that reads a list
        assert statements and not [each for each in statements if way_back in each]
    assert [len(step.edits) for step in steps] == [*range(len(POOL), len(POOL) - 20, -1)]
    assert any(way_back in each for each in statements)


DAMAGES = (
    "UPDATE versions SET depth = depth + 1 WHERE depth = 20",
    "UPDATE versions SET depth = NULL",
    "UPDATE versions SET depth = 'deep'",
    "UPDATE versions SET depth = -1",
    "UPDATE versions SET depth = 9223372036854775807",
    "UPDATE versions SET jump_id = id",
    "UPDATE versions SET jump_id = NULL",
    "UPDATE versions SET jump_id = parent_id WHERE depth = 3",
    "UPDATE versions SET jump_id = (SELECT version_id FROM refs WHERE name = 'main')",
    "UPDATE versions SET jump_id = 'nowhere'",
    "UPDATE versions SET jump_id = x'00ff'",
)


@pytest.fixture(scope="module")
def short_line(tmp_path_factory) -> Path:
    """A workspace folder whose ledger has a line of 22 edits."""
    folder = tmp_path_factory.mktemp("line")
    with new_ledger(folder) as ledger:
        for delta in list(POOL.values())[:22]:
            put(ledger, delta)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_place_is_reported(damage, short_line, tmp_path):
    shutil.copytree(short_line, tmp_path, dirs_exist_ok=True)
    path = tmp_path / ".kn-edit" / "ledger.db"
    with closing(sqlite3.connect(path)) as plain, plain:
        plain.execute(damage)
    with open_ledger(tmp_path) as ledger:
        messages = {problem.message for problem in ledger.check() if problem.part == "version"}
        assert messages == {"its depth or its jump is not what its parents make it"}
        with contextlib.suppress(LedgerDamaged):  # it may tell the right thing, and has to end
            versions = [id_ for (id_,) in rows(tmp_path, "SELECT id FROM versions")]
            edits = ledger.head().edits
            for id_ in versions:
                ledger.members(edits[:3], id_)
                ledger.diff(id_, "head")


def test_a_version_without_an_id_is_reported(tmp_path):
    with new_ledger(tmp_path) as ledger:
        put(ledger, delta_of((0, 1)))
    with lax(tmp_path / ".kn-edit" / "ledger.db") as plain:
        plain.execute("UPDATE versions SET id = NULL WHERE parent_id IS NULL")
    with open_ledger(tmp_path) as ledger:
        assert ledger.check() != []
        with pytest.raises(LedgerDamaged):
            put(ledger, delta_of((0, 2)))


# --- what is looked at ---------------------------------------------------------------------------

SMALL = {
    "refs",
    "base_models",
    "base_places",
    "workspaces",
    "alembic_version",
    "sqlite_master",
}
STEPS = {"way", "wanted", "w", "line"}  # parts of queries, of few rows


def scanned(folder: Path, statements: list[str]) -> set[tuple[str, str]]:
    """Tables of which a statement looks at every row, by the name they have there; statements.

    Every row of the one workspace, that is: looking for the workspace alone finds them all.
    """
    tables = set()
    with closing(sqlite3.connect(folder / ".kn-edit" / "ledger.db")) as plain:
        for statement in statements:
            if not re.match(r"\s*(SELECT|WITH)\b", statement) or " LIMIT " in statement:
                continue
            for *_, detail in plain.execute(f"EXPLAIN QUERY PLAN {statement}"):
                words = detail.split()
                every = words[0] == "SCAN" or words[-1] == "(workspace_id=?)"
                if every and "CONSTANT" not in words:
                    tables.add((words[1], statement))
    return {
        (name, statement)
        for name, statement in tables
        if name not in SMALL | STEPS and " base_models t " not in statement
    }


def test_no_verb_of_one_edit_or_version_looks_at_every_row_of_a_table(tmp_path):
    several = [delta_of((0, n), (1, n), value=100.0 + n) for n in range(4)]
    statements: list[str] = []
    with new_ledger(tmp_path) as ledger:
        for delta in several[:2]:
            put(ledger, delta)
        ledger.tag("side")
        go(ledger, ledger.plan_rewind("base"))
        for delta in [*POOL.values()][:12]:
            put(ledger, delta)
        listen(
            ledger._database.dialect.engine,
            "connect",
            lambda plain, _: plain.set_trace_callback(statements.append),
        )
        put(ledger, several[2])
        ledger.tag("v1")
        assert len(ledger.log(5)) == 5
        assert ledger.edit(several[2].id).overlaps and ledger.blame(NeuronId(0, 0))
        assert ledger.diff("side", "head").only_a
        go(ledger, ledger.plan_compose(["side"], allow_overlap=True))
        go(ledger, ledger.plan_revert(several[2].id, allow_overlap=True))
    assert len(statements) > 100
    assert scanned(tmp_path, statements) == set()
    every = [
        "SELECT edit_id FROM edit_slots WHERE workspace_id = 1 "
        "AND (layer, neuron) IN (VALUES (1, 2), (0, 1))"
    ]
    assert scanned(tmp_path, every) == {("edit_slots", every[0])}
