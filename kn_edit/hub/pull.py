"""Fetch a published version: recipe, deltas, records. Nothing else is fetched, nothing is run.

The repository is a stranger's. Every name is derived from an id of 64 hex digits, every size has a
bound that is checked before and while the bytes come, every delta is compared with its id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from kn_edit.checkpoints.recipe import RECIPE, Recipe, parse_recipe
from kn_edit.edits.delta import Delta
from kn_edit.errors import DeltaMisfit, DifferentBase, InvalidRecipe, NoRecipe
from kn_edit.hub.client import Hub
from kn_edit.hub.manifest import (
    MOST_DELTA,
    MOST_EDITS,
    MOST_MANIFEST,
    MOST_RECORD,
    delta_path,
    is_sha256,
    read_record,
    record_path,
)
from kn_edit.hub.parts import Stored
from kn_edit.ledger.history import canonical
from kn_edit.ledger.records import BaseRecord, NewEdit
from kn_edit.models.families import family_of
from kn_edit.models.hub_http import tokens_in_use

AT_ONCE = 100  # paths in one question

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Fetched:
    """A version as the repository holds it. edits: those that were asked for, in order."""

    commit: str
    recipe: Recipe
    edits: tuple[NewEdit, ...]


def fetch(
    hub: Hub,
    revision: str,
    base: BaseRecord,
    known: Callable[[Collection[str]], set[str]],
    progress: Progress,
) -> Fetched:
    """The recipe of a revision, and those of its edits that are not known yet.

    base: which the recipe must be for
    known: of some edit ids, those that need not be fetched
    Raises RepoNotFound, RevisionNotFound, NoRecipe, InvalidRecipe, DifferentBase, DeltaMisfit,
    DeltaDigestDiffers, InvalidDelta, NewerDeltaFormat, HubFailed.
    """
    commit = hub.commit_at(revision)
    recipe = _recipe(hub, revision, commit)
    if recipe.base.fingerprint != base.fingerprint:
        raise DifferentBase(base.fingerprint, recipe.base.fingerprint)
    there = known(recipe.edits)
    new = [edit for edit in recipe.edits if edit not in there]
    stored = _described(hub, commit, new)
    edits = []
    for done, edit in enumerate(new):
        progress("fetching edits", done, len(new))
        edits.append(_edit(hub, commit, edit, stored))
        _check_slots(edits[-1].delta, base)
    return Fetched(commit, recipe, tuple(edits))


def _recipe(hub: Hub, revision: str, commit: str) -> Recipe:
    stored = hub.some([RECIPE], commit).get(RECIPE)
    if stored is None:
        raise NoRecipe(hub.repo, revision)
    path = Path(hub.repo, RECIPE)
    _check_size(stored, MOST_MANIFEST, path)
    recipe = parse_recipe(hub.read(RECIPE, commit, MOST_MANIFEST), path)
    if not is_sha256(recipe.base.fingerprint):
        raise InvalidRecipe(path, "it does not say which base model it is for")
    if len(recipe.edits) > MOST_EDITS:
        raise InvalidRecipe(path, f"it lists more than {MOST_EDITS} edits")
    return recipe


def _described(hub: Hub, commit: str, edits: list[str]) -> dict[str, Stored]:
    """What the Hub says of the files of these edits. Raises InvalidRecipe for a large one."""
    limits = {delta_path(edit): MOST_DELTA for edit in edits}
    limits |= {record_path(edit): MOST_RECORD for edit in edits}
    found: dict[str, Stored] = {}
    paths = list(limits)
    for first in range(0, len(paths), AT_ONCE):
        found |= hub.some(paths[first : first + AT_ONCE], commit)
    for path, most in limits.items():
        if path not in found:
            raise InvalidRecipe(Path(hub.repo, path), "the recipe names it, and it is not there")
        _check_size(found[path], most, Path(hub.repo, path))
    return found


def _edit(hub: Hub, commit: str, edit: str, stored: dict[str, Stored]) -> NewEdit:
    numbers, told = delta_path(edit), record_path(edit)
    delta = Delta.from_bytes(hub.read(numbers, commit, stored[numbers].size), edit)
    path = Path(hub.repo, told)
    facts = read_record(hub.read(told, commit, stored[told].size), path)
    if any(token.encode() in canonical(facts) for token in tokens_in_use()):
        raise InvalidRecipe(path, "it holds your own token")
    return NewEdit(delta=delta, **facts)


def _check_slots(delta: Delta, base: BaseRecord) -> None:
    """A delta may write value slots, and no other weights that happen to have their shape."""
    if delta.base.fingerprint != base.fingerprint:
        raise DifferentBase(base.fingerprint, ascii(delta.base.fingerprint)[1:-1])
    family = family_of(base.model_type)
    down = re.compile(rf"(.+\.)?\d+\.{re.escape(family.down)}\.weight")
    for name, changes in delta.tensors.items():
        if not down.fullmatch(name) or changes.axis != family.axis:
            raise DeltaMisfit(ascii(name)[1:-1], "these are no value slots of this kind of model")


def _check_size(stored: Stored, most: int, path: Path) -> None:
    if stored.size > most:
        raise InvalidRecipe(path, f"it has {stored.size} bytes, more than the {most} it may have")
