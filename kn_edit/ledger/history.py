"""History without disk or database: what recipes are, and how they change.

A recipe is the list of edits of a version. The functions that must know what an edit writes
take a callable, so they work on anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations

from kn_edit.ledger.records import Overlap
from kn_edit.neuron import NeuronId

Recipe = tuple[str, ...]
SlotsOf = Callable[[str], Collection[NeuronId]]
ModesOf = Callable[[str], Mapping[NeuronId, str]]


def canonical(value: object) -> bytes:
    """The one JSON text of a value that ids and hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def version_id(fingerprint: str, recipe: Sequence[str]) -> str:
    """The id of a version, the same in every ledger: sha256 of its base and its recipe."""
    return hashlib.sha256(canonical({"base": fingerprint, "edits": list(recipe)})).hexdigest()


def without(recipe: Recipe, edit: str) -> Recipe:
    """The recipe that lacks one edit, wherever it stands."""
    return tuple(other for other in recipe if other != edit)


def composed(recipes: Sequence[Recipe]) -> Recipe:
    """The first recipe, then what the others have beyond it, in their order."""
    return tuple(dict.fromkeys(edit for recipe in recipes for edit in recipe))


def overlaps_after(recipe: Recipe, edit: str, slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Edits that come after `edit` in the recipe and write some of its slots."""
    later = recipe[recipe.index(edit) + 1 :]
    return _overlaps(((edit, other) for other in later), slots_of)


def overlaps_before(recipe: Recipe, edit: str, slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Edits of a recipe whose slots a new edit, to be put after them, writes too."""
    return _overlaps(((edit, other) for other in recipe), slots_of)


def overlaps_between(recipes: Sequence[Recipe], slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Overlapping edits that meet for the first time: no single recipe has both."""
    together = {pair for recipe in recipes for pair in combinations(sorted(recipe), 2)}
    pairs = combinations(composed(recipes), 2)
    return _overlaps((pair for pair in pairs if (min(pair), max(pair)) not in together), slots_of)


def differing_slots(a: Recipe, b: Recipe, modes_of: ModesOf) -> tuple[NeuronId, ...]:
    """Slots that two recipes write in different ways, sorted."""
    writes_a, writes_b = _writes(a, modes_of), _writes(b, modes_of)
    slots = writes_a.keys() | writes_b.keys()
    return tuple(sorted(slot for slot in slots if writes_a.get(slot) != writes_b.get(slot)))


def _writes(recipe: Recipe, modes_of: ModesOf) -> dict[NeuronId, list[str]]:
    """The edits that make each slot's value, in order; a `set` hides what came before it."""
    writes: dict[NeuronId, list[str]] = {}
    for edit in recipe:
        for slot, mode in modes_of(edit).items():
            earlier = writes.get(slot, []) if mode == "add" else []
            writes[slot] = [*earlier, edit]
    return writes


def _overlaps(pairs: Iterable[tuple[str, str]], slots_of: SlotsOf) -> tuple[Overlap, ...]:
    found = []
    for edit, other in pairs:
        common = tuple(sorted({*slots_of(edit)} & {*slots_of(other)}))
        if common:
            found.append(Overlap(edit, other, common))
    return tuple(found)
