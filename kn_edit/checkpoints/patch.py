"""A version as a sparse patch: which numbers of which tensors change, and to what.

One safetensors file. For every touched tensor `{name}.idx`, places in the flattened tensor (int64,
sorted), and `{name}.val`, the new values there in its own dtype. Values are absolute, so a patch
can be put on twice; only numbers whose bits change are in it. A low-rank change can change all of
the tensor, and then the patch is larger than it: each place takes eight bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from kn_edit.checkpoints.folders import write_folder
from kn_edit.checkpoints.slots import Changed, changed_slots
from kn_edit.edits.changes import Index, TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.numbers import Numbers
from kn_edit.edits.tensors import tensor_of
from kn_edit.models.shards import Shards

PATCH = "patch.safetensors"


def patch_of(base: Shards, deltas: Sequence[Delta]) -> dict[str, Tensor]:
    """The tensors of the patch.

    Raises TensorMissing, DeltaMisfit, SlotOverflow, NothingToExport.
    """
    tensors = {}
    for weight in changed_slots(base, deltas, "patch"):
        index, value = _of_weight(weight) if weight.where.complete else _of_slots(weight, base)
        tensors[f"{weight.name}.idx"] = tensor_of(index)
        tensors[f"{weight.name}.val"] = tensor_of(value)
    return tensors


def _of_slots(weight: Changed, base: Shards) -> tuple[Index, Numbers]:
    """Places in the flattened tensor and values there, of the touched slots, (n,) each."""
    places = _places(weight.where, base.entry(weight.name).shape)  # (n, d_model)
    changed = _bits(weight.after) != _bits(weight.before)
    index = places[changed]
    order = index.argsort()
    return index[order], weight.after[changed][order]


def _of_weight(weight: Changed) -> tuple[Index, Numbers]:
    """Places and values of a weight of which all slots are touched, (n,) each.

    The rows are then the tensor, or it transposed.
    """
    rows = (weight.before, weight.after)
    before, after = (
        np.ascontiguousarray(each if weight.where.axis == "row" else each.T).reshape(-1)
        for each in rows
    )
    changed = _bits(before) != _bits(after)
    return np.flatnonzero(changed), after[changed]


def export_patch(base: Shards, deltas: Sequence[Delta], target: Path) -> Path:
    """Write the patch to a new folder. Raises TargetNotEmpty, CannotWrite, and as patch_of."""
    return write_folder(target, {PATCH: save(patch_of(base, deltas), {"format": "pt"})})


def _places(where: TouchedSlots, shape: Sequence[int]) -> Index:
    """The place of every number of the slots in the flattened tensor, (n, d_model)."""
    width = np.arange(where.d_model)
    if where.axis == "row":
        return where.index[:, None] * shape[1] + width
    return width * shape[1] + where.index[:, None]


def _bits(values: Numbers) -> NDArray[np.unsignedinteger]:
    """As whole numbers, so that -0.0 and 0.0 differ and a NaN equals itself."""
    return values.view(f"u{values.itemsize}")
