"""Edits of whole layers at low rank in a ledger: where they meet others, what is told of them."""

from __future__ import annotations

import itertools
import random
import sqlite3
from contextlib import closing

import pytest
from ledgers import (
    D_FF,
    delta_of,
    digests,
    low_rank_of,
    move,
    new_ledger,
    only_sqlite,
    open_ledger,
    record,
)
from old_ledgers import old_ledger

from kn_edit.edits.changes import Mode
from kn_edit.errors import AlreadyThere, LedgerDamaged, SlotOverlap
from kn_edit.ledger import LayerChange, LayerDifference, Ledger
from kn_edit.ledger.history import (
    composed,
    differing_layers,
    differing_slots,
    overlaps_after,
    overlaps_before,
    overlaps_between,
)
from kn_edit.ledger.writes import Writes, overlap
from kn_edit.neuron import NeuronId

ADD, SET = delta_of((0, 1)), delta_of((0, 1), (1, 2), mode=Mode.SET)
WHOLE, OTHER, BOTH = low_rank_of(0), low_rank_of(0, value=2.0, rank=2), low_rank_of(0, 1, value=3.0)


@pytest.fixture
def ledger(tmp_path, database):
    with new_ledger(tmp_path) as ledger:
        yield ledger


# --- what is recorded and told -------------------------------------------------------------------


def test_an_edit_of_a_layer_comes_back_as_it_was_recorded(ledger, tmp_path):
    version = record(ledger, BOTH)
    assert version.digests == digests([BOTH]) and len(version.digests) == 2
    with open_ledger(tmp_path) as again:
        edit = again.edit(BOTH.id)
        assert again.delta(edit.id).to_bytes() == BOTH.to_bytes()
        assert again.check() == []
    assert edit.neurons == ()
    assert edit.layers == (LayerChange(0, "low-rank", 1), LayerChange(1, "low-rank", 1))


def test_blame_of_any_slot_tells_the_edits_of_its_layer(ledger):
    for delta in (ADD, WHOLE, SET):
        record(ledger, delta)
    blamed = ledger.blame(NeuronId(0, 1))
    assert [(one.edit.id, one.mode) for one in blamed] == [
        (ADD.id, "add"), (WHOLE.id, "low-rank"), (SET.id, "set"),
    ]  # fmt: skip
    assert [one.edit.id for one in ledger.blame(NeuronId(0, 4))] == [WHOLE.id]
    assert [one.edit.id for one in ledger.blame(NeuronId(1, 4))] == []


def test_overlaps_are_told_when_an_edit_is_planned_and_shown_later(ledger):
    record(ledger, ADD)
    first = ledger.plan_edit(WHOLE, "update").overlaps
    assert [(one.other, one.slots, one.layers) for one in first] == [
        (ADD.id, (NeuronId(0, 1),), ())
    ]
    record(ledger, WHOLE)
    second = ledger.plan_edit(OTHER, "update").overlaps
    assert [(one.other, one.slot_names) for one in second] == [
        (ADD.id, ("L0.1",)),
        (WHOLE.id, ("L0 (all)",)),
    ]
    record(ledger, OTHER)
    record(ledger, delta_of((1, 1)))
    assert [edit.overlaps for edit in ledger.edits()] == [(), (ADD.id,), (ADD.id, WHOLE.id), ()]
    assert ledger.edit(OTHER.id).overlaps == (ADD.id, WHOLE.id)


def test_diff_tells_layers_with_their_ranks(ledger):
    first = record(ledger, WHOLE)
    record(ledger, OTHER)
    record(ledger, SET)
    difference = ledger.diff(first.id, "head")
    assert difference.only_b == (OTHER.id, SET.id)
    assert difference.layers == (LayerDifference(0, 1, 3),)
    assert difference.slots == (NeuronId(0, 1), NeuronId(1, 2))
    assert ledger.diff("head", "head").layers == ()
    assert ledger.diff("base", first.id).slots == ()


def test_a_change_of_order_around_a_set_slot_is_a_difference_of_that_slot(ledger):
    record(ledger, WHOLE)
    one = record(ledger, SET)
    move(ledger, ledger.plan_rewind("base"))
    record(ledger, SET)
    other = record(ledger, WHOLE)
    difference = ledger.diff(one.id, other.id)
    assert (difference.only_a, difference.only_b, difference.layers) == ((), (), ())
    assert difference.slots == (NeuronId(0, 1),)  # and not L1.2, where no order counts
    assert one.digests != other.digests


# --- what is refused -----------------------------------------------------------------------------

PAIRS = [
    (WHOLE, OTHER, False),
    (WHOLE, ADD, False),
    (WHOLE, SET, True),
    (BOTH, SET, True),
    (ADD, SET, True),
]


