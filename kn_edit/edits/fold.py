"""Folding deltas into value slots: from the base rows, in order, in float64, cast once.

Only elementwise IEEE additions and one correctly rounded cast are involved, so the same recipe
gives the same bits on every machine, and a slot that no delta touches keeps its bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.edits.delta import Delta, Mode
from kn_edit.errors import DeltaMisfit, SlotOverflow

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class TouchedSlots:
    """The value slots of one weight that some deltas change.

    axis: "column" or "row", as in SlotChanges
    index: neuron indices, int64, sorted, unique, (n,)
    d_model: the length of a slot
    """

    axis: str
    index: Tensor
    d_model: int


def touched(deltas: Sequence[Delta]) -> dict[str, TouchedSlots]:
    """The slots that any of the deltas changes, by tensor name. Raises DeltaMisfit."""
    slots: dict[str, TouchedSlots] = {}
    for delta in deltas:
        for name, changes in delta.tensors.items():
            d_model = changes.value.shape[1]
            known = slots.get(name, TouchedSlots(changes.axis, changes.index, d_model))
            if (known.axis, known.d_model) != (changes.axis, d_model):
                raise DeltaMisfit(name, "two of the edits see slots of different shapes there")
            index = torch.unique(torch.cat([known.index, changes.index]))
            slots[name] = TouchedSlots(known.axis, index, d_model)
    return dict(sorted(slots.items()))


def folded_slots(rows: Tensor, name: str, index: Tensor, deltas: Sequence[Delta]) -> Tensor:
    """New value slots of weight `name`, in the dtype of the base.

    rows: the base's slots, one a row, (n, d_model)
    index: which neurons they belong to, sorted, with all that the deltas touch there, (n,)
    Raises SlotOverflow where a finite slot leaves the range of the dtype.
    """
    folded = rows.to("cpu", torch.float64, copy=True)  # (n, d_model)
    for delta in deltas:
        changes = delta.tensors.get(name)
        if changes is None:
            continue
        at = torch.searchsorted(index, changes.index)
        value = changes.value.double()
        sets = changes.mode == Mode.SET
        folded[at[sets]] = value[sets]
        folded[at[~sets]] += value[~sets]
    result = cast_once(folded, rows.dtype)
    lost = (torch.isfinite(rows.cpu()) & ~torch.isfinite(result)).any(1)
    if bool(lost.any()):
        raise SlotOverflow(
            name, tuple(index[lost].tolist()), str(rows.dtype).removeprefix("torch.")
        )
    return result.to(rows.device)


def fold_weight(weight: Tensor, name: str, deltas: Sequence[Delta]) -> Tensor:
    """A copy of the base weight `name` with the deltas folded in, in list order.

    Raises DeltaMisfit where a delta was made for another weight; SlotOverflow.
    """
    folded = weight.detach().clone()
    slots = touched(deltas).get(name)
    if slots is None:
        return folded
    check_fit(slots, name, tuple(weight.shape), weight.dtype)
    view = folded if slots.axis == "row" else folded.T  # (d_ff, d_model)
    where = slots.index.to(weight.device)
    view[where] = folded_slots(view[where], name, slots.index, deltas)
    return folded


def check_fit(slots: TouchedSlots, name: str, shape: Sequence[int], dtype: torch.dtype) -> None:
    """Raise DeltaMisfit unless these slots exist in a weight of this shape and dtype."""
    if dtype not in FLOATS:
        raise DeltaMisfit(name, f"the weight is stored as {dtype}, not as floats of 16 to 64 bits")
    if len(shape) != 2:
        raise DeltaMisfit(name, f"the weight has {len(shape)} dimensions, not 2")
    d_ff, d_model = shape if slots.axis == "row" else (shape[1], shape[0])
    if d_model != slots.d_model:
        raise DeltaMisfit(name, f"its slots have {d_model} numbers, the delta's {slots.d_model}")
    if int(slots.index[-1]) >= d_ff:
        raise DeltaMisfit(name, f"it has no neuron {int(slots.index[-1])}, only {d_ff} of them")


def cast_once(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Round float64 to the nearest number of a narrower dtype, ties to even.

    torch goes to 16-bit types through float32, and rounding twice can end one step off.
    Rounding to odd in float32 keeps the information the second rounding needs (Boldo and
    Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
    """
    if dtype in (torch.float16, torch.bfloat16):
        values = _to_odd_float32(values)
    result = values.to(dtype)
    # The bits of a NaN differ between processors; one NaN keeps the digests equal.
    return result.masked_fill(result.isnan(), math.nan)


def _to_odd_float32(values: Tensor) -> Tensor:
    """float64 to float32: exact numbers stay, others go to the neighbour with an odd last bit."""
    nearest = values.float()
    bits = nearest.view(torch.int32)
    # Sign and magnitude: one less is one step towards zero, for either sign.
    truncated = bits - (nearest.double().abs() > values.abs()).int()
    inexact = (nearest.double() != values).int()
    return (truncated | inexact).view(torch.float32)
