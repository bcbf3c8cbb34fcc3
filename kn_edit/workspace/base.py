"""The base model of a new workspace: found, checked, and described for the ledger."""

from __future__ import annotations

from kn_edit.ledger import BaseRecord
from kn_edit.models.families import family_of
from kn_edit.models.shards import Shards, read_config
from kn_edit.models.source import resolve
from kn_edit.workspace.progress import Progress, bytes_of


def base_of(model: str, progress: Progress) -> tuple[BaseRecord, Shards]:
    """Find a demo, a checkpoint folder, or a Hub id, and take its fingerprint.

    Raises UnknownFamily, SharedLayers, and what finding the model raises.
    """
    source = resolve(model, progress=bytes_of(progress, "fetching the model"))
    family = family_of(str(read_config(source.folder).get("model_type")))
    shards = Shards.open(source.folder)
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
