"""What edits write, and where two of them meet: single value slots, and layers at low rank.

A low-rank change writes every slot of its layer. So it meets each slot that another edit writes
there, and all of the layer where that one is of low rank, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TYPE_CHECKING

from kn_edit.ledger.records import LayerChange, Overlap
from kn_edit.neuron import NeuronId

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta
    from kn_edit.edits.kept import KeptDelta

LOW_RANK = "low-rank"


@dataclass(frozen=True)
class Writes:
    """What an edit writes.

    slots: the slots that it writes by themselves, each with "add" or "set"
    layers: the rank of its change of each layer that it writes all slots of
    """

    slots: Mapping[NeuronId, str] = field(default_factory=dict)
    layers: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, delta: Delta | KeptDelta) -> Writes:
        """What a delta writes."""
        return cls(delta.modes(), delta.ranks())

    @property
    def in_layers(self) -> set[int]:
        """The layers that it writes anything in."""
        return {slot.layer for slot in self.slots} | {*self.layers}

    @property
    def changes(self) -> tuple[LayerChange, ...]:
        """The changes of whole layers, as records tell them."""
        return tuple(LayerChange(layer, LOW_RANK, self.layers[layer]) for layer in self.layers)


WritesOf = Callable[[str], Writes]
NOTHING = Writes()


def all_of(several: Iterable[Writes]) -> Writes:
    """What several edits write together."""
    slots: dict[NeuronId, str] = {}
    layers: dict[int, int] = {}
    for writes in several:
        slots |= writes.slots
        layers |= writes.layers
    return Writes(slots, layers)


def overlap(edit: str, other_edit: str, writes_of: WritesOf) -> Overlap | None:
    """Where two edits meet; None if they do not."""
    ours, theirs = writes_of(edit), writes_of(other_edit)
    both = ours.slots.keys() & theirs.slots.keys()
    under = {  # slots that one edit writes by themselves, and the other one with their layer
        slot: mode
        for slots, layers in ((ours.slots, theirs.layers), (theirs.slots, ours.layers))
        if layers
        for slot, mode in slots.items()
        if slot.layer in layers
    }
    layers = ours.layers.keys() & theirs.layers.keys()
    if not (both or under or layers):
        return None
    return Overlap(
        edit,
        other_edit,
        slots=tuple(sorted(both | under.keys())),
        layers=tuple(sorted(layers)),
        order_counts=bool(both) or "set" in under.values(),
    )


def meeting(writes: Iterable[Writes]) -> Iterator[tuple[int, int]]:
    """Which of these meet: pairs of places in the list, the lower one first, some more than once.

    One at a time, because there can be very many.
    """
    writers: dict[NeuronId, list[int]] = defaultdict(list)
    single: dict[int, set[int]] = defaultdict(set)  # who writes slots of a layer
    whole_layers: dict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(writes):
        for slot in each.slots:
            writers[slot].append(place)
            single[slot.layer].add(place)
        for layer in each.layers:
            whole_layers[layer].append(place)
    for places in (*writers.values(), *whole_layers.values()):
        yield from combinations(places, 2)
    for layer, places in whole_layers.items():
        for pair in product(places, single[layer]):
            yield min(pair), max(pair)


def writers(edits: Mapping[str, Writes], of: Mapping[str, Writes]) -> dict[str, set[str]]:
    """For each edit in `of` those of `edits` that write some of what it writes."""
    of_slot: dict[NeuronId, set[str]] = defaultdict(set)
    inside: dict[int, set[str]] = defaultdict(set)  # those that write slots of a layer
    whole_layers: dict[int, set[str]] = defaultdict(set)
    for edit, writes in edits.items():
        for slot in writes.slots:
            of_slot[slot].add(edit)
            inside[slot.layer].add(edit)
        for layer in writes.layers:
            whole_layers[layer].add(edit)
    return {
        edit: set().union(
            *(of_slot[slot] for slot in writes.slots),
            *(whole_layers[layer] for layer in writes.in_layers),
            *(inside[layer] for layer in writes.layers),
        )
        for edit, writes in of.items()
    }
