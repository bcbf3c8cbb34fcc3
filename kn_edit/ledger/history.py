"""History without disk or database: what recipes are, and how they change.

A recipe is the list of edits of a version: a packed one, or a tuple. The functions that must know
what an edit writes take a callable, so they work on anything.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypeVar

from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import Overlap
from kn_edit.neuron import NeuronId

Edits = TypeVar("Edits", Recipe, tuple[str, ...])
SlotsOf = Callable[[str], Collection[NeuronId]]
ModesOf = Callable[[str], Mapping[NeuronId, str]]
_MOST_RUNS = 32  # runs of equal edits that are looked for as bytes; beyond, edits are as quick


def canonical(value: object) -> bytes:
    """The one JSON text of a value that ids and hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def version_id(fingerprint: str, recipe: Sequence[str]) -> str:
    """The id of a version, the same in every ledger: sha256 of its base and its recipe."""
    if isinstance(recipe, Recipe):
        return recipe.version_id(fingerprint)
    return hashlib.sha256(canonical({"base": fingerprint, "edits": list(recipe)})).hexdigest()


def without(recipe: Edits, edit: str) -> Edits:
    """The recipe that lacks one edit, wherever it stands."""
    if isinstance(recipe, Recipe):
        return recipe.without((edit,))
    return tuple(other for other in recipe if other != edit)


def beyond(recipe: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """The edits of a recipe that another one lacks, in order."""
    if isinstance(recipe, Recipe) and isinstance(other, Recipe):
        rest = tuple(recipe[recipe.common(other) :])
        shared: Collection[str] = other.places(rest)
    else:
        rest, shared = tuple(recipe), set(other)
    return tuple(edit for edit in rest if edit not in shared)


def difference(
    one: Sequence[str], other: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The edits that only the first recipe has, those that only the other one has, and moved ones.

    All edits that are none of these stand in both recipes in the same order.
    """
    steps, turned = changes(one, other), False
    if len(steps) > _MOST_RUNS:  # one that lacks an early edit is told in few steps from one side
        back = changes(other, one)
        turned = len(back) < len(steps)
        steps = back if turned else steps
    dropped = dict.fromkeys(edit for edit, added in steps if not added)
    appended = dict.fromkeys(edit for edit, added in steps if added)
    gone = tuple(edit for edit in dropped if edit not in appended)
    new = tuple(edit for edit in appended if edit not in dropped)
    moved = tuple(edit for edit in dropped if edit in appended)
    return (new, gone, moved) if turned else (gone, new, moved)


def composed(recipes: Sequence[Edits]) -> Edits:
    """The first recipe, then what the others have beyond it, in their order."""
    result, *others = recipes
    for other in others:
        result = result + beyond(other, result)
    return result


def changes(parent: Sequence[str], recipe: Sequence[str]) -> list[tuple[str, bool]]:
    """What turns a recipe into another one: edits to drop (False), then edits to append (True)."""
    if isinstance(parent, Recipe) and isinstance(recipe, Recipe):
        return _packed_changes(parent, recipe)
    place = {edit: number for number, edit in enumerate(parent)}
    kept, last = 0, -1
    for edit in recipe:  # the longest beginning whose edits stand in the parent in this order
        if place.get(edit, -1) <= last:
            break
        kept, last = kept + 1, place[edit]
    stay = set(recipe[:kept])
    dropped = [(edit, False) for edit in parent if edit not in stay]
    return dropped + [(edit, True) for edit in recipe[kept:]]


def _packed_changes(parent: Recipe, recipe: Recipe) -> list[tuple[str, bool]]:
    """The same changes, found run by run: what is equal in both is compared as bytes."""
    gaps: list[slice] = []  # what the parent has and the recipe lacks
    kept = place = parent.common(recipe)
    for _ in range(_MOST_RUNS):
        if kept == len(recipe):
            break
        following = parent.places((recipe[kept],)).get(recipe[kept], -1)
        if following < place:
            break
        gaps.append(slice(place, following))
        run = parent.run(following, recipe, kept)
        kept, place = kept + run, following + run
    else:
        return changes(tuple(parent), tuple(recipe))
    gaps.append(slice(place, len(parent)))
    dropped = [(edit, False) for gap in gaps for edit in parent[gap]]
    return dropped + [(edit, True) for edit in recipe[kept:]]


def changed(recipe: Iterable[str], steps: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """The recipe after dropping (False) and appending (True) edits, one after the other."""
    edits = dict.fromkeys(recipe)
    for edit, added in steps:
        edits.pop(edit, None)
        if added:
            edits[edit] = None
    return tuple(edits)


def overlaps_after(recipe: tuple[str, ...], edit: str, slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Edits that come after `edit` in the recipe and write some of its slots."""
    later = recipe[recipe.index(edit) + 1 :]
    return _overlaps(((edit, other) for other in later), slots_of)


def overlaps_before(recipe: Sequence[str], edit: str, slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Edits of a recipe whose slots a new edit, to be put after them, writes too."""
    return _overlaps(((edit, other) for other in recipe), slots_of)


def overlaps_between(recipes: Sequence[tuple[str, ...]], slots_of: SlotsOf) -> tuple[Overlap, ...]:
    """Overlapping edits that meet for the first time: no single recipe has both."""
    members = [frozenset(recipe) for recipe in recipes]
    order = composed(recipes)
    writers: dict[NeuronId, list[int]] = defaultdict(list)
    for place, edit in enumerate(order):
        for slot in slots_of(edit):
            writers[slot].append(place)
    common: dict[tuple[int, int], list[NeuronId]] = defaultdict(list)
    for slot in sorted(writers):
        for pair in combinations(writers[slot], 2):
            if not any(order[pair[0]] in edits and order[pair[1]] in edits for edits in members):
                common[pair].append(slot)
    return tuple(
        Overlap(order[first], order[second], tuple(common[first, second]))
        for first, second in sorted(common)
    )


def differing_slots(a: Sequence[str], b: Sequence[str], modes_of: ModesOf) -> tuple[NeuronId, ...]:
    """Slots that two recipes write in different ways, sorted."""
    writes_a, writes_b = _writes(a, modes_of), _writes(b, modes_of)
    slots = writes_a.keys() | writes_b.keys()
    return tuple(sorted(slot for slot in slots if writes_a.get(slot) != writes_b.get(slot)))


def _writes(recipe: Sequence[str], modes_of: ModesOf) -> dict[NeuronId, list[str]]:
    """The edits that make each slot's value, in order; a `set` hides what came before it."""
    writes: dict[NeuronId, list[str]] = {}
    for edit in recipe:
        for slot, mode in modes_of(edit).items():
            if mode != "add":
                writes[slot] = []
            writes.setdefault(slot, []).append(edit)
    return writes


def _overlaps(pairs: Iterable[tuple[str, str]], slots_of: SlotsOf) -> tuple[Overlap, ...]:
    found = []
    for edit, other in pairs:
        common = tuple(sorted({*slots_of(edit)} & {*slots_of(other)}))
        if common:
            found.append(Overlap(edit, other, common))
    return tuple(found)
