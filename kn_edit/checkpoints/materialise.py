"""From a base checkpoint and a list of deltas to full weights, a tensor at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from kn_edit.atomic import sync
from kn_edit.canonical import digest
from kn_edit.checkpoints.folders import (
    copy_file,
    files_below,
    new_folder,
    refuse_inside,
    refuse_links,
)
from kn_edit.checkpoints.form import Export
from kn_edit.checkpoints.slots import raw_bytes, read_slots, write_slots
from kn_edit.edits.changes import TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.fold import fold_weight, folded_slots, touched
from kn_edit.errors import BaseChanged, ExportDiffers
from kn_edit.models.companions import COMPANIONS
from kn_edit.models.shards import INDEX, SINGLE, Progress, Shards, index_of

BESIDE = (*COMPANIONS, "LICENSE*", "NOTICE*")  # what travels with the weights, and nothing else


@dataclass(frozen=True)
class Checks:
    """What the tensors of an export must be: those of the base, then those that are recorded."""

    expected: Mapping[str, str]  # sha256 of each touched tensor
    fingerprint: str | None = None

    def compare_base(self, base: Shards, copy: Shards) -> None:
        """Raise BaseChanged where a copy is not that of the base, touched tensors or not."""
        if self.fingerprint is not None:
            actual = copy.fingerprint()
            if actual != self.fingerprint:
                raise BaseChanged(base.folder, self.fingerprint, actual)

    def compare_touched(self, copy: Shards) -> None:
        """Raise ExportDiffers where a touched tensor is not as it is recorded."""
        for name, expected in self.expected.items():
            for actual in copy.digests(name):
                if actual != expected:
                    raise ExportDiffers(name, expected, actual)


def digests(base: Shards, deltas: Sequence[Delta]) -> dict[str, str]:
    """sha256 of the bytes of every touched tensor once folded, by name.

    One tensor is in memory at a time. Raises TensorMissing, DeltaMisfit, SlotOverflow.
    """
    sha256_by_name = {}
    for name in touched(deltas):
        folded = fold_weight(base.read(name), name, deltas)
        sha256_by_name[name] = digest(raw_bytes(folded))
    return sha256_by_name


def export_checkpoint(
    base: Shards,
    deltas: Sequence[Delta],
    target: Path,
    *,
    expected: Mapping[str, str] | None = None,
    follow_links: bool = False,
    fingerprint: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the base with the deltas folded in to a new folder, which from_pretrained loads.

    Every file of the base is copied as it is; then the bytes of the touched slots, and no others,
    are rewritten in the copy. Only those slots of one weight are in memory at a time. The folder
    appears when it is whole, on disk and, where `expected` gives digests, compared with them.

    fingerprint: what the copied tensors must have before they are edited; else BaseChanged. Sizes
        and times of files do not tell of a disk that fails, or of a copy that keeps them.
    follow_links: copy also what links of the base's folder point at outside of it
    Raises TargetNotEmpty, TargetInsideCheckpoint, CannotWrite, LinkLeadsOutside, ExportDiffers,
    TensorMissing, DeltaMisfit, SlotOverflow.
    """
    files = list(files_below(base.folder, follow_links=follow_links))
    return _write(
        base,
        deltas,
        target=target,
        files=files,
        checks=Checks(expected or {}, fingerprint),
        progress=progress,
    )


def export_touched(
    base: Shards,
    deltas: Sequence[Delta],
    target: Path,
    *,
    expected: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write only the weight files that the deltas change. Raises as `export_checkpoint`."""
    files = [
        Path(file)
        for file in sorted({file for name in touched(deltas) for file in base.files(name)})
    ]
    return _write(
        base,
        deltas,
        target=target,
        files=files,
        checks=Checks(expected or {}),
        progress=progress,
    )


def checkpoint_files(export: Export, scratch: Path) -> dict[str, bytes | Path]:
    """The files of a version's checkpoint that are published, by name.

    scratch: a folder that does not exist yet; the weight files that differ from the base go there
    Raises LinkLeadsOutside, CannotWrite, BaseChanged, ExportDiffers, DeltaMisfit, SlotOverflow.
    """
    shards = export.shards
    names = published_names(shards)
    if not export.options.follow_links:
        refuse_links(shards.folder, names)
    fingerprint = shards.fingerprint()  # what no edit touches goes out as it lies here
    if fingerprint != export.base.fingerprint:
        raise BaseChanged(shards.folder, export.base.fingerprint, fingerprint)
    expected, progress = export.digests, export.progress
    export_touched(shards, export.deltas, scratch, expected=expected, progress=progress)
    changed = {path.name for path in scratch.iterdir()}
    return {name: (scratch if name in changed else shards.folder) / name for name in names}


def published_names(shards: Shards) -> list[str]:
    """The files of a checkpoint that are published: weights, config, tokenizer, license.

    The folder may hold more, such as notes or optimizer states: those stay at home.
    """
    used = set(shards.weight_files)
    names = sorted(path.name for path in shards.folder.iterdir() if path.is_file())
    if SINGLE not in names:  # transformers finds the shards by it, those without tensors too
        used |= {INDEX, *index_of(shards.folder).values()}
    return [
        name for name in names if name in used or any(fnmatch(name, pattern) for pattern in BESIDE)
    ]


def _write(
    base: Shards,
    deltas: Sequence[Delta],
    target: Path,
    files: Sequence[Path],
    checks: Checks,
    progress: Progress | None,
) -> Path:
    slots = touched(deltas)
    for name, where in slots.items():
        entry = base.entry(name)
        where.check_fit(name, entry.shape, entry.torch_dtype)
    refuse_inside(target, base.folder)
    with new_folder(target) as partial:
        _copy(base.folder, partial, files, progress)
        copy = Shards(partial, base.entries, base.copies)
        checks.compare_base(base, copy)
        for name, where in slots.items():
            _rewrite(copy, name, where, deltas)
        for file in files:
            sync(partial / file)
        checks.compare_touched(copy)
    return target


def _copy(source: Path, target: Path, files: Sequence[Path], progress: Progress | None) -> None:
    total = sum((source / file).stat().st_size for file in files)
    done = 0

    def moved(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    for file in files:
        copy_file(source / file, target / file, moved)


def _rewrite(copy: Shards, name: str, where: TouchedSlots, deltas: Sequence[Delta]) -> None:
    """Fold the deltas into the slots of one tensor, in each file that holds it."""
    for entry in copy.places(name):
        descriptor = os.open(copy.folder / entry.file, os.O_RDWR)
        try:
            rows = read_slots(descriptor, entry, where)  # (n, d_model)
            write_slots(descriptor, entry, where, folded_slots(rows, name, where.index, deltas))
        finally:
            os.close(descriptor)
