"""From numbers for neurons to a delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from kn_edit.edits.changes import LowRankChange, Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.tensors import array_of, tensor_of
from kn_edit.errors import ChangeOutOfRange
from kn_edit.models.float64 import in_float64
from kn_edit.neuron import NeuronId


@dataclass(frozen=True)
class SlotPlace:
    """The weights of a base that hold its value slots."""

    base: BaseRef
    names: Mapping[int, str]  # layer -> tensor name in the checkpoint
    axis: str


def delta_of(place: SlotPlace, neurons: Sequence[NeuronId], values: Tensor, mode: Mode) -> Delta:
    """The delta that adds `values` to the neurons' slots, or sets them; (n, d_model).

    Raises ChangeOutOfRange where they are not finite in float32.
    """
    values = values.float()
    lost = ~values.isfinite().all(1)  # (n,)
    if bool(lost.any()):
        raise ChangeOutOfRange(int(lost.sum()))
    tensors = {}
    for layer in sorted({neuron.layer for neuron in neurons}):
        rows = sorted(
            (row for row, neuron in enumerate(neurons) if neuron.layer == layer),
            key=lambda row: neurons[row].index,
        )
        tensors[place.names[layer]] = SlotChanges(
            axis=place.axis,
            index=np.array([neurons[row].index for row in rows], dtype=np.int64),
            mode=np.full(len(rows), mode, dtype=np.uint8),
            value=array_of(values[rows].cpu()),
        )
    return Delta(place.base, tensors)


def low_rank_delta(place: SlotPlace, factors: Mapping[int, tuple[Tensor, Tensor]]) -> Delta:
    """The delta that adds, in each of these layers, the sum over k of u[k, j] v[k] to slot j.

    Where u is 0 but for a few slots, and these take fewer numbers, they are changed one by one.
    factors: by layer u, (r, d_ff), and v, (r, d_model); of rank one also as two vectors
    Raises ChangeOutOfRange where they are not finite in float32, and InvalidDelta where they have
    other shapes, or a rank beyond what a delta may have.
    """
    tensors = {}
    for layer in sorted(factors):
        u, v = (_as_rows(factor) for factor in factors[layer])
        if not bool(u.isfinite().all() and v.isfinite().all()):
            raise ChangeOutOfRange(u.shape[-1], advice="use a smaller change")
        tensors[place.names[layer]] = _smaller(place.axis, u, v)
    return Delta(place.base, tensors)


def _smaller(axis: str, u: Tensor, v: Tensor) -> LowRankChange | SlotChanges:
    """A change of low rank, or the same as changes of slots where those take fewer numbers.

    Raises InvalidDelta where u and v are no factors.
    """
    change = LowRankChange(axis, array_of(u.cpu()), array_of(v.cpu()))
    slots = np.flatnonzero((change.u != 0).any(0))  # (n,)
    if not 0 < len(slots) * v.shape[1] < u.numel() + v.numel():
        return change
    value = in_float64(tensor_of(change.u[:, slots])).T @ in_float64(tensor_of(change.v))
    return SlotChanges(
        axis=axis,
        index=slots,
        mode=np.full(len(slots), Mode.ADD, dtype=np.uint8),
        value=array_of(value.float()),
    )


def _as_rows(factor: Tensor) -> Tensor:
    """A factor as float32 rows; a vector is one row."""
    factor = factor.detach().float()
    return factor.reshape(1, -1) if factor.ndim < 2 else factor
