"""Workers of a cluster, which are started when the first share needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeVar

from kn_edit.edits.delta import Delta
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.ray_workers import RayWorkers
from kn_edit.engine.scores import CachedScorer, Scorer
from kn_edit.engine.shared_scoring import SharedScorer
from kn_edit.engine.shares import Share
from kn_edit.engine.version import ModelVersion, store_of
from kn_edit.errors import ClusterUnsupported

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine

T = TypeVar("T")


class ClusterWorkers:
    """`Workers` of a cluster. To be closed."""

    several: ClassVar[bool] = True

    def __init__(
        self, cluster: Cluster, build: Callable[[], Engine], gpus: Callable[[], int]
    ) -> None:
        """build: makes an engine of the same base, in each worker; gpus: how many it runs on"""
        self._cluster, self._build, self._gpus = cluster, build, gpus

    @cached_property
    def started(self) -> RayWorkers:
        """The workers, once they are needed. Raises ClusterUnsupported, ClusterFailed.

        Also DeviceMissing.
        """
        try:
            return RayWorkers(self._cluster, self._build, self._gpus())
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ClusterUnsupported() from None

    def scorer(self, version: ModelVersion) -> Scorer:
        """What scores prompts at a version: the workers, what is known from the user's cache."""
        return CachedScorer(SharedScorer(self, version.deltas), store_of(version))

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share[T]]
    ) -> Iterator[tuple[int, T]]:
        """The result of each share, once, as soon as it is known.

        Raises ClusterUnsupported, ClusterFailed, and what a share raises.
        """
        if shares:
            yield from self.started.results(deltas, shares)

    def close(self) -> None:
        """End the workers, and Ray's processes where they were started here."""
        if "started" in self.__dict__:
            self.started.close()
            del self.__dict__["started"]
