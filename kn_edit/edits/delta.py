"""The delta of an edit: what it does to the weights of a model, and its file.

Each weight has one change: of single value slots, or of all of them at low rank (`changes`). The
file is named by the sha256 of its bytes; docs/delta-format.md describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kn_edit.canonical import digest
from kn_edit.edits import delta_file
from kn_edit.edits.changes import KINDS, Change, LowRankChange, Mode, SlotChanges
from kn_edit.errors import DeltaDigestDiffers, DifferentBase, InvalidDelta
from kn_edit.neuron import NeuronId
from kn_edit.safetext import shortened


@dataclass(frozen=True)
class BaseRef:
    """The base model that a delta was made for; only the fingerprint decides."""

    repo: str | None
    revision: str | None
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Delta:
    """Changes to the value slots of a model, by the name of the weight in its checkpoint."""

    base: BaseRef
    tensors: Mapping[str, Change]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", dict(sorted(self.tensors.items())))
        layers = [tensor_layer(name) for name in self.tensors]
        if len(set(layers)) < len(layers):
            raise InvalidDelta("two of its tensors are in the same layer")

    @cached_property
    def id(self) -> str:
        """The edit id: sha256 of the delta file, 64 hex digits."""
        return digest(self.to_bytes())

    def to_bytes(self) -> bytes:
        """The delta file. Equal deltas have equal bytes, on every machine."""
        description = delta_file.description(
            vars(self.base),
            axes={name: change.axis for name, change in self.tensors.items()},
            kinds={name: change.kind for name, change in self.tensors.items()},
        )
        parts = {name: change.parts for name, change in self.tensors.items()}
        return delta_file.encode(description, parts)

    @classmethod
    def from_bytes(cls, data: bytes, expected: str | None = None) -> Delta:
        """Read a delta file; `expected` is its edit id, where it is known.

        Raises DeltaDigestDiffers, NewerDeltaFormat, InvalidDelta; nothing else, whatever the bytes.
        """
        if expected is not None:
            actual = digest(data)
            if actual != expected:
                raise DeltaDigestDiffers(expected, actual)
        description, parts = delta_file.decode(data)
        axes, kinds = description["axes"], delta_file.kinds_of(description)
        tensors: dict[str, Change] = {
            name: KINDS[kinds[name]](axis=axes[name], **part) for name, part in parts.items()
        }
        delta = cls(BaseRef(**description["base"]), tensors)
        if expected is not None:
            vars(delta)["id"] = expected  # it was hashed above
        return delta

    @property
    def nbytes(self) -> int:
        """The size of its numbers."""
        return sum(change.nbytes for change in self.tensors.values())

    def neurons(self) -> tuple[NeuronId, ...]:
        """The neurons whose value slots it changes one by one, sorted."""
        return tuple(self.modes())

    def modes(self) -> dict[NeuronId, str]:
        """What it does to each slot that it changes by itself, "add" or "set", by sorted neuron."""
        return {
            NeuronId(layer, index): Mode(mode).name.lower()
            for layer, change in self._by_layer()
            if isinstance(change, SlotChanges)
            for index, mode in zip(change.index.tolist(), change.mode.tolist(), strict=True)
        }

    def ranks(self) -> dict[int, int]:
        """The rank of the change of each layer whose slots it changes all at once, by layer."""
        return {
            layer: change.rank
            for layer, change in self._by_layer()
            if isinstance(change, LowRankChange)
        }

    def overlap(self, delta: Delta) -> tuple[NeuronId, ...]:
        """The neurons whose slots both change, sorted: all of a layer where both are of low rank"""
        theirs = dict(delta._by_layer())
        return tuple(
            NeuronId(layer, index)
            for layer, change in self._by_layer()
            if layer in theirs
            for index in change.overlap(theirs[layer]).tolist()
        )

    def then(self, later: Delta) -> Delta:
        """This delta, then a later one, as one. Raises DifferentBase, DeltaMisfit, InvalidDelta.

        set wins over what came before it; add onto add or set gives their sum, in that mode; of
        low-rank changes the directions are listed one after the other. Slots and a low-rank change
        of one weight are no single change: only a list of edits, as a version is, tells what came
        first where a slot is set. So that is a DeltaMisfit.
        """
        if self.base.fingerprint != later.base.fingerprint:
            raise DifferentBase(self.base.fingerprint, later.base.fingerprint)
        tensors = {**self.tensors, **later.tensors}
        for name in self.tensors.keys() & later.tensors.keys():
            tensors[name] = self.tensors[name].then(later.tensors[name], name)
        return Delta(self.base, tensors)

    def _by_layer(self) -> list[tuple[int, Change]]:
        changes = ((tensor_layer(name), change) for name, change in self.tensors.items())
        return sorted(changes, key=lambda item: item[0])


def tensor_layer(name: str) -> int:
    """The layer of a weight: the one whole number in its name. Raises InvalidDelta."""
    numbers = [part for part in name.split(".") if part.isascii() and part.isdigit()]
    if len(numbers) != 1 or len(numbers[0]) > 6:
        quoted_name = shortened(ascii(name), 100)
        raise InvalidDelta(f"the tensor name {quoted_name} does not name one layer")
    return int(numbers[0])
