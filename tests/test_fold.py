"""Folding deltas into weights, bit for bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensor_folds import cast_once, fold_weight, folded_slots

from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.fold import touched
from kn_edit.errors import DeltaMisfit, SlotOverflow

BASE = BaseRef(None, None, "f" * 64)
NAME = "model.layers.3.mlp.down_proj.weight"
D_MODEL, D_FF = 4, 8
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}

whole_numbers = st.integers(-64, 64).map(float)  # their float32 sums are exact


def delta_of(slots: dict[int, tuple[int, list[float]]], axis: str = "row") -> Delta:
    index = sorted(slots)
    changes = SlotChanges(
        axis,
        torch.tensor(index, dtype=torch.int64),
        torch.tensor([slots[i][0] for i in index], dtype=torch.uint8),
        torch.tensor([slots[i][1] for i in index], dtype=torch.float32),
    )
    return Delta(BASE, {NAME: changes})


def deltas(numbers=whole_numbers):
    slot = st.tuples(st.sampled_from(Mode), st.lists(numbers, min_size=D_MODEL, max_size=D_MODEL))
    return st.dictionaries(st.integers(0, D_FF - 1), slot, min_size=1).map(delta_of)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(BITS[tensor.dtype])


def random_bits(dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    """A weight of any bit patterns at all: NaN payloads, infinities, subnormals, -0.0."""
    source = torch.Generator().manual_seed(seed)
    size = (D_FF, D_MODEL * dtype.itemsize)
    noise = torch.randint(0, 256, size, dtype=torch.uint8, generator=source)
    return noise.view(dtype)


def small_weight(dtype: torch.dtype) -> torch.Tensor:
    return torch.arange(D_FF * D_MODEL).reshape(D_FF, D_MODEL).to(dtype) - 16


@pytest.mark.parametrize("dtype", DTYPES)
@given(edits=st.lists(deltas(), max_size=4), seed=st.integers(0, 2**20))
def test_slots_that_no_delta_touches_keep_their_bits(dtype, edits, seed):
    weight = random_bits(dtype, seed)
    weight[0] = -0.0
    rows = {index for edit in edits for _, index in edit.neurons()}
    weight[sorted(rows)] = 1.0
    before = bits(weight.clone())
    folded = fold_weight(weight, NAME, edits)
    untouched = [row for row in range(D_FF) if row not in rows]
    assert bits(folded)[untouched].equal(before[untouched])
    assert bits(weight).equal(before)


@pytest.mark.parametrize("dtype", DTYPES)
@given(edits=st.lists(deltas(), min_size=1, max_size=5))
def test_folding_a_list_equals_folding_its_composition_where_sums_are_exact(dtype, edits):
    weight = small_weight(dtype)
    composed = edits[0]
    for edit in edits[1:]:
        composed = composed.then(edit)
    assert bits(fold_weight(weight, NAME, edits)).equal(bits(fold_weight(weight, NAME, [composed])))


@pytest.mark.parametrize("dtype", DTYPES)
@given(edits=st.lists(deltas(), max_size=4))
def test_both_axes_hold_the_same_slots(dtype, edits):
    weight = small_weight(dtype)
    columns = [
        Delta(BASE, {NAME: SlotChanges("column", slots.index, slots.mode, slots.value)})
        for slots in (edit.tensors[NAME] for edit in edits)
    ]
    by_row = fold_weight(weight, NAME, edits)
    by_column = fold_weight(weight.T.contiguous(), NAME, columns)
    assert bits(by_column.T).equal(bits(by_row))
    assert by_column.is_contiguous()


@given(st.lists(deltas(st.floats(-1e3, 1e3, width=32)), max_size=5))
def test_a_fold_is_one_correctly_rounded_float64_sum(edits):
    weight = small_weight(torch.float16)
    expected = weight.double().numpy()
    for edit in edits:
        slots = edit.tensors[NAME]
        for index, mode, value in zip(slots.index, slots.mode, slots.value, strict=True):
            kept = 0.0 if mode == Mode.SET else expected[index]
            expected[index] = kept + value.astype(np.float64)
    rounded = expected.astype(np.float16)
    np.testing.assert_array_equal(fold_weight(weight, NAME, edits).numpy(), rounded)


def test_order_matters_and_set_wins_over_what_came_before():
    add, to = delta_of({1: (Mode.ADD, [1.0] * 4)}), delta_of({1: (Mode.SET, [7.0] * 4)})
    weight = small_weight(torch.bfloat16)
    assert fold_weight(weight, NAME, [add, to])[1].tolist() == [7.0] * 4
    assert fold_weight(weight, NAME, [to, add])[1].tolist() == [8.0] * 4


def test_slot_rows_alone_fold_like_the_whole_weight():
    weight = small_weight(torch.bfloat16)
    edits = [delta_of({1: (0, [0.3] * 4), 6: (1, [2.0] * 4)}), delta_of({1: (0, [0.7] * 4)})]
    slots = touched(edits)[NAME]
    assert (slots.axis, slots.index.tolist(), slots.d_model) == ("row", [1, 6], D_MODEL)
    rows = folded_slots(weight[slots.index], NAME, slots.index, edits)
    assert rows.equal(fold_weight(weight, NAME, edits)[slots.index])


def test_a_weight_without_changes_is_copied():
    weight = random_bits(torch.float32)
    folded = fold_weight(
        weight, "model.layers.4.mlp.down_proj.weight", [delta_of({0: (1, [0] * 4)})]
    )
    assert bits(folded).equal(bits(weight))
    assert folded.data_ptr() != weight.data_ptr()


@pytest.mark.parametrize(
    ("weight", "reason"),
    [
        (torch.zeros(5, D_MODEL), "no neuron 5"),
        (torch.zeros(D_FF, 5), "have 5 numbers"),
        (torch.zeros(D_MODEL, D_FF), "numbers"),
        (torch.zeros(D_FF, D_MODEL, dtype=torch.int8), "int8"),
        (torch.zeros(D_FF * D_MODEL), "1 dimensions"),
    ],
)
def test_a_delta_for_another_weight_is_refused(weight, reason):
    with pytest.raises(DeltaMisfit, match=reason):
        fold_weight(weight, NAME, [delta_of({5: (0, [1.0] * D_MODEL)})])


def test_deltas_that_disagree_about_the_axis_are_refused():
    slot = {5: (0, [1.0] * D_MODEL)}
    with pytest.raises(DeltaMisfit, match="different shapes"):
        touched([delta_of(slot), delta_of(slot, axis="column")])


def test_a_slot_beyond_the_range_of_the_dtype_is_refused():
    with pytest.raises(SlotOverflow, match=r"slots 5 .* float16"):
        fold_weight(
            torch.zeros(D_FF, D_MODEL, dtype=torch.float16),
            NAME,
            [delta_of({5: (0, [1e6] * D_MODEL)})],
        )


# --- the cast ------------------------------------------------------------------------------------


def hard_floats(mantissa_bits: int):
    """float64 near the midpoint of two narrow neighbours, where rounding twice goes wrong."""
    return st.builds(
        lambda top, nudge, exponent, sign: (
            sign * math.ldexp(2 * top + 1 + math.ldexp(nudge, -(52 - mantissa_bits - 1)), exponent)
        ),
        st.integers(2 ** (mantissa_bits - 1), 2**mantissa_bits - 1),
        st.integers(-3, 3),
        st.integers(-40, 8),
        st.sampled_from([-1, 1]),
    )


any_double = st.floats(allow_nan=False)


@given(st.lists(any_double | hard_floats(11) | st.floats(-7e4, 7e4), min_size=1))
def test_float64_goes_to_float16_as_numpy_rounds_it(numbers):
    with np.errstate(over="ignore", under="ignore"):
        expected = np.array(numbers, dtype=np.float64).astype(np.float16)
    found = cast_once(torch.tensor(numbers, dtype=torch.float64), torch.float16)
    np.testing.assert_array_equal(found.view(torch.int16).numpy(), expected.view(np.int16))


def exact_bfloat16(number: float) -> float:
    """The nearest bfloat16, ties to even, by exact fractions."""
    if number == 0 or math.isinf(number):
        return number
    exponent = max(math.frexp(number)[1] - 8, -133)  # 8 significant bits; subnormals below
    unit = Fraction(2) ** exponent
    rounded = round(Fraction(number) / unit) * unit  # round() of a Fraction: ties to even
    return math.copysign(math.inf if abs(rounded) >= 2**128 else float(rounded), number)


@given(any_double | hard_floats(8) | st.floats(-3.5e38, 3.5e38) | st.floats(-1e-37, 1e-37))
def test_float64_goes_to_bfloat16_as_exact_fractions_round_it(number):
    found = cast_once(torch.tensor([number], dtype=torch.float64), torch.bfloat16).item()
    assert (found, math.copysign(1, found)) == (
        exact_bfloat16(number),
        math.copysign(1, exact_bfloat16(number)),
    )


def test_a_sum_that_torch_would_round_twice_is_rounded_once():
    """Just above the midpoint of 1 and its float16 neighbour; float32 loses the "just"."""
    number = torch.tensor([1 + 2**-11 + 2**-40], dtype=torch.float64)
    assert number.to(torch.float16).item() == 1.0, "torch rounds once now: drop cast_once"
    assert cast_once(number, torch.float16).item() == 1 + 2**-10


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_nan_gets_the_same_bits(dtype):
    nans = torch.full((67,), math.nan, dtype=torch.float64)
    nans[::2] = -nans[::2]
    assert len(bits(cast_once(nans, dtype)).unique()) == 1