@pytest.mark.parametrize(
    ("one", "other", "refused"), [*PAIRS, *((other, one, each) for one, other, each in PAIRS)]
)
def test_a_revert_asks_where_the_order_counts_and_else_tells(one, other, refused, ledger):
    record(ledger, one)
    record(ledger, other)
    if refused:
        with pytest.raises(SlotOverlap, match=r"L0\.1.*allow_overlap=True"):
            ledger.plan_revert(one.id)
    plan = ledger.plan_revert(one.id, allow_overlap=refused)
    (found,) = plan.overlaps
    assert (found.edit, found.other, found.order_counts) == (one.id, other.id, refused)
    head = move(ledger, plan)
    assert head.edits == (other.id,) and head.overlaps == plan.overlaps
    assert ledger.check() == []


@pytest.mark.parametrize(("one", "other", "refused"), PAIRS)
def test_compose_asks_where_the_order_counts_and_else_tells(one, other, refused, ledger):
    versions = []
    for delta in (one, other):
        versions.append(record(ledger, delta).id)
        move(ledger, ledger.plan_rewind("base"))
    for names in (versions, versions[::-1]):
        if refused:
            with pytest.raises(SlotOverlap):
                ledger.plan_compose(names)
        (found,) = ledger.plan_compose(names, allow_overlap=refused).overlaps
        assert {found.edit, found.other} == {one.id, other.id}
        assert found.order_counts == refused
    plan = ledger.plan_compose(versions, allow_overlap=True)
    assert move(ledger, plan).edits == (one.id, other.id)


def test_edits_of_different_layers_do_not_meet(ledger):
    record(ledger, low_rank_of(1))
    assert ledger.plan_edit(WHOLE, "update").overlaps == ()
    record(ledger, WHOLE)
    assert ledger.plan_revert(WHOLE.id).overlaps == ()


# --- damage, and older ledgers -------------------------------------------------------------------


@only_sqlite
@pytest.mark.parametrize(
    ("statement", "readable"),
    [
        ("UPDATE edit_layers SET rank = 7", False),
        ("UPDATE edit_layers SET kind = 'other'", False),
        ("UPDATE edit_layers SET kind = NULL", None),
        ("UPDATE edit_layers SET layer = 1 WHERE layer = 0", False),
        ("UPDATE edit_layers SET rank = 'x'", False),
        ("DELETE FROM edit_layers", False),
        ("INSERT INTO edit_layers SELECT 1, id, 5, 'low-rank', 1 FROM edits", False),
        ("UPDATE edit_layers SET edit_id = (SELECT id FROM edits WHERE seq = 2)", False),
        ("DROP TABLE edit_layers", False),
        ("DROP INDEX ix_edit_layers_workspace_id_layer", True),
    ],
)
def test_every_damage_of_the_table_is_found(statement, readable, ledger, tmp_path):
    record(ledger, ADD)
    record(ledger, WHOLE)
    ledger.close()
    path = tmp_path / ".kn-edit" / "ledger.db"
    with closing(sqlite3.connect(path)) as plain, plain:
        try:
            plain.execute(statement)
        except sqlite3.IntegrityError:
            assert readable is None
            return
    with open_ledger(tmp_path) as damaged:
        assert damaged.check() != []
        if readable:
            assert damaged.edit(WHOLE.id).layers == (LayerChange(0, "low-rank", 1),)
        else:
            with pytest.raises(LedgerDamaged):
                damaged.edits()


def test_an_older_ledger_takes_an_edit_of_a_layer_once_it_is_upgraded(tmp_path):
    old_ledger(tmp_path, "0004")
    with open_ledger(tmp_path) as ledger:
        before = ledger.edits()
        record(ledger, WHOLE)
        assert [edit.layers for edit in ledger.edits()] == [()] * 6 + [
            (LayerChange(0, "low-rank", 1),)
        ]
        assert ledger.edits()[:6] == before
        assert ledger.examine().problems == () and ledger.examine().notes == ()


# --- any history ---------------------------------------------------------------------------------

POOL = {
    delta.id: delta
    for delta in (
        *(delta_of((layer, index), value=value, mode=mode)
          for layer, index, value, mode in itertools.product((0, 1), (0, 3), (1.0, 2.0), Mode)),
        delta_of((0, 0), (0, 3), (1, 3)), delta_of((0, 3), (1, 0), mode=Mode.SET),
        WHOLE, OTHER, BOTH, low_rank_of(1), low_rank_of(1, value=5.0, rank=3),
    )
}  # fmt: skip


def writes_of(edit: str) -> Writes:
    return Writes.of(POOL[edit])


def cells(edit: str) -> dict[tuple[int, int], str]:
    """Every slot that an edit touches, and how: the definition of what it writes."""
    writes = writes_of(edit)
    whole = {(layer, index): "sum" for layer in writes.layers for index in range(D_FF)}
    return {(slot.layer, slot.index): mode for slot, mode in writes.slots.items()} | whole


