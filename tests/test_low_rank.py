"""Changes of all slots of a weight at low rank: their file, their fold, and who meets whom."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tensor_folds import fold_weight, folded_slots
from tiny_models import D_FF as MODEL_D_FF
from tiny_models import D_MODEL as MODEL_D_MODEL
from tiny_models import tiny

from kn_edit.edits import delta_file, fold
from kn_edit.edits.build import SlotPlace, low_rank_delta
from kn_edit.edits.changes import Change, LowRankChange, Mode, SlotChanges, TouchedSlots
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.fold import touched
from kn_edit.edits.kept import KeptDelta, LoadedDeltas
from kn_edit.edits.live import applied, apply_for_good
from kn_edit.errors import ChangeOutOfRange, DeltaMisfit, InvalidDelta, SlotOverflow
from kn_edit.neuron import NeuronId

BASE = BaseRef(None, None, "f" * 64)
NAME, OTHER = (f"model.layers.{layer}.mlp.down_proj.weight" for layer in (3, 12))
D_FF, D_MODEL = 7, 4
DTYPES = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}


def low_rank(seed: int, rank: int = 1, axis: str = "row", size: float = 1.0) -> LowRankChange:
    rng = torch.Generator().manual_seed(seed)
    u = size * torch.randn(rank, D_FF, generator=rng)
    return LowRankChange(axis, u, torch.randn(rank, D_MODEL, generator=rng))


def slots(index: list[int], modes: list[Mode], seed: int = 0, axis: str = "row") -> SlotChanges:
    value = torch.randn(len(index), D_MODEL, generator=torch.Generator().manual_seed(seed))
    return SlotChanges(axis, torch.tensor(index), torch.tensor(modes, dtype=torch.uint8), value)


def of(change: Change, name: str = NAME) -> Delta:
    return Delta(BASE, {name: change})


# --- the file ------------------------------------------------------------------------------------


def test_the_id_of_a_low_rank_delta_never_changes():
    u, v = torch.tensor([[0.5, -0.0, 1e-40]]), torch.tensor([[2.0, -1.0]])
    single = SlotChanges(
        "row", torch.tensor([1]), torch.tensor([1], dtype=torch.uint8), torch.tensor([[3.0, 4.0]])
    )
    delta = Delta(BASE, {NAME: LowRankChange("column", u, v), OTHER: single})
    assert delta.id == "8b0ed19206dcbdcb3b5dbb26b6a9b33769275107b3071150c82ba31ffabd8a50"


def test_a_delta_of_slots_alone_is_written_in_the_first_format():
    assert b"kn-delta/1" in of(slots([1], [Mode.ADD])).to_bytes()
    assert b"kn-delta/2" in of(low_rank(0)).to_bytes()


@given(st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_a_file_gives_back_the_delta_and_its_bytes(rank, seed, mixed):
    tensors: dict[str, Change] = {NAME: low_rank(seed, rank, "column")}
    if mixed:
        tensors[OTHER] = slots([0, 3], [Mode.ADD, Mode.SET], seed, "column")
    delta = Delta(BASE, tensors)
    again = Delta.from_bytes(delta.to_bytes(), delta.id)
    assert (again.to_bytes(), again.base) == (delta.to_bytes(), delta.base)
    assert again.ranks() == {3: rank} and again.modes() == delta.modes()
    change = again.tensors[NAME]
    assert isinstance(change, LowRankChange)
    assert_array_equal(change.u, tensors[NAME].u)
    assert_array_equal(change.v, tensors[NAME].v)


@given(st.integers(1, 3), st.integers(0, 99))
def test_the_safetensors_package_reads_and_writes_the_same_bytes(rank, seed):
    tensors = {NAME: low_rank(seed, rank), OTHER: slots([0, 3], [Mode.ADD, Mode.SET], seed)}
    data = Delta(BASE, tensors).to_bytes()
    read = safetensors.torch.load(data)
    for name, change in tensors.items():
        for part, own in change.parts.items():
            assert_array_equal(read[f"{name}::{part}"].numpy(), own, strict=True)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert safetensors.torch.save(read, header["__metadata__"]) == data


U, V = torch.ones(2, D_FF), torch.ones(2, D_MODEL)


@pytest.mark.parametrize(
    ("axis", "u", "v", "reason"),
    [
        ("diagonal", U, V, "axis"),
        ("row", U.double(), V, "float32"),
        ("row", U, V.half(), "float32"),
        ("row", U[:1], V, "shapes"),
        ("row", U[0], V[0], "shapes"),
        ("row", U[None], V[None], "shapes"),
        ("row", U[:0], V[:0], "without any direction"),
        ("row", U[:, :0], V, "without any direction"),
        ("row", U, V[:, :0], "without any direction"),
        ("row", U * math.nan, V, "finite"),
        ("row", U, V * math.inf, "finite"),
        ("row", torch.ones(4097, 1), torch.ones(4097, 1), "rank 4,097"),
    ],
)
def test_every_rule_of_the_format_is_checked(axis, u, v, reason):
    with pytest.raises(InvalidDelta, match=reason):
        LowRankChange(axis, u, v)


def test_a_file_with_too_high_a_rank_is_refused_before_its_numbers_are_copied():
    high = np.ones((delta_file.MOST_RANK + 1, 1), dtype=np.float32)
    description = delta_file.description(
        vars(BASE), axes={NAME: "row"}, kinds={NAME: delta_file.LOW_RANK}
    )
    with pytest.raises(InvalidDelta, match="rank of more than 4,096"):
        Delta.from_bytes(delta_file.encode(description, {NAME: {"u": high, "v": high}}))


def test_a_change_does_not_change_with_the_tensors_it_was_made_from():
    u, v = torch.ones(1, D_FF), torch.ones(1, D_MODEL)
    change = LowRankChange("row", u, v)
    u.zero_(), v.zero_()
    assert bool(change.u.all() and change.v.all())


def test_a_low_rank_delta_is_made_from_factors_by_layer():
    place = SlotPlace(BASE, {3: NAME, 12: OTHER}, "column")
    delta = low_rank_delta(place, {12: (torch.ones(D_FF), torch.ones(D_MODEL)), 3: (2 * U, V)})
    assert delta.ranks() == {3: 2, 12: 1} and list(delta.tensors) == [OTHER, NAME]
    assert (delta.neurons(), delta.modes()) == ((), {})
    assert delta.nbytes == 3 * 4 * (D_FF + D_MODEL)
    with pytest.raises(ChangeOutOfRange, match="nothing was recorded"):
        low_rank_delta(place, {3: (U * 1e39, V)})


def test_a_kept_delta_tells_ranks_and_its_numbers_take_room(tmp_path):
    delta = of(low_rank(1, 2))
    kept = KeptDelta.keep(delta, delta.to_bytes(), tmp_path / "file")
    assert (kept.ranks(), kept.modes(), kept.neurons()) == ({3: 2}, {}, ())
    loaded = LoadedDeltas([kept], room=delta.nbytes - 1)
    assert loaded[0] is not loaded[0]
    loaded = LoadedDeltas([kept], room=delta.nbytes)
    assert loaded[0] is loaded[0]


# --- composition and overlap ---------------------------------------------------------------------


def test_low_rank_changes_compose_to_the_directions_of_both_in_order():
    one, other = low_rank(1), low_rank(2, 2)
    both = of(one).then(of(other)).tensors[NAME]
    assert isinstance(both, LowRankChange) and both.rank == 3
    assert_array_equal(both.u, np.concatenate([one.u, other.u]))
    assert_array_equal(both.v, np.concatenate([one.v, other.v]))
    weight = torch.randn(D_FF, D_MODEL)
    folded = fold_weight(weight, NAME, [of(one), of(other)])
    assert folded.equal(fold_weight(weight, NAME, [of(both)]))


def test_slots_and_a_low_rank_change_are_no_single_change():
    pair = (of(low_rank(1)), of(slots([1], [Mode.SET])))
    for one, other in (pair, pair[::-1]):
        with pytest.raises(DeltaMisfit, match=r"cannot be put together.*as a list"):
            one.then(other)
    assert set(of(low_rank(1)).then(of(slots([1], [Mode.ADD]), OTHER)).tensors) == {NAME, OTHER}


def test_changes_of_different_shapes_do_not_compose():
    wide = LowRankChange("row", torch.ones(1, D_FF + 1), torch.ones(1, D_MODEL))
    for other in (low_rank(1, axis="column"), wide):
        with pytest.raises(DeltaMisfit, match="different shapes"):
            of(low_rank(1)).then(of(other))


def test_a_low_rank_change_meets_every_slot_of_its_layer():
    whole, some = of(low_rank(1)), of(slots([1, 5], [Mode.ADD, Mode.SET]))
    assert whole.overlap(some) == some.overlap(whole) == (NeuronId(3, 1), NeuronId(3, 5))
    assert whole.overlap(of(low_rank(2))) == tuple(NeuronId(3, j) for j in range(D_FF))
    assert whole.overlap(of(low_rank(2), OTHER)) == ()


# --- folding -------------------------------------------------------------------------------------


def exactly(value: float, dtype: torch.dtype) -> float:
    """The nearest number of the type, ties to even, without torch."""
    if dtype == torch.bfloat16:
        if value == 0 or not math.isfinite(value):
            return value
        unit = Fraction(2) ** max(math.frexp(value)[1] - 8, -133)
        return math.copysign(float(round(Fraction(value) / unit) * unit), value)
    return float(np.float64(value).astype({2: np.float16, 4: np.float32}[dtype.itemsize]))


def slow_fold(weight: torch.Tensor, changes: Sequence[Change]) -> list[list[float]]:
    """The definition, one number at a time."""
    rows = weight.double().tolist()
    for change in changes:
        if isinstance(change, LowRankChange):
            for u, v in zip(change.u.tolist(), change.v.tolist(), strict=True):
                for j, d in np.ndindex(D_FF, D_MODEL):
                    assert Fraction(u[j]) * Fraction(v[d]) == Fraction(u[j] * v[d])
                    rows[j][d] += u[j] * v[d]
        else:
            assert isinstance(change, SlotChanges)
            for j, mode, value in zip(change.index, change.mode, change.value, strict=True):
                kept = rows[j] if mode == Mode.ADD else [0.0] * D_MODEL
                rows[j] = [k + x for k, x in zip(kept, value.tolist(), strict=True)]
    return [[exactly(x, weight.dtype) for x in row] for row in rows]


def any_changes(draw: random.Random, axis: str = "row") -> list[Change]:
    """A random sequence of both kinds, with numbers of very different sizes."""
    changes: list[Change] = []
    for _ in range(draw.randint(1, 6)):
        seed = draw.randrange(10**6)
        if draw.random() < 0.5:
            size = 2.0 ** draw.randint(-12, 6)
            changes.append(low_rank(seed, draw.randint(1, 3), axis, size))
        else:
            index = sorted(draw.sample(range(D_FF), draw.randint(1, D_FF)))
            modes = [draw.choice((Mode.ADD, Mode.SET)) for _ in index]
            changes.append(slots(index, modes, seed, axis))
    return changes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(12))
def test_the_fold_of_any_list_is_the_definition_number_by_number(dtype, seed, monkeypatch):
    draw = random.Random(seed)
    changes = any_changes(draw)
    weight = torch.randn(D_FF, D_MODEL, generator=torch.Generator().manual_seed(seed)).to(dtype)
    expected = torch.tensor(slow_fold(weight, changes), dtype=torch.float64).to(dtype)
    deltas = [of(change) for change in changes]
    for block in (1, 3 * D_MODEL, 1 << 20):  # however many rows are folded at a time
        monkeypatch.setattr(fold, "BLOCK", block)
        assert (
            fold_weight(weight, NAME, deltas)
            .view(DTYPES[dtype])
            .equal(expected.view(DTYPES[dtype]))
        )


@pytest.mark.parametrize("seed", range(6))
def test_both_axes_hold_the_same_slots_and_rows_can_be_folded_alone(seed):
    changes = [any_changes(random.Random(seed), axis) for axis in ("row", "column")]
    by_row, by_column = ([of(change) for change in each] for each in changes)
    weight = torch.randn(D_FF, D_MODEL).bfloat16()
    folded = fold_weight(weight, NAME, by_row)
    transposed = fold_weight(weight.T.contiguous(), NAME, by_column)
    assert transposed.T.equal(folded) and transposed.is_contiguous()
    rows = torch.tensor([0, 2, 3, 6])
    assert folded_slots(weight[rows], NAME, rows, by_row).equal(folded[rows])


def test_all_slots_are_touched_whatever_else_is():
    deltas = [of(slots([1], [Mode.ADD])), of(low_rank(1)), of(slots([5], [Mode.SET]))]
    for order in (deltas, deltas[::-1]):
        where = touched(order)[NAME]
        assert where.complete and where.index.tolist() == list(range(D_FF))
    assert not touched(deltas[:1])[NAME].complete


@pytest.mark.parametrize(
    ("shape", "reason"),
    [((D_FF + 1, D_MODEL), "8 neurons, the delta changes 7"), ((D_FF - 1, D_MODEL), "no neuron 6"),
     ((D_FF, D_MODEL + 1), "have 5 numbers"), ((D_FF,), "1 dimensions")],
)  # fmt: skip
def test_a_low_rank_change_for_another_weight_is_refused(shape, reason):
    with pytest.raises(DeltaMisfit, match=reason):
        fold_weight(torch.zeros(shape), NAME, [of(low_rank(1))])


def test_a_change_of_very_many_slots_is_refused_without_a_list_of_them(monkeypatch):
    change = LowRankChange("column", torch.zeros(1, 1 << 24), torch.ones(1, 1))
    monkeypatch.delattr(TouchedSlots, "every")
    with pytest.raises(DeltaMisfit, match="no neuron 16777215"):
        change.check_fit(NAME, (1, D_FF), "float32")


def test_deltas_that_disagree_about_the_weight_are_refused():
    wide = LowRankChange("row", torch.ones(1, D_FF + 1), torch.ones(1, D_MODEL))
    beyond = slots([D_FF], [Mode.ADD])
    for others in (wide, beyond, low_rank(1, axis="column")):
        for order in ([low_rank(1), others], [others, low_rank(1)]):
            with pytest.raises(DeltaMisfit, match=r"different (shapes|numbers of slots)"):
                touched([of(change) for change in order])


def test_slots_that_leave_the_range_are_all_named_whatever_the_blocks(monkeypatch):
    monkeypatch.setattr(fold, "BLOCK", D_MODEL)
    u = torch.zeros(1, D_FF)
    u[0, [1, 5]] = 1e6
    change = LowRankChange("row", u, torch.ones(1, D_MODEL))
    with pytest.raises(SlotOverflow, match="slots 1 and 5 of"):
        fold_weight(torch.zeros(D_FF, D_MODEL).half(), NAME, [of(change)])


# --- a live model --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_live_model_gets_the_bits_of_the_fold_and_its_own_back(shape, dtype):
    model = tiny(shape, dtype)
    rng = torch.Generator().manual_seed(5)
    axis, name = model.family.axis, model.slot_tensor(1)
    u, v = torch.randn(2, MODEL_D_FF, generator=rng), torch.randn(2, MODEL_D_MODEL, generator=rng)
    one = torch.tensor([Mode.SET], dtype=torch.uint8)
    put = SlotChanges(axis, torch.tensor([4]), one, torch.ones(1, MODEL_D_MODEL))
    changes = (LowRankChange(axis, u, v), put, LowRankChange(axis, -u, v))
    deltas = [of(change, name) for change in changes]
    model.slots(1)[3] = -0.0
    model.slots(1)[9] = torch.nan
    before = {key: weight.clone() for key, weight in model.net.state_dict().items()}
    folded = fold_weight(before[name], name, deltas)
    bits = DTYPES[dtype]
    with pytest.raises(KeyboardInterrupt), applied(model, deltas):
        inside = {key: weight.clone() for key, weight in model.net.state_dict().items()}
        raise KeyboardInterrupt
    for key, weight in model.net.state_dict().items():
        assert weight.view(bits).equal(before[key].view(bits))
        assert inside[key].view(bits).equal((folded if key == name else weight).view(bits))
    assert not inside[name].equal(before[name])
    assert apply_for_good(model, deltas).net.state_dict()[name].view(bits).equal(folded.view(bits))
