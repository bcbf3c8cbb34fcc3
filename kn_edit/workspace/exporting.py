"""Between the ledger and the forms in which a version is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from kn_edit.atomic import scratch_folder
from kn_edit.checkpoints.form import Export, ExportForm, ExportOptions
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.engine.base import BaseFiles
from kn_edit.errors import CannotWrite, reason_of
from kn_edit.ledger import VersionRecord
from kn_edit.objects.address import ObjectAddress
from kn_edit.objects.opening import open_bucket
from kn_edit.objects.whole import upload_whole
from kn_edit.progress import Progress, bytes_of

__all__ = ["BaseFiles", "export_of", "scratch_for_weights", "upload"]


def export_of(
    files: BaseFiles,
    version: VersionRecord,
    deltas: Sequence[Delta],
    form: ExportForm,
    options: ExportOptions,
    progress: Progress,
) -> Export:
    """A version as a form takes it. Raises BaseFilesChanged where the form copies such files."""
    if form.with_companions:
        files.check_files()
    base = files.base
    return Export(
        open_shards=lambda: files.shards,
        base=BaseRef(base.repo, base.revision, base.fingerprint),
        model_type=base.model_type,
        deltas=deltas,
        digests=version.digests,
        options=options,
        progress=bytes_of(progress, "exporting"),
    )


def upload(
    export: Export,
    form: ExportForm,
    version: str,
    address: ObjectAddress,
    *,
    folder: Path,
    progress: Progress,
) -> None:
    """Write a version into object storage, whole or not at all.

    Files of a checkpoint that no edit touches go there from where the base lies.

    version: its id; folder: the `.kn-edit`, for weights that are on their way
    Raises ObjectsInTheWay, CannotWrite, what a form raises, and what a bucket raises.
    """
    bucket = open_bucket(address)
    about = {
        "form": form.name,
        "version": version,
        "base": asdict(export.base),
        "edits": [delta.id for delta in export.deltas],
    }
    with scratch_for_weights(folder) as scratch:
        # A form of which the Hub gets nothing beside the edits is written as to a folder.
        files = form.files(export, scratch) or ExportForm.files(form, export, scratch)
        upload_whole(bucket, files, about, progress)


@contextmanager
def scratch_for_weights(folder: Path) -> Iterator[Path]:
    """A path on the workspace's own disk for weights that are on their way, gone afterwards."""
    try:
        with scratch_folder(folder, "push") as scratch:
            yield scratch / "weights"
    except OSError as error:
        raise CannotWrite(folder, reason_of(error)) from error
