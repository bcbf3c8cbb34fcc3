"""The files of a version as it is published, in each form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kn_edit.checkpoints.recipe import RECIPE, Recipe
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import NotPublishable
from kn_edit.hub.manifest import (
    MOST_DELTA,
    MOST_EDITS,
    MOST_PULLED,
    PUBLISHED,
    Published,
    delta_path,
    record_path,
)
from kn_edit.hub.parts import Part
from kn_edit.hub.records import check_publishable, record_json
from kn_edit.ledger.records import BaseRecord, EditRecord, VersionRecord

CARD = "README.md"


@dataclass(frozen=True, eq=False)
class Version:
    """A version to publish, with all that is known of it."""

    base: BaseRecord
    record: VersionRecord
    edits: tuple[EditRecord, ...]  # in order
    deltas: tuple[Delta, ...]

    @property
    def ref(self) -> BaseRef:
        return BaseRef(self.base.repo, self.base.revision, self.base.fingerprint)


def check_version(version: Version) -> None:
    """Raise NotPublishable where `pull` would refuse what `push` would publish."""
    if len(version.edits) > MOST_EDITS:
        raise NotPublishable(version.edits[-1].id, f"it has more than {MOST_EDITS:,} before it")
    size = 0
    for edit, delta in zip(version.edits, version.deltas, strict=True):
        check_publishable(edit)
        numbers = delta.nbytes
        size += numbers
        if numbers > MOST_DELTA or size > MOST_PULLED:
            raise NotPublishable(edit.id, f"with it there are {size:,} bytes of numbers")


def with_history(
    version: Version, form: str, files: Mapping[str, bytes | Path], card: bytes
) -> dict[str, Part]:
    """These files and the card, recipe, deltas and records of the version beside them."""
    recipe = Recipe(version.ref, tuple(version.record.edits)).to_json()
    parts = {path: Part(data) for path, data in files.items()}
    contents = {**parts, CARD: Part(card), RECIPE: Part(recipe.encode())}
    for edit, delta in zip(version.edits, version.deltas, strict=True):
        contents[delta_path(edit.id)] = Part(delta.to_bytes())
        contents[record_path(edit.id)] = Part(record_json(edit))
    digests = {path: part.sha256 for path, part in sorted(contents.items())}
    return {**contents, PUBLISHED: Part(Published(version.record.id, form, digests).to_json())}
