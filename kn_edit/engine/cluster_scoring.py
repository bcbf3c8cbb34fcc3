"""Scoring on workers, which are started when the first prompt needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from kn_edit.edits.delta import Delta
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.ray_workers import RayWorkers
from kn_edit.engine.scores import CachedScorer, Scorer
from kn_edit.engine.shares import Share, SharedScorer, ShareResult
from kn_edit.engine.version import ModelVersion, store_of
from kn_edit.errors import ClusterUnsupported

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine


class ClusterScoring:
    """A `Scoring` by workers of a cluster. To be closed."""

    def __init__(self, cluster: Cluster, build: Callable[[], Engine]) -> None:
        """build: makes an engine of the same base, in each worker"""
        self._cluster, self._build = cluster, build

    @cached_property
    def workers(self) -> RayWorkers:
        """The workers, once they are needed. Raises ClusterUnsupported, ClusterFailed."""
        try:
            return RayWorkers(self._cluster, self._build)
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ClusterUnsupported() from None

    def __call__(self, version: ModelVersion) -> Scorer:
        """What scores prompts at a version."""
        return CachedScorer(SharedScorer(self, version.deltas), store_of(version))

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share]
    ) -> Iterator[tuple[int, ShareResult]]:
        """The result of each share, once, as soon as it is known.

        Raises ClusterUnsupported, ClusterFailed, and what a share raises.
        """
        if shares:
            yield from self.workers.results(deltas, shares)

    def close(self) -> None:
        """End the workers, and Ray's processes where they were started here."""
        if "workers" in self.__dict__:
            self.workers.close()
            del self.__dict__["workers"]
