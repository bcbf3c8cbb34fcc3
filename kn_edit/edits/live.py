"""Fold deltas into a live model, and give the exact bits back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.edits.changes import TouchedSlots
from kn_edit.edits.delta import Delta, tensor_layer
from kn_edit.edits.fold import folded_slots, touched
from kn_edit.edits.tensors import array_of, tensor_of
from kn_edit.errors import DeltaMisfit
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name


@contextmanager
def applied(model: Model, deltas: Sequence[Delta]) -> Iterator[Model]:
    """The model at a version, inside the block; it must hold the base's slots outside.

    On leaving, also by an error, every touched slot has its own bits again. Not to be nested:
    a fold starts from the base, so name all deltas at once. Raises DeltaMisfit, SlotOverflow.
    """
    folded = FoldedVersion(model, deltas)
    try:
        folded.write()
        yield model
    finally:
        folded.put_back()


def apply_for_good(model: Model, deltas: Sequence[Delta]) -> Model:
    """Fold deltas into a live base model that is to stay at that version."""
    FoldedVersion(model, deltas).write()
    return model


@dataclass(frozen=True, eq=False)
class _Fold:
    """The touched slots of one layer."""

    layer: int
    where: Tensor | slice  # the rows of the slots: (n,), or all
    before: Tensor  # (n, d_model)
    after: Tensor  # (n, d_model)


class FoldedVersion:
    """The slots of a version that are not the base's, ready to be written into the live model.

    Made while the model holds the base's slots. Raises DeltaMisfit, SlotOverflow.
    """

    def __init__(self, model: Model, deltas: Sequence[Delta]) -> None:
        self._model = model
        self._folds = _folds(model, deltas)

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        rows = [tensor for fold in self._folds for tensor in (fold.before, fold.after)]
        return sum(tensor.numel() * tensor.element_size() for tensor in rows)

    def write(self) -> None:
        """Bring the model from the base to the version."""
        _write(self._model, [(fold, fold.after) for fold in self._folds])

    def put_back(self) -> None:
        """Bring the model from the version to the base, bit for bit."""
        _write(self._model, [(fold, fold.before) for fold in self._folds])


def _folds(model: Model, deltas: Sequence[Delta]) -> list[_Fold]:
    """All that is to be written, so that nothing is before all of it fits."""
    folds = []
    for name, slots in touched(deltas).items():
        layer = tensor_layer(name)
        if layer >= model.n_layers or slots.axis != model.family.axis:
            raise DeltaMisfit(name, "the model has no such layer, or its slots lie the other way")
        stored = model.stored_dtype(layer)
        slots.check_fit(name, tuple(model.downs[layer].weight.shape), dtype_name(stored))
        where = _rows(slots, model.device_of(layer))
        before = model.slots(layer)[where].clone()  # (n, d_model)
        # On the CPU and rounded as in the checkpoint, whatever the network computes with: an edit
        # has the same bits everywhere.
        base = model.stored_slots(layer)[_rows(slots, torch.device("cpu"))]
        after = tensor_of(folded_slots(array_of(base), name, slots.index, deltas)).to(before)
        folds.append(_Fold(layer=layer, where=where, before=before, after=after))
    return folds


def _rows(slots: TouchedSlots, device: torch.device) -> Tensor | slice:
    """Where the slots are among those of their layer."""
    return slice(None) if slots.complete else torch.from_numpy(slots.index).to(device)


def _write(model: Model, slots: list[tuple[_Fold, Tensor]]) -> None:
    for fold, rows in slots:
        model.slots(fold.layer)[fold.where] = rows
