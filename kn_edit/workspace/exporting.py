"""Between the ledger and the forms in which a version is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kn_edit.checkpoints.form import Export, ExportForm, ExportOptions
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.ledger import VersionRecord
from kn_edit.progress import Progress, bytes_of

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine


def export_of(
    engine: Engine,
    version: VersionRecord,
    deltas: Sequence[Delta],
    form: ExportForm,
    options: ExportOptions,
    progress: Progress,
) -> Export:
    """A version as a form takes it. Raises BaseFilesChanged where the form copies such files."""
    if form.with_companions:
        engine.check_files()
    base = engine.base
    return Export(
        open_shards=lambda: engine.shards,
        base=BaseRef(base.repo, base.revision, base.fingerprint),
        model_type=base.model_type,
        deltas=deltas,
        digests=version.digests,
        options=options,
        progress=bytes_of(progress, "exporting"),
    )