def told(found) -> set[tuple[int, int]]:
    """The slots that an overlap names."""
    whole = {(layer, index) for layer in found.layers for index in range(D_FF)}
    return {(slot.layer, slot.index) for slot in found.slots} | whole


def test_where_two_edits_meet_is_what_both_touch():
    for one, other in itertools.product(POOL, repeat=2):
        ours, theirs = cells(one), cells(other)
        common = ours.keys() & theirs.keys()
        found = overlap(one, other, writes_of)
        assert (found is None) == (not common)
        if found is not None:
            assert told(found) == common
            modes = [{ours[cell], theirs[cell]} for cell in common]
            assert found.order_counts == any("set" in each or "sum" not in each for each in modes)
            named = {(one.layer, one.index) for one in POOL[one].overlap(POOL[other])}
            assert named == common


@pytest.mark.parametrize("seed", range(30))
def test_overlaps_of_recipes_agree_with_sets_of_slots(seed):
    draw = random.Random(seed)
    recipes = [tuple(draw.sample(sorted(POOL), draw.randint(1, 8))) for _ in range(3)]
    recipe = recipes[0]
    edit = draw.choice(recipe)
    later = recipe[recipe.index(edit) + 1 :]
    expected = [other for other in later if cells(edit).keys() & cells(other).keys()]
    assert [one.other for one in overlaps_after(recipe, edit, writes_of)] == expected
    before = [other for other in recipe if cells(edit).keys() & cells(other).keys()]
    assert [one.other for one in overlaps_before(recipe, edit, writes_of)] == before
    order = composed(recipes)
    pairs = {
        (one, other)
        for one, other in itertools.combinations(order, 2)
        if cells(one).keys() & cells(other).keys()
        and not any({one, other} <= {*each} for each in recipes)
    }
    found = overlaps_between(recipes, writes_of)
    assert {(each.edit, each.other) for each in found} == pairs and len(found) == len(pairs)


@pytest.mark.parametrize("seed", range(30))
def test_what_differs_covers_every_slot_that_other_edits_make(seed):
    """A slot's value is made by the edits that touch it, since the last one that sets it."""
    draw = random.Random(seed)
    one, other = (tuple(draw.sample(sorted(POOL), draw.randint(0, 6))) for _ in range(2))

    def makers(recipe: tuple[str, ...], cell: tuple[int, int]) -> list[str]:
        edits: list[str] = []
        for edit in recipe:
            mode = cells(edit).get(cell)
            if mode is not None:
                edits = [*([] if mode == "set" else edits), edit]
        return edits

    every = set(itertools.product((0, 1), range(D_FF)))
    differing = {cell for cell in every if makers(one, cell) != makers(other, cell)}
    slots, layers = (find(one, other, writes_of) for find in (differing_slots, differing_layers))
    whole = {layer.layer for layer in layers}
    named = {(slot.layer, slot.index) for slot in slots}
    assert differing <= named | {cell for cell in every if cell[0] in whole}
    assert {cell for cell in named if cell[0] not in whole} <= differing


@pytest.mark.parametrize("seed", range(6))
def test_a_ledger_of_both_kinds_stays_sound_through_any_moves(seed, tmp_path):
    draw = random.Random(seed)
    with new_ledger(tmp_path) as ledger:
        for _ in range(10):
            _any_move(ledger, draw)
            head = ledger.head()
            assert head.digests == digests(ledger.deltas(head.edits))
        for edit in ledger.edits():
            before = _recorded_before(ledger, edit.id)
            common = [one for one in before if cells(one).keys() & cells(edit.id).keys()]
            assert [*edit.overlaps] == common
        assert ledger.check() == []


def _any_move(ledger: Ledger, draw: random.Random) -> None:
    head, kind = ledger.head(), draw.choice(("edit", "edit", "revert", "rewind", "compose"))
    versions = sorted({step.version for step in ledger.log()})
    left = sorted(POOL.keys() - {*head.edits})
    try:
        if kind == "edit" or not head.edits:
            record(ledger, POOL[draw.choice(left)])
        elif kind == "revert":
            plan = ledger.plan_revert(draw.choice(head.edits), allow_overlap=True)
            move(ledger, plan)
        elif kind == "rewind":
            move(ledger, ledger.plan_rewind(draw.choice(versions)))
        else:
            move(ledger, ledger.plan_compose(draw.choices(versions, k=2), allow_overlap=True))
    except AlreadyThere:
        return


def _recorded_before(ledger: Ledger, edit: str) -> list[str]:
    """The edits that stood before one in the version that it was recorded with."""
    step = next(step for step in ledger.log()[::-1] if step.kind == "update" and step.edit == edit)
    return list(step.edits[:-1])
