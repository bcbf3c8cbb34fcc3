"""The live base model of a workspace, and its versions for the length of a block."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from kn_edit.atomic import write_atomically
from kn_edit.edits.build import SlotPlace
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.live import applied, apply_for_good
from kn_edit.engine.undisturbed import InUse, undisturbed
from kn_edit.engine.version import ModelVersion, Scoring, cached_locally
from kn_edit.errors import BaseChanged, BaseFilesChanged, BaseFolderMissing
from kn_edit.ledger.records import BaseRecord
from kn_edit.models.cache import DEMOS
from kn_edit.models.companions import companion_files, differing
from kn_edit.models.memory import memory_told
from kn_edit.models.model import Model, load
from kn_edit.models.placement import Placement
from kn_edit.models.shards import Shards, check_editable
from kn_edit.models.source import resolve
from kn_edit.progress import Progress, bytes_of, silent
from kn_edit.untrusted import parse_json, read_bounded

AUTOMATIC = Placement()
STAMPS = "base.json"
MAX_STAMPS = 1 << 20  # bytes of it: a hundred for each weight file


class Engine:
    """Opens the base when it is needed, and makes sure that it is still the one of `init`."""

    def __init__(
        self,
        base: BaseRecord,
        folder: Path,
        progress: Progress = silent,
        placement: Placement = AUTOMATIC,
        scoring: Scoring = cached_locally,
    ) -> None:
        """folder: where to note which weight files were checked; placement: of the live model

        scoring: gives what scores prompts at a version
        """
        self.base = base
        self.placement = placement
        self._scoring = scoring
        self.folder = folder
        self._stamps = folder / STAMPS
        self._progress = progress
        self._in_use = InUse()

    @cached_property
    def shards(self) -> Shards:
        """The base's tensors. Raises BaseChanged, BaseFolderMissing."""
        source = Path(self.base.source)
        if not source.is_dir():
            source = self._again()
        shards = Shards.open(source)
        stamps = stamps_of(shards)
        if _read_stamps(self._stamps) != stamps:
            actual = shards.fingerprint(bytes_of(self._progress, "checking the base"))
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

    @cached_property
    def model(self) -> Model:
        """The base, live. It holds the base's slots whenever no block of `at` runs.

        Raises BaseFilesChanged, DeviceMissing, and what `shards` and `load` raise.
        """
        self._progress("loading the model", 0, 0)
        assert self._files  # as they are when the model is loaded
        return self._loaded()

    @cached_property
    def _files(self) -> dict[str, str]:
        return companion_files(self.shards.folder)

    @cached_property
    def place(self) -> SlotPlace:
        """Where new deltas of this base point. Raises QuantisedWeights."""
        self.check_editable()
        base = BaseRef(self.base.repo, self.base.revision, self.base.fingerprint)
        names = self.model.stored_names(self.shards.entries)
        return SlotPlace(base, names, self.model.family.axis)

    @contextmanager
    def at(self, deltas: Sequence[Delta]) -> Iterator[ModelVersion]:
        """The model with these deltas, inside the block.

        One block at a time: it is one model. Raises ModelInUse, DeltaMisfit, SlotOverflow; where
        the work in the block takes more memory than there is, OutOfMemory.
        """
        with (
            undisturbed(),
            self._in_use.once(),
            memory_told(self.model),
            applied(self.model, deltas) as model,
        ):
            version = ModelVersion(
                model=model,
                fingerprint=self.base.fingerprint,
                deltas=tuple(deltas),
                files=self._files,
                scoring=self._scoring,
            )
            try:
                yield version
            finally:
                version.leave()

    def fresh(self, deltas: Sequence[Delta]) -> Model:
        """A model of its own that stays at a version. Raises as `model`, DeltaMisfit, SlotOverflow.

        It lies where the live one does.
        """
        with undisturbed():
            return apply_for_good(self._loaded(), deltas)

    def _loaded(self) -> Model:
        devices, dtype = self.placement.torch_devices, self.placement.torch_dtype
        self.check_files()
        with undisturbed():
            model = load(self.shards.folder, dtype=dtype, device=devices)
        model.memory = self.placement.memory_bytes
        return model

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
