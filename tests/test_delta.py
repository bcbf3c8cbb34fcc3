"""The delta algebra and its file."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.edits import delta_file
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta, tensor_layer
from kn_edit.errors import (
    DeltaDigestDiffers,
    DeltaMisfit,
    DifferentBase,
    ExitCode,
    InvalidDelta,
    KnEditError,
    NewerDeltaFormat,
)
from kn_edit.neuron import NeuronId

BASE = BaseRef("org/model", "abc", "f" * 64)
D_MODEL, D_FF = 3, 6
NAMES = ("model.layers.0.mlp.down_proj.weight", "model.layers.10.mlp.down_proj.weight")

whole_numbers = st.integers(-(2**10), 2**10).map(float)  # their float32 sums are exact
any_float32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def changes(slots: dict[int, tuple[int, list[float]]], axis: str = "column") -> SlotChanges:
    index = sorted(slots)
    return SlotChanges(
        axis,
        torch.tensor(index, dtype=torch.int64),
        torch.tensor([slots[i][0] for i in index], dtype=torch.uint8),
        torch.tensor([slots[i][1] for i in index], dtype=torch.float32),
    )


def slot_maps(numbers):
    slot = st.tuples(st.sampled_from(Mode), st.lists(numbers, min_size=D_MODEL, max_size=D_MODEL))
    return st.dictionaries(st.integers(0, D_FF - 1), slot, min_size=1)


def deltas(numbers=whole_numbers):
    tensors = st.dictionaries(st.sampled_from(NAMES), slot_maps(numbers).map(changes), min_size=1)
    return st.builds(Delta, st.just(BASE), tensors)


def plain(delta: Delta) -> dict[str, list]:
    return {
        name: [(slot.index.tolist()), slot.mode.tolist(), slot.value.tolist()]
        for name, slot in delta.tensors.items()
    }


def one(mode: Mode, value: float, index: int = 2) -> Delta:
    return Delta(BASE, {NAMES[0]: changes({index: (mode, [value] * D_MODEL)})})


# --- composition ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "mode", "value"),
    [
        (Mode.ADD, Mode.ADD, Mode.ADD, 5.0),
        (Mode.ADD, Mode.SET, Mode.SET, 3.0),
        (Mode.SET, Mode.SET, Mode.SET, 3.0),
        (Mode.SET, Mode.ADD, Mode.SET, 5.0),
    ],
)
def test_two_changes_of_a_slot_compose_by_the_table(first, second, mode, value):
    both = one(first, 2.0).then(one(second, 3.0)).tensors[NAMES[0]]
    assert both.mode.tolist() == [mode]
    assert both.value.tolist() == [[value] * D_MODEL]


def test_composition_keeps_slots_that_only_one_side_changes():
    both = one(Mode.SET, 2.0, index=4).then(one(Mode.ADD, -0.0, index=1)).tensors[NAMES[0]]
    assert both.index.tolist() == [1, 4]
    assert both.mode.tolist() == [Mode.ADD, Mode.SET]
    assert np.signbit(both.value).tolist() == [[True] * D_MODEL, [False] * D_MODEL]


@given(deltas(), deltas(), deltas())
def test_composition_is_associative_where_sums_are_exact(a, b, c):
    assert a.then(b).then(c).id == a.then(b.then(c)).id


@given(deltas(any_float32))
def test_the_empty_delta_changes_nothing_on_either_side(delta):
    empty = Delta(BASE, {})
    assert empty.then(delta).id == delta.id == delta.then(empty).id


def test_a_sum_beyond_float32_is_refused():
    with pytest.raises(InvalidDelta, match="finite"):
        one(Mode.ADD, 3e38).then(one(Mode.ADD, 3e38))


def test_deltas_of_other_bases_or_shapes_do_not_compose():
    foreign = Delta(BaseRef(None, None, "0" * 64), one(Mode.ADD, 1.0).tensors)
    with pytest.raises(DifferentBase):
        one(Mode.ADD, 1.0).then(foreign)
    row = Delta(BASE, {NAMES[0]: changes({2: (0, [1.0] * D_MODEL)}, axis="row")})
    with pytest.raises(DeltaMisfit, match="different shapes"):
        one(Mode.ADD, 1.0).then(row)


@given(deltas(), deltas())
def test_overlap_is_symmetric_and_names_the_common_neurons(a, b):
    common = a.overlap(b)
    assert common == b.overlap(a)
    assert set(common) == set(a.neurons()) & set(b.neurons())
    assert list(common) == sorted(common)


def test_neurons_are_sorted_by_layer_number_not_by_name():
    slots = changes({5: (0, [1.0] * D_MODEL)})
    delta = Delta(BASE, {f"h.{layer}.c_proj.weight": slots for layer in (10, 9)})
    assert delta.neurons() == (NeuronId(9, 5), NeuronId(10, 5))


@pytest.mark.parametrize("name", ["head.weight", "a.1.b.2.weight", "a.1234567.weight", ""])
def test_a_tensor_name_must_name_one_layer(name):
    with pytest.raises(InvalidDelta, match="one layer"):
        tensor_layer(name)


def test_a_delta_does_not_change_with_the_tensors_it_was_made_from():
    value = torch.ones(1, D_MODEL)
    slots = SlotChanges("row", torch.tensor([1]), torch.tensor([0], dtype=torch.uint8), value)
    value.zero_()
    assert slots.value.tolist() == [[1.0] * D_MODEL]


# --- the file ------------------------------------------------------------------------------------


@given(deltas(any_float32))
def test_a_file_gives_back_the_delta_and_its_bytes(delta):
    data = delta.to_bytes()
    again = Delta.from_bytes(data, hashlib.sha256(data).hexdigest())
    assert again.to_bytes() == data
    assert again.id == delta.id
    assert again.base == delta.base
    assert plain(again) == plain(delta)


@given(deltas(any_float32))
def test_the_order_of_the_tensors_does_not_matter(delta):
    other = Delta(BASE, dict(reversed(list(delta.tensors.items()))))
    assert other.to_bytes() == delta.to_bytes()


@given(deltas(any_float32))
def test_the_safetensors_package_reads_and_writes_the_same_bytes(delta):
    data = delta.to_bytes()
    tensors = safetensors.torch.load(data)
    for name, slots in delta.tensors.items():
        for part, numbers in slots.parts.items():
            np.testing.assert_array_equal(tensors[f"{name}::{part}"].numpy(), numbers, strict=True)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert safetensors.torch.save(tensors, header["__metadata__"]) == data


def test_the_id_of_a_delta_never_changes():
    """The id names edits in every ledger: a change of layout would orphan them."""
    delta = Delta(
        BaseRef("org/model", None, "f" * 64),
        {NAMES[1]: changes({7: (1, [0.5, -1.0, 2.0]), 9: (0, [0.0, -0.0, 1e-40])}, axis="row")},
    )
    assert delta.id == "703107532325358139ecbb3565638d669ab1ba95f8f4c6ddccf9b109418543c8"


@given(deltas(), st.data())
def test_a_flipped_bit_is_always_detected_when_the_id_is_known(delta, data):
    good = delta.to_bytes()
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    bad = bytearray(good)
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DeltaDigestDiffers) as caught:
        Delta.from_bytes(bytes(bad), delta.id)
    assert caught.value.exit_code == ExitCode.INTEGRITY


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data):
    with pytest.raises(KnEditError):
        Delta.from_bytes(data)


@given(deltas(), st.data())
def test_damaged_files_give_a_delta_or_a_typed_error(delta, data):
    bad = bytearray(delta.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(bad)))
    for damaged in (bytes(bad), bytes(bad[:cut])):
        try:
            read = Delta.from_bytes(damaged)
        except KnEditError:
            continue
        assert read.to_bytes() == damaged


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def with_header(header: object, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@given(st.data())
def test_headers_with_wrong_values_give_a_delta_or_a_typed_error(data):
    good = one(Mode.ADD, 1.0).to_bytes()
    size = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + size])
    description = json.loads(header["__metadata__"]["kn_edit"])
    place = data.draw(st.sampled_from([header, description, *list(header.values())]))
    key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(json_values)
    if place is description:
        header["__metadata__"]["kn_edit"] = json.dumps(description)
    with pytest.raises(KnEditError):  # never the canonical spelling: json.dumps puts spaces
        Delta.from_bytes(with_header(header, good[8 + size :]))


def test_deeply_nested_json_is_refused():
    text = b'{"a":' + b"[" * 200_000
    with pytest.raises(InvalidDelta, match="JSON"):
        Delta.from_bytes(len(text).to_bytes(8, "little") + text)


def test_a_later_format_is_told_apart_from_damage():
    delta = one(Mode.ADD, 1.0)
    slots = delta.tensors[NAMES[0]]
    data = delta_file.encode(
        {"format": "kn-delta/3", "anything": 1},
        {NAMES[0]: {"index": slots.index, "mode": slots.mode, "value": slots.value}},
    )
    with pytest.raises(NewerDeltaFormat) as caught:
        Delta.from_bytes(data)
    assert caught.value.exit_code == ExitCode.NEWER_SCHEMA


INDEX, MODE, VALUE = torch.tensor([1, 4]), torch.tensor([0, 1], dtype=torch.uint8), torch.ones(2, 3)


@pytest.mark.parametrize(
    ("axis", "index", "mode", "value", "reason"),
    [
        ("diagonal", INDEX, MODE, VALUE, "axis"),
        ("row", INDEX.int(), MODE, VALUE, "int64"),
        ("row", INDEX, MODE.long(), VALUE, "uint8"),
        ("row", INDEX, MODE, VALUE.double(), "float32"),
        ("row", INDEX, MODE[:1], VALUE, "shapes"),
        ("row", INDEX, MODE, VALUE[:1], "shapes"),
        ("row", INDEX, MODE, VALUE[0, :2], "shapes"),
        ("row", INDEX[:0], MODE[:0], VALUE[:0], "without any slot"),
        ("row", INDEX, MODE, VALUE[:, :0], "without any slot"),
        ("row", INDEX.flip(0), MODE, VALUE, "sorted"),
        ("row", torch.tensor([1, 1]), MODE, VALUE, "unique"),
        ("row", torch.tensor([-1, 1]), MODE, VALUE, "from 0"),
        ("row", INDEX, MODE + 1, VALUE, "mode"),
        ("row", INDEX, MODE, VALUE * float("nan"), "finite"),
        ("row", INDEX, MODE, VALUE / 0, "finite"),
    ],
)
def test_every_rule_of_the_format_is_checked(axis, index, mode, value, reason):
    with pytest.raises(InvalidDelta, match=reason):
        SlotChanges(axis, index, mode, value)


def test_two_tensors_of_one_layer_are_refused():
    slots = changes({1: (0, [1.0] * D_MODEL)})
    with pytest.raises(InvalidDelta, match="same layer"):
        Delta(BASE, {"h.1.a.weight": slots, "h.1.b.weight": slots})
