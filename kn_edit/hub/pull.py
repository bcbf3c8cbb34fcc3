"""Fetch a published version: recipe, deltas, records. Nothing else is fetched, nothing is run.

The repository is a stranger's. Every name is derived from an id of 64 hex digits, every size has a
bound that is checked before and while the bytes come, every delta is compared with its id.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kn_edit.canonical import canonical_json, is_digest
from kn_edit.checkpoints.recipe import RECIPE, Recipe, parse_recipe
from kn_edit.edits.changes import Change
from kn_edit.edits.delta import Delta
from kn_edit.edits.kept import KeptDelta
from kn_edit.errors import DeltaMisfit, DifferentBase, HubFailed, InvalidRecipe, NoRecipe
from kn_edit.hub.client import Hub
from kn_edit.hub.manifest import (
    MOST_DELTA,
    MOST_EDITS,
    MOST_MANIFEST,
    MOST_PULLED,
    delta_path,
    record_path,
)
from kn_edit.hub.parts import Stored
from kn_edit.hub.records import MOST_RECORD, read_record
from kn_edit.ledger.records import BaseRecord, NewEdit
from kn_edit.models.families import family_of
from kn_edit.models.hub_http import sent_token

AT_ONCE = 100  # paths in one question
SMALL = 1 << 20  # bytes of a delta that is fetched beside others
TOGETHER = 64  # edits of which the small files are on their way at a time
THREADS = 8

SECONDS = 600.0  # for a pull, and in addition
SECONDS_PER_EDIT = 2.0
RATE = 10_000  # bytes a second, at least

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Receiver:
    """Where a version comes in.

    base: the model that it must be for
    known_edits: of some edit ids, those that need not be fetched
    check: raises for a change that does not fit into a weight of the base, by its name
    folder: an empty one, for the files of the deltas
    """

    base: BaseRecord
    known_edits: Callable[[Collection[str]], set[str]]
    check: Callable[[str, Change], None]
    folder: Path


@dataclass(frozen=True, eq=False)
class Fetched:
    """A version as the repository holds it. edits: those that are new, in order."""

    commit: str
    recipe: Recipe
    edits: tuple[NewEdit, ...]


def fetch(hub: Hub, revision: str, receiver: Receiver, progress: Progress) -> Fetched:
    """The recipe of a revision, and those of its edits that are not known yet.

    Raises RepoNotFound, RevisionNotFound, NoRecipe, InvalidRecipe, DifferentBase, DeltaMisfit,
    TensorMissing, DeltaDigestDiffers, InvalidDelta, NewerDeltaFormat, HubFailed, OSError.
    """
    commit = hub.commit_at(revision)
    recipe = _recipe(hub, revision, commit)
    base = receiver.base
    if recipe.base.fingerprint != base.fingerprint:
        raise DifferentBase(base.fingerprint, recipe.base.fingerprint)
    there = receiver.known_edits(recipe.edits)
    new = [edit for edit in recipe.edits if edit not in there]
    stored = _described(hub, commit, new)
    size = sum(file.size for file in stored.values())
    if size > MOST_PULLED:
        problem = f"its edits have {size:,} bytes, more than the {MOST_PULLED:,} of one pull"
        raise InvalidRecipe(Path(hub.repo, RECIPE), problem)
    deadline = time.monotonic() + SECONDS + SECONDS_PER_EDIT * len(new) + size / RATE
    fetching = _Fetching(hub, commit, stored, receiver, deadline)
    edits: list[NewEdit] = []
    for edit in fetching.edits(new):
        progress("fetching edits", len(edits), len(new))
        edits.append(edit)
    return Fetched(commit, recipe, tuple(edits))


def _recipe(hub: Hub, revision: str, commit: str) -> Recipe:
    stored = hub.stored_files([RECIPE], commit).get(RECIPE)
    if stored is None:
        raise NoRecipe(hub.repo, revision)
    path = Path(hub.repo, RECIPE)
    _check_size(stored, MOST_MANIFEST, path)
    recipe = parse_recipe(hub.read(RECIPE, commit, MOST_MANIFEST), path)
    if not is_digest(recipe.base.fingerprint):
        raise InvalidRecipe(path, "it does not say which base model it is for")
    if len(recipe.edits) > MOST_EDITS:
        raise InvalidRecipe(path, f"it lists more than {MOST_EDITS} edits")
    return recipe


def _described(hub: Hub, commit: str, edits: list[str]) -> dict[str, Stored]:
    """What the Hub says of the files of these edits. Raises InvalidRecipe for a large one."""
    limits = {delta_path(edit): MOST_DELTA for edit in edits}
    limits |= {record_path(edit): MOST_RECORD for edit in edits}
    stored: dict[str, Stored] = {}
    paths = list(limits)
    for first in range(0, len(paths), AT_ONCE):
        stored |= hub.stored_files(paths[first : first + AT_ONCE], commit)
    for path, most in limits.items():
        if path not in stored:
            raise InvalidRecipe(Path(hub.repo, path), "the recipe names it, and it is not there")
        _check_size(stored[path], most, Path(hub.repo, path))
    return {path: stored[path] for path in limits}


@dataclass(frozen=True, eq=False)
class _Fetching:
    """The edits of one pull, on their way. deadline: a moment of time.monotonic."""

    hub: Hub
    commit: str
    stored: dict[str, Stored]
    receiver: Receiver
    deadline: float

    def edits(self, ids: list[str]) -> Iterator[NewEdit]:
        """Each edit in order: small ones beside each other, a large one alone."""
        pool = ThreadPoolExecutor(THREADS)
        try:
            for group in self._groups(ids):
                yield from pool.map(self.edit, group) if len(group) > 1 else map(self.edit, group)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _groups(self, ids: list[str]) -> Iterator[list[str]]:
        group: list[str] = []
        for edit in ids:
            small = self.stored[delta_path(edit)].size <= SMALL
            if group and (not small or len(group) == TOGETHER):
                yield group
                group = []
            if small:
                group.append(edit)
            else:
                yield [edit]
        if group:
            yield group

    def edit(self, id_: str) -> NewEdit:
        """An edit whose numbers are in a file of the receiver's folder."""
        record = self._record(id_)
        data = self._read(delta_path(id_))
        delta = Delta.from_bytes(data, id_)
        self._check_slots(delta)
        kept_delta = KeptDelta.keep(delta, data, self.receiver.folder / f"{id_}.safetensors")
        return NewEdit(delta=kept_delta, **record)

    def _record(self, id_: str) -> dict[str, Any]:
        path = Path(self.hub.repo, record_path(id_))
        record = read_record(self._read(record_path(id_)), path)
        further = [asdict(fact) for fact in record.get("further", ())]
        text = canonical_json(record | {"further": further})
        if any(token.encode() in text for token in sent_token()):
            raise InvalidRecipe(path, "it holds your own token")
        return record

    def _read(self, path: str) -> bytes:
        if time.monotonic() > self.deadline:
            raise HubFailed(self.hub.repo, "sends the edits too slowly", 0)
        return self.hub.read(path, self.commit, self.stored[path].size)

    def _check_slots(self, delta: Delta) -> None:
        """A delta may write value slots, and no other weights that happen to have their shape."""
        base = self.receiver.base
        if delta.base.fingerprint != base.fingerprint:
            raise DifferentBase(base.fingerprint, delta.base.fingerprint)
        family = family_of(base.model_type)
        down = re.compile(rf"(.+\.)?\d+\.{re.escape(family.down)}\.weight")
        for name, change in delta.tensors.items():
            if not down.fullmatch(name) or change.axis != family.axis:
                raise DeltaMisfit(name, "these are no value slots of this kind of model")
            self.receiver.check(name, change)


def _check_size(stored: Stored, most: int, path: Path) -> None:
    if stored.size > most:
        raise InvalidRecipe(path, f"it has {stored.size} bytes, more than the {most} it may have")
