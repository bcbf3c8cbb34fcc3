"""Folding deltas into value slots: from the base rows, in order, in float64, cast once.

Only elementwise IEEE operations and one correctly rounded cast are involved, so the same recipe
gives the same bits on every machine, and a slot that no delta touches keeps its bits. Rows are
folded in blocks: a change can touch all slots of a weight, which in float64 would not fit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kn_edit.edits.changes import Change, TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.errors import SlotOverflow
from kn_edit.models.placement import dtype_name

BLOCK = 1 << 20  # numbers that are folded at a time: 8 MiB in float64


def touched(deltas: Sequence[Delta]) -> dict[str, TouchedSlots]:
    """The slots that any of the deltas changes, by tensor name. Raises DeltaMisfit."""
    slots: dict[str, TouchedSlots] = {}
    for delta in deltas:
        for name, change in delta.tensors.items():
            earlier, current = slots.get(name), change.touched()
            slots[name] = current if earlier is None else earlier.union(current, name)
    return dict(sorted(slots.items()))


def folded_slots(rows: Tensor, name: str, index: Tensor, deltas: Sequence[Delta]) -> Tensor:
    """New value slots of weight `name`, in the dtype of the base.

    rows: the base's slots, one a row, (n, d_model); any of those that the deltas touch, or more
    index: which neurons they belong to, sorted, (n,)
    Raises SlotOverflow where a finite slot leaves the range of the dtype.
    """
    changes = [delta.tensors[name] for delta in deltas if name in delta.tensors]
    result = torch.empty_like(rows)  # where rows is a transposed weight, this is one, too
    lost: list[int] = []
    for block in _blocks(rows):
        result[block], overflow = _folded_block(rows[block], index[block], changes)
        lost += index[block][overflow].tolist()
    if lost:
        raise SlotOverflow(name, tuple(lost), dtype_name(rows.dtype))
    return result


def _blocks(rows: Tensor) -> Iterator[slice]:
    """Rows that are folded together."""
    step = max(1, BLOCK // max(1, rows.shape[1]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _folded_block(rows: Tensor, index: Tensor, changes: Sequence[Change]) -> tuple[Tensor, Tensor]:
    """The folded rows, (n, d_model), and which of them are finite no more, (n,)."""
    rows = rows.to("cpu")
    folded = rows.to(torch.float64, copy=True)  # (n, d_model), laid out as the rows are
    for change in changes:
        change.fold(folded, index)
    result = cast_once(folded, rows.dtype)
    finite = torch.isfinite(result)
    if bool(finite.all()):
        return result, torch.zeros(len(rows), dtype=torch.bool, device="cpu")
    return result, (torch.isfinite(rows) & ~finite).any(1)


def fold_weight(weight: Tensor, name: str, deltas: Sequence[Delta]) -> Tensor:
    """A copy of the base weight `name` with the deltas folded in, in list order.

    Raises DeltaMisfit where a delta was made for another weight; SlotOverflow.
    """
    weight = weight.detach()
    slots = touched(deltas).get(name)
    if slots is None:
        return weight.clone()
    slots.check_fit(name, tuple(weight.shape), weight.dtype)
    if slots.complete:
        rows = weight if slots.axis == "row" else weight.T  # (d_ff, d_model)
        result = folded_slots(rows, name, slots.index, deltas)
        return (result if slots.axis == "row" else result.T).contiguous()
    folded = weight.clone()
    view = folded if slots.axis == "row" else folded.T  # (d_ff, d_model)
    where = slots.index.to(weight.device)
    view[where] = folded_slots(view[where], name, slots.index, deltas)
    return folded


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
    return torch.where(result.isnan(), torch.tensor(math.nan, dtype=dtype, device="cpu"), result)


def _to_odd_float32(values: Tensor) -> Tensor:
    """float64 to float32: exact numbers stay, others go to the neighbour with an odd last bit."""
    nearest = values.float()
    back = nearest.double()
    # Sign and magnitude: one less is one step towards zero, for either sign.
    truncated = nearest.view(torch.int32) - (back.abs() > values.abs()).int()
    return (truncated | (back != values).int()).view(torch.float32)
