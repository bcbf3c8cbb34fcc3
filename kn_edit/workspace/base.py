"""The base model of a new workspace: found, checked, and described for the ledger."""

from __future__ import annotations

import os
from pathlib import Path

from kn_edit.engine.base import STAMPS, write_stamps
from kn_edit.errors import BaseFilesChanged, OtherBase
from kn_edit.ledger import BaseRecord, Ledger
from kn_edit.models.cache import DEMOS
from kn_edit.models.companions import companion_files, differing
from kn_edit.models.configs import family_in
from kn_edit.models.model import check_loadable
from kn_edit.models.shards import Shards, read_config
from kn_edit.models.source import resolve
from kn_edit.progress import Progress, bytes_of


def base_of(model: str | os.PathLike[str], progress: Progress) -> tuple[BaseRecord, Shards]:
    """Find a demo, a checkpoint folder, or a Hub id, and take its fingerprint.

    What cannot be loaded is refused here, so that no workspace stands on it. Raises what finding
    the model, Shards.open and check_loadable raise.
    """
    source = resolve(model, progress=bytes_of(progress, "fetching the model"))
    family = family_in(read_config(source.folder))
    shards = Shards.open(source.folder)
    if read_config(source.folder).keys() > {"model_type"}:  # else weights to be kept, not asked
        check_loadable(shards)
    fingerprint = shards.fingerprint(bytes_of(progress, "taking the fingerprint"))
    downs = (entry.dtype for name, entry in shards.entries.items() if family.down in name)
    record = BaseRecord(
        name=source.name,
        repo=source.repo,
        revision=source.revision,
        fingerprint=fingerprint,
        source=str(source.folder),
        model_type=family.model_type,
        dtype=max(downs, default=""),
        files=companion_files(source.folder),
    )
    return record, shards


def place_base(
    ledger: Ledger,
    folder: str | os.PathLike[str],
    *,
    accept_files: bool,
    ledger_folder: Path,
    progress: Progress,
) -> None:
    """Note the folder in which the base of a ledger lies now. Raises OtherBase, BaseFilesChanged.

    ledger_folder: the `.kn-edit`, where the sizes and times of the base's files are noted
    What cannot be loaded is refused here too: raises what resolve and check_loadable raise.
    """
    source = resolve(folder if folder in DEMOS else Path(folder))
    shards = Shards.open(source.folder)
    if read_config(source.folder).keys() > {"model_type"}:
        check_loadable(shards)
    files = companion_files(source.folder)
    actual = shards.fingerprint(bytes_of(progress, "taking the fingerprint"))
    if actual != ledger.base.fingerprint:
        raise OtherBase(source.folder, ledger.base.fingerprint, actual)
    changed = differing(ledger.base.files or files, files)
    if changed and not accept_files:
        raise BaseFilesChanged(source.folder, tuple(changed))
    if (str(source.folder), files) != (ledger.base.source, ledger.base.files):
        ledger.set_base(str(source.folder), files)
    write_stamps(ledger_folder / STAMPS, shards)
