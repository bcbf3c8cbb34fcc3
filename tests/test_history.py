"""History as pure functions, with the fold of the list as the truth."""

from __future__ import annotations

import hashlib
import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledgers import D_FF, D_MODEL, FINGERPRINT, NAMES, delta_of, weights
from tensor_folds import fold_weight

from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import Delta
from kn_edit.ledger.history import (
    beyond,
    composed,
    difference,
    differing_slots,
    overlaps_after,
    overlaps_before,
    overlaps_between,
    version_id,
    without,
)
from kn_edit.ledger.writes import Writes
from kn_edit.neuron import NeuronId

SLOTS = {
    "a": {NeuronId(0, 1)},
    "b": {NeuronId(0, 2), NeuronId(1, 1)},
    "c": {NeuronId(0, 1), NeuronId(1, 1)},
    "d": {NeuronId(1, 5)},
}
WRITES = {edit: Writes(dict.fromkeys(slots, "add")) for edit, slots in SLOTS.items()}
recipes = st.permutations("abcd").flatmap(
    lambda order: st.integers(0, 4).map(lambda size: tuple(order[:size]))
)


def test_a_version_id_is_the_digest_of_base_and_recipe():
    text = json.dumps({"base": FINGERPRINT, "edits": ["a", "b"]}, separators=(",", ":"))
    assert version_id(FINGERPRINT, ("a", "b")) == hashlib.sha256(text.encode()).hexdigest()


@given(recipes, recipes)
def test_version_ids_are_equal_only_for_equal_recipes(one, other):
    assert (version_id("x", one) == version_id("x", other)) == (one == other)
    assert version_id("x", one) != version_id("y", one)


def test_an_edit_leaves_the_recipe_wherever_it_stands():
    assert without(("a", "b", "c"), "b") == ("a", "c")
    assert without(("a", "b", "c"), "d") == ("a", "b", "c")


@given(st.lists(recipes, min_size=1, max_size=3))
def test_a_composition_has_every_edit_once_and_begins_with_the_first_recipe(several):
    result = composed(several)
    assert result[: len(several[0])] == several[0]
    assert sorted(result) == sorted({edit for recipe in several for edit in recipe})


def test_composition_keeps_the_order_of_what_the_others_add():
    assert composed([("a", "b"), ("d", "b", "c")]) == ("a", "b", "d", "c")


def test_a_revert_names_only_later_edits_with_common_slots():
    recipe = ("a", "b", "c", "d")
    (overlap,) = overlaps_after(recipe, "a", WRITES.__getitem__)
    assert (overlap.edit, overlap.other, overlap.slots) == ("a", "c", (NeuronId(0, 1),))
    assert overlaps_after(recipe, "c", WRITES.__getitem__) == ()


def test_a_new_edit_names_the_earlier_ones_that_it_overlaps():
    found = overlaps_before(("a", "b", "d"), "c", WRITES.__getitem__)
    assert [overlap.other for overlap in found] == ["a", "b"]


def test_compose_names_edits_that_meet_for_the_first_time():
    (overlap,) = overlaps_between([("d", "a"), ("d", "c")], WRITES.__getitem__)
    assert (overlap.edit, overlap.other) == ("a", "c")


def test_compose_is_silent_about_edits_that_were_together_before():
    assert overlaps_between([("a", "c"), ("a", "d")], WRITES.__getitem__) == ()
    assert overlaps_between([("a", "c"), ("c",)], WRITES.__getitem__) == ()


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (("a",), ("a",), ()),
        (("a",), (), ("L0.1",)),
        (("a", "c"), ("c", "a"), ("L0.1",)),
        (("a", "s"), ("s",), ()),
        (("s", "a"), ("s",), ("L0.1",)),
    ],
)
def test_slots_differ_where_other_edits_make_them_and_set_hides_what_came_before(
    one, other, differ
):
    writes = WRITES | {"s": Writes({NeuronId(0, 1): "set"})}
    found = differing_slots(one, other, writes.__getitem__)
    assert tuple(map(str, found)) == differ


@given(recipes, recipes)
def test_what_is_neither_moved_nor_in_one_recipe_alone_has_the_same_order_in_both(one, other):
    only_one, only_other, moved = difference(one, other)
    assert (only_one, only_other) == (beyond(one, other), beyond(other, one))
    rest = [tuple(e for e in recipe if e not in moved) for recipe in (one, other)]
    assert [e for e in rest[0] if e not in only_one] == [e for e in rest[1] if e not in only_other]


# --- any history ---------------------------------------------------------------------------------


def stored_bits(recipe: tuple[str, ...], pool: dict[str, Delta]) -> bytes:
    deltas = [pool[edit] for edit in recipe]
    folded = [fold_weight(weights(name), name, deltas) for name in NAMES]
    return b"".join(weight.view(torch.int16).numpy().tobytes() for weight in folded)


