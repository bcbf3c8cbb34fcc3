"""A delta whose numbers stay in a file, so that few of many are in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

from kn_edit.canonical import digest
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import DeltaDigestDiffers, DeltaMissing
from kn_edit.neuron import NeuronId
from kn_edit.untrusted import open_regular

MOST_LOADED = 256 << 20  # bytes of deltas that LoadedDeltas keeps


@dataclass(frozen=True, eq=False)
class KeptDelta:
    """A delta that was read and checked once; its file lies at `path`."""

    id: str
    base: BaseRef
    slots: Mapping[NeuronId, str]  # "add" or "set"
    path: Path
    layers: Mapping[int, int] = field(default_factory=dict)  # of low-rank changes: their rank

    @classmethod
    def keep(cls, delta: Delta, data: bytes, path: Path) -> KeptDelta:
        """Write the bytes of a delta to its file. Raises OSError."""
        path.write_bytes(data)
        slots, layers = delta.modes(), delta.ranks()
        return cls(id=delta.id, base=delta.base, slots=slots, path=path, layers=layers)

    def modes(self) -> dict[NeuronId, str]:
        """What it does to each value slot that it changes by itself, by sorted neuron."""
        return dict(self.slots)

    def neurons(self) -> tuple[NeuronId, ...]:
        """The neurons whose value slots it changes one by one, sorted."""
        return tuple(self.slots)

    def ranks(self) -> dict[int, int]:
        """The rank of the change of each layer whose slots it changes all at once, by layer."""
        return dict(self.layers)

    def to_bytes(self) -> bytes:
        """The delta file. Raises DeltaMissing, DeltaDigestDiffers."""
        try:
            with open_regular(self.path) as file:
                data = file.read()
        except OSError:
            raise DeltaMissing(self.id, self.path) from None
        actual = digest(data)
        if actual != self.id:
            raise DeltaDigestDiffers(self.id, actual)
        return data

    def load(self) -> Delta:
        """The delta with its numbers. Raises DeltaMissing, DeltaDigestDiffers."""
        return Delta.from_bytes(self.to_bytes())


@dataclass(eq=False)
class LoadedDeltas(Sequence[Delta]):
    """Deltas that are loaded when they are looked at; as many stay in memory as there is room."""

    sources: Sequence[Delta | KeptDelta]
    room: int = MOST_LOADED
    _loaded: dict[str, Delta] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Delta: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Delta]: ...

    def __getitem__(self, index: int | slice) -> Delta | Sequence[Delta]:
        if isinstance(index, slice):
            return [self._load(source) for source in self.sources[index]]
        return self._load(self.sources[index])

    def _load(self, source: Delta | KeptDelta) -> Delta:
        if isinstance(source, Delta):
            return source
        loaded = self._loaded.get(source.id)
        if loaded is not None:
            return loaded
        delta = source.load()
        size = delta.nbytes
        if size <= self.room:
            self.room -= size
            self._loaded[source.id] = delta
        return delta
