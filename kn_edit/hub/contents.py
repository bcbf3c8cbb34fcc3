"""The files of a version as it is published, in each form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kn_edit.checkpoints.adapter import adapter_files
from kn_edit.checkpoints.folders import refuse_links
from kn_edit.checkpoints.materialise import export_touched
from kn_edit.checkpoints.recipe import RECIPE, Recipe
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import BaseChanged, NotPublishable
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
from kn_edit.models.companions import COMPANIONS
from kn_edit.models.families import family_of
from kn_edit.models.shards import INDEX, SINGLE, Progress, Shards, index_of

CARD = "README.md"
BESIDE = (*COMPANIONS, "LICENSE*", "NOTICE*")  # what travels with the weights, and nothing else


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


def weights(
    version: Version,
    form: str,
    shards: Shards,
    scratch: Path,
    *,
    most_rank: int | None = None,
    follow_links: bool = False,
    progress: Progress | None = None,
) -> dict[str, Part]:
    """What a model is loaded from: a whole checkpoint, an adapter, or nothing for `delta`.

    scratch: a folder that does not exist yet; the weight files that differ from the base go there
    follow_links: whether the files may be links that lead out of the base's folder
    Raises LinkLeadsOutside, RankTooHigh, NothingToExport, CannotWrite, BaseChanged, ExportDiffers,
    DeltaMisfit, SlotOverflow.
    """
    if form == "delta":
        return {}
    if form == "adapter":
        family = family_of(version.base.model_type)
        made = adapter_files(shards, version.ref, family, version.deltas, most_rank)
        return {name: Part(data) for name, data in made.items()}
    names = base_files(shards)
    if not follow_links:
        refuse_links(shards.folder, names)
    fingerprint = shards.fingerprint()  # what no edit touches goes out as it lies here
    if fingerprint != version.base.fingerprint:
        raise BaseChanged(shards.folder, version.base.fingerprint, fingerprint)
    expected = version.record.digests
    export_touched(shards, version.deltas, scratch, expected=expected, progress=progress)
    changed = {path.name for path in scratch.iterdir()}
    return {name: Part((scratch if name in changed else shards.folder) / name) for name in names}


def base_files(shards: Shards) -> list[str]:
    """The files of a checkpoint that are published: weights, config, tokenizer, licence.

    The folder may hold more, such as notes or optimizer states: those stay at home.
    """
    used = set(shards.weight_files)
    names = sorted(path.name for path in shards.folder.iterdir() if path.is_file())
    if SINGLE not in names:  # transformers finds the shards by it, those without tensors too
        used |= {INDEX, *index_of(shards.folder).values()}
    return [name for name in names if name in used or any(fnmatch(name, known) for known in BESIDE)]


def with_history(
    version: Version, form: str, parts: Mapping[str, Part], card: bytes
) -> dict[str, Part]:
    """These files and the card, recipe, deltas and records of the version beside them."""
    recipe = Recipe(version.ref, tuple(version.record.edits)).to_json()
    found = {**parts, CARD: Part(card), RECIPE: Part(recipe.encode())}
    for edit, delta in zip(version.edits, version.deltas, strict=True):
        found[delta_path(edit.id)] = Part(delta.to_bytes())
        found[record_path(edit.id)] = Part(record_json(edit))
    files = {path: part.sha256 for path, part in sorted(found.items())}
    return {**found, PUBLISHED: Part(Published(version.record.id, form, files).to_json())}
