"""Folding deltas into value slots: from the base rows, in order, in float64, cast once.

Only elementwise IEEE operations and one correctly rounded cast are involved, so the same recipe
gives the same bits on every machine, and a slot that no delta touches keeps its bits. Rows are
folded in blocks: a change can touch all slots of a weight, which in float64 would not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kn_edit.edits.changes import Change, Index, TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.numbers import FORMATS, Numbers, cast_once, is_finite, widened
from kn_edit.errors import SlotOverflow

BLOCK = 1 << 17  # numbers that are folded at a time: 1 MiB in float64, which stays in a cache


def touched(deltas: Sequence[Delta]) -> dict[str, TouchedSlots]:
    """The slots that any of the deltas changes, by tensor name. Raises DeltaMisfit."""
    slots: dict[str, TouchedSlots] = {}
    for delta in deltas:
        for name, change in delta.tensors.items():
            earlier, current = slots.get(name), change.touched()
            slots[name] = current if earlier is None else earlier.union(current, name)
    return dict(sorted(slots.items()))


def folded_slots(rows: Numbers, name: str, index: Index, deltas: Sequence[Delta]) -> Numbers:
    """New value slots of weight `name`, in the number format of the base.

    rows: the base's slots, one a row, (n, d_model); any of those that the deltas touch, or more
    index: which neurons they belong to, sorted, (n,)
    Raises SlotOverflow where a finite slot leaves the range of the format.
    """
    changes = [delta.tensors[name] for delta in deltas if name in delta.tensors]
    result = np.empty_like(rows)  # where rows is a transposed weight, this is one, too
    lost: list[int] = []
    for block in _blocks(rows):
        result[block], overflow = _folded_block(rows[block], index[block], changes)
        lost += index[block][overflow].tolist()
    if lost:
        raise SlotOverflow(name, tuple(lost), FORMATS[rows.dtype])
    return result


def _blocks(rows: Numbers) -> Iterator[slice]:
    """Rows that are folded together."""
    step = max(1, BLOCK // max(1, rows.shape[1]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def _folded_block(
    rows: Numbers, index: Index, changes: Sequence[Change]
) -> tuple[Numbers, NDArray[np.bool_]]:
    """The folded rows, (n, d_model), and which of them are finite no more, (n,)."""
    folded = widened(rows)  # (n, d_model), laid out as the rows are
    with np.errstate(all="ignore"):  # the base may hold infinities
        for change in changes:
            change.fold(folded, index)
    result = cast_once(folded, rows.dtype)
    finite = is_finite(result)
    if bool(finite.all()):
        return result, np.zeros(len(rows), dtype=np.bool_)
    return result, np.any(is_finite(rows) & ~finite, axis=1)


def fold_weight(weight: Numbers, name: str, deltas: Sequence[Delta]) -> Numbers:
    """A copy of the base weight `name` with the deltas folded in, in list order.

    Raises DeltaMisfit where a delta was made for another weight; SlotOverflow.
    """
    slots = touched(deltas).get(name)
    if slots is None:
        return weight.copy()
    slots.check_fit(name, weight.shape, FORMATS.get(weight.dtype, str(weight.dtype)))
    if slots.complete:
        rows = weight if slots.axis == "row" else weight.T  # (d_ff, d_model)
        result = folded_slots(rows, name, slots.index, deltas)
        return np.ascontiguousarray(result if slots.axis == "row" else result.T)
    folded = weight.copy()
    view = folded if slots.axis == "row" else folded.T  # (d_ff, d_model)
    view[slots.index] = folded_slots(view[slots.index], name, slots.index, deltas)
    return folded