def slow_bits(recipe: tuple[str, ...], pool: dict[str, Delta]) -> bytes:
    """The same, one number at a time, from the definition."""
    rows = []
    for name in NAMES:
        values = weights(name).double().tolist()
        for edit in recipe:
            changes = pool[edit].tensors.get(name)
            for at, index in enumerate(changes.index.tolist() if changes else []):
                kept = 0.0 if changes.mode[at] == Mode.SET else 1.0
                for d in range(D_MODEL):
                    values[index][d] = kept * values[index][d] + changes.value[at, d].item()
        rows.append(torch.tensor(values, dtype=torch.float64).to(torch.bfloat16))
    return b"".join(weight.view(torch.int16).numpy().tobytes() for weight in rows)


class Histories(RuleBasedStateMachine):
    """Edits, reverts, rewinds, composes and tags in any order."""

    @initialize()
    def start(self) -> None:
        self.pool: dict[str, Delta] = {}
        self.head: tuple[str, ...] = ()
        self.known: dict[str, tuple[str, ...]] = {version_id(FINGERPRINT, ()): ()}
        self.bits: dict[str, bytes] = {version_id(FINGERPRINT, ()): stored_bits((), {})}
        self.tags: dict[int, str] = {}
        self.numbers = itertools.count(1)

    def go(self, recipe: tuple[str, ...]) -> None:
        self.head = recipe
        id_ = version_id(FINGERPRINT, recipe)
        assert self.known.setdefault(id_, recipe) == recipe
        bits = stored_bits(recipe, self.pool)
        assert self.bits.setdefault(id_, bits) == bits

    @rule(
        slots=st.sets(
            st.tuples(st.integers(0, 1), st.integers(0, D_FF - 1)), min_size=1, max_size=4
        ),
        mode=st.sampled_from(Mode),
    )
    def edit(self, slots, mode) -> None:
        delta = delta_of(*slots, value=float(next(self.numbers)), mode=mode)
        self.pool[delta.id] = delta
        self.go((*self.head, delta.id))

    @precondition(lambda self: self.head)
    @rule(data=st.data())
    def revert(self, data) -> None:
        edit = data.draw(st.sampled_from(self.head))
        overlaps = overlaps_after(self.head, edit, lambda e: Writes.of(self.pool[e]))
        before = self.head
        self.go(without(self.head, edit))
        touched = set(self.pool[edit].neurons())
        changed = differing_slots(before, self.head, lambda e: Writes.of(self.pool[e]))
        assert set(changed) <= touched
        if not overlaps:
            assert set(changed) == touched

    @rule(data=st.data())
    def rewind(self, data) -> None:
        self.go(self.known[data.draw(st.sampled_from(sorted(self.known)))])

    @rule(data=st.data())
    def compose(self, data) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.known)), min_size=2, max_size=3))
        parts = [self.known[name] for name in names]
        slots = {edit: set(self.pool[edit].neurons()) for part in parts for edit in part}
        self.go(composed(parts))
        if all(not slots[a] & slots[b] for a, b in itertools.combinations(slots, 2)):
            other_order = composed(parts[::-1])
            assert stored_bits(other_order, self.pool) == stored_bits(self.head, self.pool)

    @rule(name=st.integers(0, 2))
    def tag(self, name) -> None:
        self.tags[name] = version_id(FINGERPRINT, self.head)

    @invariant()
    def the_fold_of_the_list_is_the_truth(self) -> None:
        assert stored_bits(self.head, self.pool) == slow_bits(self.head, self.pool)
        assert len(set(self.head)) == len(self.head)

    @invariant()
    def tags_still_give_their_bits(self) -> None:
        for version in self.tags.values():
            assert stored_bits(self.known[version], self.pool) == self.bits[version]

    def teardown(self) -> None:
        """Reverting everything, in some order, gives the base back bit for bit."""
        recipe = self.head
        for edit in sorted(recipe):
            recipe = without(recipe, edit)
        assert stored_bits(recipe, self.pool) == stored_bits((), {})


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def test_a_composition_of_deltas_is_not_what_a_version_stores():
    """Folding rounds once, at the end; composing deltas rounds their sum to float32 as well."""
    tiny = delta_of((0, 0), value=2.0**-30)
    one = delta_of((0, 0), value=1.0)
    assert tiny.then(one).tensors[NAMES[0]].value[0, 0] == 1.0
    slots = tiny.tensors[NAMES[0]]
    assert isinstance(slots, SlotChanges)
    base = torch.full((D_FF, D_MODEL), -1.0)
    assert fold_weight(base, NAMES[0], [tiny, one])[0, 0] == 2.0**-30
    assert fold_weight(base, NAMES[0], [tiny.then(one)])[0, 0] == 0.0
