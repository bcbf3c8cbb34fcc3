"""The base model of a new workspace: found, checked, and described for the ledger."""

from __future__ import annotations

from pathlib import Path

from kn_edit.ledger import BaseRecord
from kn_edit.models.configs import family_in
from kn_edit.models.model import check_loadable
from kn_edit.models.shards import Shards, read_config
from kn_edit.models.source import resolve
from kn_edit.workspace.progress import Progress, bytes_of


def base_of(model: str | Path, progress: Progress) -> tuple[BaseRecord, Shards]:
    """Find a demo, a checkpoint folder, or a Hub id, and take its fingerprint.

    What cannot be loaded is refused here, so that no workspace stands on it. Raises what finding
    the model, Shards.open and check_loadable raise.
    """
    source = resolve(model, progress=bytes_of(progress, "fetching the model"))
    family = family_in(read_config(source.folder))
    shards = Shards.open(source.folder)
    check_loadable(shards)
    fingerprint = shards.fingerprint(bytes_of(progress, "taking the fingerprint"))
    downs = (entry.dtype for name, entry in shards.entries.items() if family.down in name)
    record = BaseRecord(
        source.name,
        source.repo,
        source.revision,
        fingerprint,
        str(source.folder),
        family.model_type,
        max(downs, default=""),
    )
    return record, shards
