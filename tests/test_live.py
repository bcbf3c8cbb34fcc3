"""Deltas in a live model: the logits of the folded weights inside, the exact bits outside."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from tensor_folds import fold_weight
from tiny_models import D_FF, D_MODEL, LAYERS, SHAPES, tiny
from torch import Tensor

from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.live import applied, apply_for_good
from kn_edit.errors import DeltaMisfit, SlotOverflow
from kn_edit.models.model import Model

BASE = BaseRef(None, None, "f" * 64)
BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
DTYPES = tuple(BITS)
IDS = torch.tensor([[7, 8, 9, 18, 10, 12, 11]])

every_shape = pytest.mark.parametrize("shape", SHAPES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def delta(model: Model, seed: int = 0, *, layers: Sequence[int] = (0, 1), size: float = 1) -> Delta:
    """Adds to three slots of each layer and sets a fourth; some slots are common to all seeds."""
    source = torch.Generator().manual_seed(seed)
    tensors = {
        model.slot_tensor(layer): SlotChanges(
            model.family.axis,
            torch.tensor([3, 5, 20 + seed, D_FF - 1]),
            torch.tensor([Mode.ADD, Mode.ADD, Mode.ADD, Mode.SET], dtype=torch.uint8),
            size * torch.randn(4, D_MODEL, generator=source),
        )
        for layer in layers
    }
    return Delta(BASE, tensors)


def logits(model: Model) -> Tensor:
    with torch.no_grad():
        return model.net(input_ids=IDS).logits


def bits(model: Model) -> dict[str, Tensor]:
    return {
        name: weight.detach().clone().view(BITS.get(weight.dtype, weight.dtype))
        for name, weight in model.net.state_dict().items()
    }


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not ours[name].equal(theirs[name])] == []


def with_odd_slots(model: Model) -> Model:
    """Slots that arithmetic would not leave alone: -0.0, subnormals, infinities, NaN payloads."""
    dtype = model.dtype
    patterns = torch.arange(D_MODEL).to(BITS[dtype])
    payloads = {
        torch.float32: 0x7F800001 + patterns,
        torch.float16: 0x7C01 + patterns,
        torch.bfloat16: 0x7F81 + patterns,
    }
    for layer in range(LAYERS):
        slots = model.slots(layer)
        slots[3] = -0.0
        slots[5] = payloads[dtype].view(dtype)
        slots[20] = patterns.view(dtype)
        slots[D_FF - 1] = torch.inf
    return model


@every_shape
@every_dtype
def test_inside_the_block_the_model_is_the_folded_one(shape, dtype):
    model = tiny(shape, dtype)
    deltas = [delta(model, 0), delta(model, 1)]
    folded = copy.deepcopy(model.net)
    for layer in range(LAYERS):
        name = model.slot_tensor(layer)
        weight = folded.get_parameter(name)
        weight.data = fold_weight(weight.data, name, deltas)
    with torch.no_grad():
        expected = folded(input_ids=IDS).logits
    before = logits(model)
    with applied(model, deltas) as inside:
        assert inside is model
        assert logits(model).equal(expected)
    assert not before.equal(expected)
    assert logits(model).equal(before)


@every_shape
@every_dtype
def test_outside_the_block_every_bit_is_as_it_was(shape, dtype):
    model = with_odd_slots(tiny(shape, dtype))
    before = bits(model)
    with applied(model, [delta(model, 0), delta(model, 1)]):
        changed = {name for name, weight in bits(model).items() if not weight.equal(before[name])}
        assert changed == {model.slot_tensor(layer) for layer in range(LAYERS)}
    assert_same(bits(model), before)


@every_dtype
def test_untouched_slots_keep_their_bits_inside_the_block(dtype):
    model = with_odd_slots(tiny("llama", dtype))
    before = {layer: model.slots(layer).clone() for layer in range(LAYERS)}
    with applied(model, [delta(model, 1, layers=[0])]):
        untouched = [row for row in range(D_FF) if row not in (3, 5, 21, D_FF - 1)]
        for layer, rows in ((0, untouched), (1, list(range(D_FF)))):
            inside = model.slots(layer)[rows].contiguous().view(BITS[dtype])
            assert inside.equal(before[layer][rows].contiguous().view(BITS[dtype]))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@every_dtype
def test_an_error_inside_the_block_gives_the_bits_back_too(dtype, error):
    model = with_odd_slots(tiny("gpt2", dtype))
    before = bits(model)
    with pytest.raises(error), applied(model, [delta(model)]):
        logits(model)
        raise error
    assert_same(bits(model), before)


class Interrupted(Model):
    """Ctrl-C at the nth look at a slot."""

    looks = -1

    def slots(self, layer: int) -> Tensor:
        self.looks -= 1
        if self.looks == 0:
            raise KeyboardInterrupt
        return super().slots(layer)


def test_an_interrupt_while_the_slots_are_written_gives_the_bits_back():
    plain = with_odd_slots(tiny("bert"))
    model = Interrupted(plain.net, plain.tokenizer)
    before = bits(plain)
    for looks in range(1, 100):
        model.looks = looks
        try:
            with applied(model, [delta(plain)]):
                model.looks = -1  # entered without being interrupted
                break
        except KeyboardInterrupt:
            assert_same(bits(plain), before)
    assert looks > 2 * LAYERS
    assert_same(bits(plain), before)


def test_the_root_version_is_the_base():
    model = tiny("llama")
    before = logits(model)
    with applied(model, []):
        assert logits(model).equal(before)


def test_what_the_block_itself_does_to_a_touched_slot_is_undone():
    model = tiny("llama")
    before = bits(model)
    with applied(model, [delta(model)]):
        model.slots(0)[3] = torch.nan
    assert_same(bits(model), before)


def misfits(model: Model) -> dict[str, Delta]:
    one = torch.zeros(1, dtype=torch.uint8)
    axis = model.family.axis
    other_axis = "row" if axis == "column" else "column"
    name = model.slot_tensor(1)

    def bad(tensor: str, axis: str, index: int, width: int) -> Delta:
        return Delta(
            BASE, {tensor: SlotChanges(axis, torch.tensor([index]), one, torch.ones(1, width))}
        )

    return {
        "no such layer": bad(name.replace("1", str(LAYERS)), axis, 0, D_MODEL),
        "the other axis": bad(name, other_axis, 0, D_MODEL),
        "no such neuron": bad(name, axis, D_FF, D_MODEL),
        "another width": bad(name, axis, 0, D_MODEL + 1),
    }


@pytest.mark.parametrize("shape", ["gpt2", "llama", "bert"])
@pytest.mark.parametrize("fault", misfits(tiny("llama")))
@pytest.mark.parametrize("fold", [applied, apply_for_good])
def test_a_delta_that_does_not_fit_writes_nothing(shape, fault, fold):
    model = tiny(shape)
    before = bits(model)
    deltas = [delta(model, layers=[0]), misfits(model)[fault]]
    with pytest.raises(DeltaMisfit) as refusal:
        with_block(fold, model, deltas)
    assert "base model that it was made for" in str(refusal.value)
    assert_same(bits(model), before)


def with_block(fold: object, model: Model, deltas: Sequence[Delta]) -> None:
    if fold is applied:
        with applied(model, deltas):
            pass
    else:
        apply_for_good(model, deltas)


@pytest.mark.parametrize("fold", [applied, apply_for_good])
def test_a_sum_that_the_dtype_cannot_hold_writes_nothing(fold):
    model = tiny("llama", torch.float16)
    before = bits(model)
    deltas = [delta(model, layers=[0]), delta(model, layers=[1], size=1e6)]
    with pytest.raises(SlotOverflow, match="float16"):
        with_block(fold, model, deltas)
    assert_same(bits(model), before)


@every_dtype
@pytest.mark.parametrize("shape", ["gpt2", "llama", "bert"])
def test_applied_for_good_the_model_stays_at_the_version(shape, dtype):
    model, other = tiny(shape, dtype), tiny(shape, dtype)
    deltas = [delta(model, 0), delta(model, 1)]
    assert apply_for_good(model, deltas) is model
    with applied(other, deltas):
        assert_same(bits(model), bits(other))
    assert not any(parameter.requires_grad for parameter in model.net.parameters())


def test_a_delta_in_the_checkpoints_own_names_finds_its_layer():
    """Some checkpoints lack the prefix of the task model."""
    model = tiny("bert")
    short = Delta(
        BASE,
        {name.removeprefix("bert."): slots for name, slots in delta(model).tensors.items()},
    )
    with applied(model, [delta(model)]):
        expected = bits(model)
    with applied(model, [short]):
        assert_same(bits(model), expected)
