"""The delta of an edit: what it does to value slots, how two of them compose, and its file.

An edit does one of two things to a value slot v: `add` (v := v + b) or `set` (v := b). The
file, `kn-delta/1`, is named by the sha256 of its bytes; docs/delta-format.md describes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import torch
from torch import Tensor

from kn_edit.edits import delta_file
from kn_edit.edits.delta_file import AXES
from kn_edit.errors import DeltaDigestDiffers, DeltaMisfit, DifferentBase, InvalidDelta
from kn_edit.neuron import NeuronId
from kn_edit.safetext import shortened


class Mode(IntEnum):
    """What an edit does to a value slot."""

    ADD = 0
    SET = 1


@dataclass(frozen=True)
class BaseRef:
    """The base model that a delta was made for; only the fingerprint decides."""

    repo: str | None
    revision: str | None
    fingerprint: str


@dataclass(frozen=True, eq=False)
class SlotChanges:
    """Changes to the value slots of one weight.

    axis: "column" for nn.Linear [d_model, d_ff], "row" for Conv1D [d_ff, d_model]
    index: neuron indices, int64, sorted, unique, (n,)
    mode: a Mode for each, uint8, (n,)
    value: b for each, float32, finite, (n, d_model)
    """

    axis: str
    index: Tensor
    mode: Tensor
    value: Tensor

    def __post_init__(self) -> None:
        for field in ("index", "mode", "value"):
            own = getattr(self, field).detach().to("cpu", copy=True).contiguous()
            object.__setattr__(self, field, own)
        reason = _fault(self)
        if reason is not None:
            raise InvalidDelta(reason)

    def then(self, other: SlotChanges) -> SlotChanges:
        """These changes, then the others, as one. Sums in float64, cast once to float32.

        A sum of two float32 numbers taken in float64 and cast is the correctly rounded one.
        """
        index = torch.unique(torch.cat([self.index, other.index]))  # (n,)
        ours = torch.searchsorted(index, self.index)
        theirs = torch.searchsorted(index, other.index)
        # -0.0 and not 0.0 is the number that changes nothing it is added to.
        shape = (len(index), self.value.shape[1])
        value = torch.full(shape, -0.0, dtype=torch.float64, device="cpu")
        mode = torch.full((len(index),), Mode.ADD, dtype=torch.uint8, device="cpu")
        value[ours] = self.value.double()
        mode[ours] = self.mode

        sets = other.mode == Mode.SET
        value[theirs[sets]] = other.value[sets].double()
        mode[theirs[sets]] = Mode.SET
        value[theirs[~sets]] += other.value[~sets].double()
        return SlotChanges(self.axis, index, mode, value.float())


@dataclass(frozen=True, eq=False)
class Delta:
    """Changes to the value slots of a model, by the name of the weight in its checkpoint."""

    base: BaseRef
    tensors: Mapping[str, SlotChanges]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", dict(sorted(self.tensors.items())))
        layers = [tensor_layer(name) for name in self.tensors]
        if len(set(layers)) < len(layers):
            raise InvalidDelta("two of its tensors are in the same layer")

    @cached_property
    def id(self) -> str:
        """The edit id: sha256 of the delta file, 64 hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The delta file. Equal deltas have equal bytes, on every machine."""
        description = {
            "format": delta_file.FORMAT,
            "base": {
                "repo": self.base.repo,
                "revision": self.base.revision,
                "fingerprint": self.base.fingerprint,
            },
            "axes": {name: changes.axis for name, changes in self.tensors.items()},
        }
        parts = {
            name: {"index": changes.index, "mode": changes.mode, "value": changes.value}
            for name, changes in self.tensors.items()
        }
        return delta_file.encode(description, parts)

    @classmethod
    def from_bytes(cls, data: bytes, expected: str | None = None) -> Delta:
        """Read a delta file; `expected` is its edit id, where it is known.

        Raises DeltaDigestDiffers, NewerDeltaFormat, InvalidDelta; nothing else, whatever the bytes.
        """
        if expected is not None:
            actual = hashlib.sha256(data).hexdigest()
            if actual != expected:
                raise DeltaDigestDiffers(expected, actual)
        description, parts = delta_file.decode(data)
        axes = description["axes"]
        tensors = {name: SlotChanges(axis=axes[name], **part) for name, part in parts.items()}
        return cls(BaseRef(**description["base"]), tensors)

    def neurons(self) -> tuple[NeuronId, ...]:
        """The neurons whose value slots it changes, sorted."""
        return tuple(self.modes())

    def modes(self) -> dict[NeuronId, str]:
        """What it does to each value slot that it changes, "add" or "set", by sorted neuron."""
        by_layer = sorted((tensor_layer(name), slots) for name, slots in self.tensors.items())
        return {
            NeuronId(layer, index): Mode(mode).name.lower()
            for layer, slots in by_layer
            for index, mode in zip(slots.index.tolist(), slots.mode.tolist(), strict=True)
        }

    def overlap(self, other: Delta) -> tuple[NeuronId, ...]:
        """The neurons that both change, sorted."""
        return tuple(sorted({*self.neurons()} & {*other.neurons()}))

    def then(self, other: Delta) -> Delta:
        """This delta, then the other, as one. Raises DifferentBase, DeltaMisfit, InvalidDelta.

        set wins over what came before it; add onto add or set gives their sum, in that mode.
        """
        if self.base.fingerprint != other.base.fingerprint:
            raise DifferentBase(self.base.fingerprint, other.base.fingerprint)
        tensors = {**self.tensors, **other.tensors}
        for name in self.tensors.keys() & other.tensors.keys():
            mine, theirs = self.tensors[name], other.tensors[name]
            if mine.axis != theirs.axis or mine.value.shape[1] != theirs.value.shape[1]:
                raise DeltaMisfit(name, "the slots of the two deltas have different shapes")
            tensors[name] = mine.then(theirs)
        return Delta(self.base, tensors)


def tensor_layer(name: str) -> int:
    """The layer of a weight: the one whole number in its name. Raises InvalidDelta."""
    numbers = [part for part in name.split(".") if part.isascii() and part.isdigit()]
    if len(numbers) != 1 or len(numbers[0]) > 6:
        shown = shortened(ascii(name), 100)
        raise InvalidDelta(f"the tensor name {shown} does not name one layer")
    return int(numbers[0])


def _fault(changes: SlotChanges) -> str | None:
    """What breaks the rules of the format, or None."""
    index, mode, value = changes.index, changes.mode, changes.value
    if changes.axis not in AXES:
        return f"the slot axis {shortened(repr(changes.axis), 100)} is neither column nor row"
    if (index.dtype, mode.dtype, value.dtype) != (torch.int64, torch.uint8, torch.float32):
        return "index, mode and value are not int64, uint8 and float32"
    if index.ndim != 1 or mode.shape != index.shape or value.shape[:-1] != index.shape:
        return "index, mode and value do not have the shapes (n,), (n,) and (n, d_model)"
    if value.numel() == 0:
        return "a tensor is listed without any slot"
    if bool((index < 0).any()) or bool((index[1:] <= index[:-1]).any()):
        return "the neuron indices are not sorted, unique and from 0 on"
    if bool((mode > Mode.SET).any()):
        return "a mode is neither 0 (add) nor 1 (set)"
    if not bool(torch.isfinite(value).all()):
        return "a value is not a finite number"
    return None
