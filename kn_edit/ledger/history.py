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
    return tuple(id_ for id_ in recipe if id_ != edit)


def beyond(
    recipe: Sequence[str], reference: Sequence[str], lacking: Collection[str] = frozenset()
) -> tuple[str, ...]:
    """The edits of a recipe that another one lacks, in order.

    lacking: edits that are known to be such, and are not looked for
    """
    if isinstance(recipe, Recipe) and isinstance(reference, Recipe):
        common = recipe.common(reference)
        rest = tuple(recipe[common:])
        looked_for = [edit for edit in rest if edit not in lacking]
        whole = common == len(reference)  # it goes on from the other one, and nothing stands twice
        shared: Collection[str] = () if whole else reference.places(looked_for)
    else:
        rest, shared = tuple(recipe), set(reference)
    return tuple(edit for edit in rest if edit not in shared)


def difference(
    first: Sequence[str], second: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The edits that only the first recipe has, those that only the other one has, and moved ones.

    All edits that are none of these stand in both recipes in the same order.
    """
    steps, turned = changes(first, second), False
    if len(steps) > _MOST_RUNS:  # one that lacks an early edit is told in few steps from one side
        back = changes(second, first)
        turned = len(back) < len(steps)
        steps = back if turned else steps
    dropped = dict.fromkeys(edit for edit, added in steps if not added)
    appended = dict.fromkeys(edit for edit, added in steps if added)
    gone = tuple(edit for edit in dropped if edit not in appended)
    new = tuple(edit for edit in appended if edit not in dropped)
    moved = tuple(edit for edit in dropped if edit in appended)
    return (new, gone, moved) if turned else (gone, new, moved)


def with_edit(recipe: Recipe, edit: str, replacing: str | None = None) -> Recipe:
    """The recipe with a new edit: last, or in the place of another one."""
    if replacing is None:
        return recipe.appended((edit,))
    place = recipe.index(replacing)
    return recipe[:place].appended((edit, *recipe[place + 1 :]))


def composed(recipes: Sequence[Edits]) -> Edits:
    """The first recipe, then what the others have beyond it, in their order."""
    result, *further = recipes
    for recipe in further:
        result = result + beyond(recipe, result)
    return result


def changes(parent: Sequence[str], recipe: Sequence[str]) -> list[tuple[str, bool]]:
    """What turns a recipe into another one: edits to drop (False), then edits to append (True)."""
    if isinstance(parent, Recipe) and isinstance(recipe, Recipe):
        return _packed_changes(parent, recipe)
    place = {edit: number for number, edit in enumerate(parent)}
    prefix_length, last = 0, -1
    for edit in recipe:  # the longest beginning whose edits stand in the parent in this order
        if place.get(edit, -1) <= last:
            break
        prefix_length, last = prefix_length + 1, place[edit]
    stay = set(recipe[:prefix_length])
    dropped = [(edit, False) for edit in parent if edit not in stay]
    return dropped + [(edit, True) for edit in recipe[prefix_length:]]


def _packed_changes(parent: Recipe, recipe: Recipe) -> list[tuple[str, bool]]:
    """Changes between two packed recipes, run by run: what is equal is compared as bytes."""
    gaps: list[slice] = []  # what the parent has and the recipe lacks
    prefix_length = place = parent.common(recipe)
    for _ in range(_MOST_RUNS):
        if prefix_length == len(recipe):
            break
        following = parent.places((recipe[prefix_length],)).get(recipe[prefix_length], -1)
        if following < place:
            break
        gaps.append(slice(place, following))
        run = parent.run(following, recipe, prefix_length)
        prefix_length, place = prefix_length + run, following + run
    else:
        return changes(tuple(parent), tuple(recipe))
    gaps.append(slice(place, len(parent)))
    dropped = [(edit, False) for gap in gaps for edit in parent[gap]]
    return dropped + [(edit, True) for edit in recipe[prefix_length:]]


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
    return _overlaps(((edit, later_edit) for later_edit in later), writes_of)


def overlaps_before(recipe: Sequence[str], edit: str, writes_of: WritesOf) -> tuple[Overlap, ...]:
    """Edits of a recipe whose slots a new edit, to be put after them, writes too."""
    return _overlaps(((edit, earlier_edit) for earlier_edit in recipe), writes_of)


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
    return _overlaps(((order[first], order[second]) for first, second in sorted(pairs)), writes_of)


def _overlaps(pairs: Iterable[tuple[str, str]], writes_of: WritesOf) -> tuple[Overlap, ...]:
    overlaps = (overlap(first, second, writes_of) for first, second in pairs)
    return tuple(each for each in overlaps if each is not None)


def differing_slots(
    a: Sequence[str], b: Sequence[str], writes_of: WritesOf
) -> tuple[NeuronId, ...]:
    """Slots, written by themselves, that two recipes write in different ways, sorted.

    Of a layer that differs as a whole (`differing_layers`) only those that differ without it.
    """
    whole_layers = {each.layer for each in differing_layers(a, b, writes_of)}
    writers_a, writers_b = (_writers(recipe, writes_of, whole_layers) for recipe in (a, b))
    slots = writers_a.keys() | writers_b.keys()
    return tuple(sorted(slot for slot in slots if writers_a.get(slot) != writers_b.get(slot)))


def differing_layers(
    a: Sequence[str], b: Sequence[str], writes_of: WritesOf
) -> tuple[LayerDifference, ...]:
    """Layers that two recipes change at low rank, by other edits or in another order, sorted."""
    edits_a, edits_b = (_low_rank(recipe, writes_of) for recipe in (a, b))
    return tuple(
        LayerDifference(
            layer, *(_rank(edits[layer], layer, writes_of) for edits in (edits_a, edits_b))
        )
        for layer in sorted(edits_a.keys() | edits_b.keys())
        if edits_a[layer] != edits_b[layer]
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
