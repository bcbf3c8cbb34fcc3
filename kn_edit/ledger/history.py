"""History without disk or database: what recipes are, and how they change.

A recipe is the list of edits of a version: a packed one, or a tuple. The functions that must know
what an edit writes take a callable, so they work on anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from kn_edit.canonical import canonical_json, digest
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import LayerDifference, Overlap
from kn_edit.ledger.writes import WritesOf, meeting, overlap
from kn_edit.neuron import NeuronId

Edits = TypeVar("Edits", Recipe, tuple[str, ...])
_MOST_RUNS = 32  # runs of equal edits that are looked for as bytes; beyond, edits are as quick


def version_id(fingerprint: str, recipe: Sequence[str]) -> str:
    """The id of a version, the same in every ledger: sha256 of its base and its recipe."""
    if isinstance(recipe, Recipe):
        return recipe.version_id(fingerprint)
    return digest(canonical_json({"base": fingerprint, "edits": list(recipe)}))


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


def overlaps_after(recipe: tuple[str, ...], edit: str, writes_of: WritesOf) -> tuple[Overlap, ...]:
    """Edits that come after `edit` in the recipe and write some of its slots."""
    later = recipe[recipe.index(edit) + 1 :]
    return _overlaps(((edit, other) for other in later), writes_of)


def overlaps_before(recipe: Sequence[str], edit: str, writes_of: WritesOf) -> tuple[Overlap, ...]:
    """Edits of a recipe whose slots a new edit, to be put after them, writes too."""
    return _overlaps(((edit, other) for other in recipe), writes_of)


def overlaps_between(
    recipes: Sequence[tuple[str, ...]], writes_of: WritesOf
) -> tuple[Overlap, ...]:
    """Overlapping edits that meet for the first time: no single recipe has both."""
    members = [frozenset(recipe) for recipe in recipes]
    order = composed(recipes)
    within = [sum(1 << n for n, edits in enumerate(members) if edit in edits) for edit in order]
    pairs = {
        pair for pair in meeting(map(writes_of, order)) if not within[pair[0]] & within[pair[1]]
    }
    return _overlaps(((order[one], order[other]) for one, other in sorted(pairs)), writes_of)


def _overlaps(pairs: Iterable[tuple[str, str]], writes_of: WritesOf) -> tuple[Overlap, ...]:
    found = (overlap(edit, other, writes_of) for edit, other in pairs)
    return tuple(one for one in found if one is not None)


def differing_slots(
    a: Sequence[str], b: Sequence[str], writes_of: WritesOf
) -> tuple[NeuronId, ...]:
    """Slots, written by themselves, that two recipes write in different ways, sorted.

    Of a layer that differs as a whole (`differing_layers`) only those that differ without it.
    """
    whole = {each.layer for each in differing_layers(a, b, writes_of)}
    one, other = (_writers(recipe, writes_of, whole) for recipe in (a, b))
    slots = one.keys() | other.keys()
    return tuple(sorted(slot for slot in slots if one.get(slot) != other.get(slot)))


def differing_layers(
    a: Sequence[str], b: Sequence[str], writes_of: WritesOf
) -> tuple[LayerDifference, ...]:
    """Layers that two recipes change at low rank, by other edits or in another order, sorted."""
    one, other = (_low_rank(recipe, writes_of) for recipe in (a, b))
    return tuple(
        LayerDifference(layer, *(_rank(edits[layer], layer, writes_of) for edits in (one, other)))
        for layer in sorted(one.keys() | other.keys())
        if one[layer] != other[layer]
    )


def _writers(
    recipe: Sequence[str], writes_of: WritesOf, without: Collection[int]
) -> dict[NeuronId, list[str]]:
    """The edits that make each slot's value, in order; a `set` hides what came before it.

    Slots that no edit writes by themselves are left out; without: layers whose low-rank changes are
    """
    writers: dict[NeuronId, list[str]] = {}
    single: dict[int, set[NeuronId]] = defaultdict(set)  # the slots above, by layer
    before: dict[int, list[str]] = defaultdict(list)  # low-rank changes so far, by layer
    for edit in recipe:
        writes = writes_of(edit)
        for slot, mode in writes.slots.items():
            if mode != "add":
                writers[slot] = []
            elif slot not in writers:
                writers[slot] = [*before[slot.layer]]
            writers[slot].append(edit)
            single[slot.layer].add(slot)
        for layer in writes.layers.keys() - {*without}:
            before[layer].append(edit)
            for slot in single[layer]:
                writers[slot].append(edit)
    return writers


def _low_rank(recipe: Sequence[str], writes_of: WritesOf) -> defaultdict[int, list[str]]:
    """The edits that change each layer at low rank, in order."""
    edits: defaultdict[int, list[str]] = defaultdict(list)
    for edit in recipe:
        for layer in writes_of(edit).layers:
            edits[layer].append(edit)
    return edits


def _rank(edits: Sequence[str], layer: int, writes_of: WritesOf) -> int:
    return sum(writes_of(edit).layers[layer] for edit in edits)
