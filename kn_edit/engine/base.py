"""The files of a workspace's base model: where they lie, and whether they are those of `init`.

Importing this needs no torch: what only copies or compares files starts without it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from kn_edit.atomic import write_atomically
from kn_edit.errors import BaseChanged, BaseFilesChanged, BaseFolderMissing
from kn_edit.ledger.records import BaseRecord
from kn_edit.models.cache import DEMOS
from kn_edit.models.companions import companion_files, differing
from kn_edit.models.shards import Shards, check_editable
from kn_edit.models.source import resolve
from kn_edit.progress import Progress, bytes_of, silent
from kn_edit.untrusted import parse_json, read_bounded

STAMPS = "base.json"
MAX_STAMPS = 1 << 20  # bytes of it: a hundred for each weight file


class BaseFiles:
    """Opens the base's files, and makes sure that they are still those of `init`."""

    def __init__(self, base: BaseRecord, folder: Path, progress: Progress = silent) -> None:
        """folder: where to note which weight files were checked"""
        self.base = base
        self.folder = folder
        self._stamps = folder / STAMPS
        self.progress = progress

    @cached_property
    def shards(self) -> Shards:
        """The base's tensors. Raises BaseChanged, BaseFolderMissing."""
        source = Path(self.base.source)
        if not source.is_dir():
            source = self._again()
        shards = Shards.open(source)
        stamps = stamps_of(shards)
        if _read_stamps(self._stamps) != stamps:
            actual = shards.fingerprint(bytes_of(self.progress, "checking the base"))
            if actual != self.base.fingerprint:
                raise BaseChanged(source, self.base.fingerprint, actual)
            write_stamps(self._stamps, shards)
        return shards

    def changed_files(self) -> list[str]:
        """The files beside the weights that are not those of `init`; none where none were noted."""
        if self.base.files is None:
            return []
        return differing(self.base.files, companion_files(self.shards.folder))

    def check_files(self) -> None:
        """Raise BaseFilesChanged where another model would run than the one that was edited."""
        changed = self.changed_files()
        if changed:
            raise BaseFilesChanged(self.shards.folder, tuple(changed))

    def check_editable(self) -> None:
        """Refuse to edit a base whose weights are quantised. Raises QuantisedWeights."""
        check_editable(self.shards.folder)

    def _again(self) -> Path:
        """The base was moved away; what came from elsewhere can come again."""
        if self.base.repo is not None:
            return resolve(f"{self.base.repo}@{self.base.revision}").folder
        if self.base.name in DEMOS:
            return resolve(self.base.name).folder
        raise BaseFolderMissing(Path(self.base.source))


def stamps_of(shards: Shards) -> dict[str, list[int]]:
    """Size, times and inode of every weight file: while they stand, the fingerprint does.

    Tools that copy can set the time of a file's content, but not that of its change.
    """
    stats = {file: (shards.folder / file).stat() for file in shards.weight_files}
    return {
        f"{shards.folder}/{file}": [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        for file, stat in stats.items()
    }


def write_stamps(path: Path, shards: Shards) -> None:
    """Note the stamps of a base whose fingerprint was just checked; best effort."""
    with suppress(OSError):  # else it will be checked again
        write_atomically(path, json.dumps(stamps_of(shards)), durable=False)


def _read_stamps(path: Path) -> object:
    """The stamps noted before; None where there are none, or where a link leads elsewhere."""
    try:
        return None if path.is_symlink() else parse_json(read_bounded(path, MAX_STAMPS))
    except (OSError, ValueError):
        return None
