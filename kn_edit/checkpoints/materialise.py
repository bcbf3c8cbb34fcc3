"""From a base checkpoint and a list of deltas to full weights, a tensor at a time."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from kn_edit.atomic import sync
from kn_edit.checkpoints.digests import slots_digest
from kn_edit.checkpoints.folders import (
    copy_file,
    files_below,
    new_folder,
    refuse_inside,
    refuse_links,
)
from kn_edit.checkpoints.form import Export
from kn_edit.checkpoints.slots import read_slots, slots_at, write_slots
from kn_edit.edits.changes import TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.fold import folded_slots, touched
from kn_edit.errors import BaseChanged, ExportDiffers
from kn_edit.models.companions import COMPANIONS
from kn_edit.models.hashing import TensorHasher
from kn_edit.models.header import Entry
from kn_edit.models.shards import INDEX, SINGLE, Progress, Shards, index_of

BESIDE = (*COMPANIONS, "LICENSE*", "NOTICE*")  # what travels with the weights, and nothing else


@dataclass(frozen=True)
class Checks:
    """What the tensors of an export must be: those of the base, then those that are recorded.

    expected: digest of each touched tensor as a ledger holds it, see `digests`
    fingerprint: of the whole base; unedited: else, sha256 of the base's touched tensors
    """

    expected: Mapping[str, str]
    fingerprint: str | None = None
    unedited: Mapping[str, str] = field(default_factory=dict)

    def hashed(self) -> Collection[str] | None:
        """The tensors whose bytes in the copy are compared with the base; None for all."""
        return None if self.fingerprint is not None else self.unedited

    def compare_base(self, base: Shards, copy: Shards, hasher: TensorHasher) -> None:
        """Raise BaseChanged where a copy is not that of the base, touched tensors or not.

        hasher: of the copy
        """
        if self.fingerprint is not None:
            actual = copy.fingerprint_by(hasher)
            if actual != self.fingerprint:
                raise BaseChanged(base.folder, self.fingerprint, actual)
        for name, expected in self.unedited.items():
            actual = hasher.digest(name)
            if actual != expected:
                raise BaseChanged(base.folder, expected, actual)

    def compare_touched(self, copy: Shards, slots: Mapping[str, TouchedSlots]) -> None:
        """Raise ExportDiffers where a touched tensor is not as it is recorded.

        The slots are read back from the file. A digest of an earlier kn-edit is of all bytes.
        """
        for name, expected in self.expected.items():
            for entry in copy.places(name):
                if name in slots and _slots_in(copy, entry, slots[name]) == expected:
                    continue
                actual = copy.digest_at(entry, name)
                if actual != expected:
                    raise ExportDiffers(name, expected, actual)


def _slots_in(copy: Shards, entry: Entry, where: TouchedSlots) -> str | None:
    """The digest of the slots as they stand in a file; None where all of them are touched."""
    return None if where.complete else slots_digest(entry, where, slots_at(copy, entry, where))


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
    unedited: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write only the weight files that the deltas change. Raises as `export_checkpoint`.

    unedited: sha256 of tensors of the base, with which the copied ones are compared
    """
    changed = touched(deltas)
    files = [Path(file) for file in sorted({file for name in changed for file in base.files(name)})]
    compared = changed.keys() & (unedited or {}).keys()
    return _write(
        base,
        deltas,
        target=target,
        files=files,
        checks=Checks(expected or {}, unedited={name: (unedited or {})[name] for name in compared}),
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
    with shards.hasher() as hasher:
        unedited = hasher.digests()
    fingerprint = shards.fingerprint_of(unedited)  # what no edit touches goes out as it lies here
    if fingerprint != export.base.fingerprint:
        raise BaseChanged(shards.folder, export.base.fingerprint, fingerprint)
    export_touched(
        shards,
        export.deltas,
        scratch,
        expected=export.digests,
        unedited=unedited,
        progress=export.progress,
    )
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
        where.check_fit(name, entry.shape, entry.number_format)
    refuse_inside(target, base.folder)
    with new_folder(target) as partial:
        copy = Shards(partial, base.entries, base.copies)
        with copy.hasher(checks.hashed()) as hasher:
            _copy(base.folder, partial, files, hasher, progress)
            for file in files:  # while those behind it are still hashed
                _rewrite(copy, str(file), slots, deltas, hasher)
                sync(partial / file)
            checks.compare_base(base, copy, hasher)
        checks.compare_touched(copy, slots)
    return target


def _copy(
    source: Path,
    target: Path,
    files: Sequence[Path],
    hasher: TensorHasher,
    progress: Progress | None,
) -> None:
    """Copy files. hasher: told how much of each file is there"""
    total = sum((source / file).stat().st_size for file in files)
    done = 0

    for file in files:
        start = done

        def moved(count: int, file: str = str(file), start: int = start) -> None:
            nonlocal done
            done += count
            hasher.written(file, done - start)
            if progress is not None:
                progress(done, total)

        copy_file(source / file, target / file, moved)


def _rewrite(
    copy: Shards,
    file: str,
    slots: Mapping[str, TouchedSlots],
    deltas: Sequence[Delta],
    hasher: TensorHasher,
) -> None:
    """Fold the deltas into the touched slots that lie in one file, once their bytes are hashed."""
    for name, where in slots.items():
        for entry in copy.places(name):
            if entry.file != file:
                continue
            hasher.wait(name)
            descriptor = os.open(copy.folder / file, os.O_RDWR)
            try:
                rows = read_slots(descriptor, entry, where)  # (n, d_model)
                write_slots(descriptor, entry, where, folded_slots(rows, name, where.index, deltas))
            finally:
                os.close(descriptor)
