"""Folds of weights that are tensors, in torch's number formats."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kn_edit.edits import fold, numbers
from kn_edit.edits.delta import Delta
from kn_edit.edits.numbers import Numbers
from kn_edit.edits.tensors import array_of, tensor_of
from kn_edit.models.placement import dtype_name


def fold_weight(weight: Tensor, name: str, deltas: Sequence[Delta]) -> Tensor:
    """The weight with the deltas folded in."""
    return tensor_of(fold.fold_weight(array_of(weight), name, deltas))


def folded_slots(
    rows: Tensor, name: str, index: Tensor | Numbers, deltas: Sequence[Delta]
) -> Tensor:
    """The slots with the deltas folded in, (n, d_model)."""
    places = array_of(index) if isinstance(index, Tensor) else index
    return tensor_of(fold.folded_slots(array_of(rows), name, places, deltas))


def cast_once(values: Tensor, dtype: torch.dtype) -> Tensor:
    """float64, rounded once."""
    return tensor_of(numbers.cast_once(array_of(values), numbers.ARRAY_TYPES[dtype_name(dtype)]))
