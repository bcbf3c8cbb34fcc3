"""The live base model of a workspace, and its versions for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from kn_edit.edits.build import SlotPlace
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.live import applied, apply_for_good
from kn_edit.engine.base import BaseFiles
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.cluster_workers import ClusterWorkers
from kn_edit.engine.shares import ThisProcess, Workers
from kn_edit.engine.undisturbed import InUse, undisturbed
from kn_edit.engine.version import ModelVersion, Scoring, cached_locally
from kn_edit.ledger.records import BaseRecord
from kn_edit.models.companions import companion_files
from kn_edit.models.memory import memory_told
from kn_edit.models.model import Model, load
from kn_edit.models.placement import Placement
from kn_edit.progress import Progress, silent

AUTOMATIC = Placement()


class Engine(BaseFiles):
    """Loads the base when it is needed, and lays versions on it."""

    def __init__(
        self,
        base: BaseRecord,
        folder: Path,
        progress: Progress = silent,
        placement: Placement = AUTOMATIC,
        scoring: Scoring = cached_locally,
        workers: Workers | None = None,
    ) -> None:
        """folder: where to note which weight files were checked; placement: of the live model

        scoring: gives what scores prompts at a version; workers: what computes shares of work, by
        default this process
        """
        super().__init__(base, folder, progress)
        self.placement = placement
        self.workers: Workers = workers or ThisProcess(self)
        self._scoring = scoring
        self._in_use = InUse()

    @cached_property
    def model(self) -> Model:
        """The base, live. It holds the base's slots whenever no block of `at` runs.

        Raises BaseFilesChanged, DeviceMissing, and what `shards` and `load` raise.
        """
        self.progress("loading the model", 0, 0)
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


def cluster_workers(
    cluster: Cluster, base: BaseRecord, folder: Path, placement: Placement
) -> ClusterWorkers:
    """Workers of a cluster, each with an engine of its own on the same base.

    A worker sees the GPUs that Ray gives it and no others, so none is named by its number there.
    """
    on_gpu = placement.device.startswith("cuda")
    placed = replace(placement, device="cuda") if on_gpu else placement
    build = partial(Engine, base, folder.absolute(), placement=placed)
    return ClusterWorkers(cluster, build, gpus=lambda: placement.gpus)
