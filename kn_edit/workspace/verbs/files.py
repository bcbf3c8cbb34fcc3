"""Verbs on files: exports, the base model, and what keeps a ledger sound."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from kn_edit.checkpoints.form import ExportOptions
from kn_edit.checkpoints.forms import form_of
from kn_edit.engine.score_files import Trimmed, trim_scores
from kn_edit.engine.undisturbed import verb
from kn_edit.later import later
from kn_edit.ledger import BaseRecord, Problem, Report
from kn_edit.ledger.disk import refuse_inside
from kn_edit.ledger.tidying import GRACE
from kn_edit.models.cache import notes_folder
from kn_edit.objects.address import ObjectAddress, is_object_address
from kn_edit.untrusted import path_of
from kn_edit.workspace.caches import remove_leftovers
from kn_edit.workspace.opened import OpenWorkspace

if TYPE_CHECKING:
    from kn_edit.workspace import base, exporting, verification
else:
    base = later("kn_edit.workspace.base")
    exporting = later("kn_edit.workspace.exporting")
    verification = later("kn_edit.workspace.verification")


class FileVerbs(OpenWorkspace):
    """What a workspace writes to disk and reads from there, and whether it is as recorded."""

    @verb
    def export(
        self,
        target: str | os.PathLike[str],
        *,
        version: str = "head",
        form: str = "checkpoint",
        most_rank: int | None = None,
        follow_links: bool = False,
    ) -> Path | ObjectAddress:
        """Write a version to a new folder: a full checkpoint, or a small form of its edits.

        target: the folder, or an address of object storage where nothing lies yet,
            s3://bucket/prefix; either has the whole version then, or nothing of it
        form: checkpoint, delta (with the recipe), adapter (PEFT LoRA), patch (sparse), or another
            of the table of forms
        most_rank: of an adapter
        follow_links: copy also what links of the model's folder point at outside of it
        Raises RankTooHigh, NothingToExport, LinkLeadsOutside, TargetInsideLedger, ObjectsInTheWay,
        and what a bucket raises.
        """
        kind, place = form_of(form), _place(target)
        options = ExportOptions(most_rank=most_rank, follow_links=follow_links)
        record = self.ledger.version(self._named(version))
        deltas = self.ledger.deltas(record.edits)
        export = exporting.export_of(
            files=exporting.BaseFiles(self.base, self.ledger_folder, self.progress),
            version=record,
            deltas=deltas,
            form=kind,
            options=options,
            progress=self.progress,
        )
        if isinstance(place, Path):
            return kind.write(export, place)
        exporting.upload(
            export, kind, record.id, place, folder=self.ledger_folder, progress=self.progress
        )
        return place

    @verb
    def set_base(self, folder: str | os.PathLike[str], *, accept_files: bool = False) -> BaseRecord:
        """Note where the base model lies now: a folder, or `demo`, `demo-bert`.

        Its weights must be the base's. accept_files: also where configuration or tokenizer are
        not those of `init`. Raises OtherBase, BaseFilesChanged, and what finding a model raises.
        """
        base.place_base(
            self.ledger,
            folder,
            accept_files=accept_files,
            ledger_folder=self.ledger_folder,
            progress=self.progress,
        )
        self.__dict__.pop("engine", None)  # it stands where the base lay
        return self.base

    @verb
    def verify(self, version: str | None = None, *, since: str | None = None) -> list[Problem]:
        """Rebuild versions, compare every digest, and prove the ledger. Empty when all is well.

        version: only this one, instead of all that the head ever was
        since: a digest that `ledger.chain()` once gave; it has to stand in the journal
        Raises UnknownId, BadDigest.
        """
        return list(self.examine(version, since=since).problems)

    @verb
    def examine(self, version: str | None = None, *, since: str | None = None) -> Report:
        """As `verify`, with notes on what cannot be proven and the digest of the journal."""
        name = None if version is None else self._named(version)
        return verification.examine(self.ledger, lambda: self.engine, name, self.progress, since)

    @verb
    def backup(self, file: str | os.PathLike[str]) -> None:
        """Write the whole ledger to one new tar file, which `restore` takes back.

        Raises BackupExists, LedgerUnusable, DeltaMissing, DeltaDigestDiffers.
        """
        self.ledger.backup(path_of(file), notes_folder())

    @verb
    def gc(self, *, older_than: timedelta = GRACE) -> list[Path]:
        """Remove deltas of no edit, and what killed commands left; which files they were.

        older_than: of deltas; younger ones spare a command that was cut off its work
        Raises LedgerBusy, LedgerUnusable.
        """
        removed = map(Path, self.ledger.gc(older_than=older_than))
        return [*removed, *remove_leftovers()]

    @staticmethod
    def trim_cache() -> Trimmed:
        """Remove the least recently used cached scores where the cache has outgrown its bound."""
        return trim_scores()


def _place(target: str | os.PathLike[str]) -> Path | ObjectAddress:
    """Where to export to. Raises TargetInsideLedger, BadObjectAddress."""
    if isinstance(target, str) and is_object_address(target):
        return ObjectAddress.parse(target)
    path = path_of(target)
    refuse_inside(path)
    return path
