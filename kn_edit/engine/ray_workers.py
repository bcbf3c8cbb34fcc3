"""Workers that are actors of Ray. A share whose worker is lost goes to another one.

Ray says nothing to anybody outside, has no dashboard, and keeps its files in a private folder that
goes with it.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from kn_edit.atomic import private_folder
from kn_edit.edits.delta import Delta
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.shares import Share
from kn_edit.errors import ClusterFailed, KnEditError
from kn_edit.figures import count

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine

T = TypeVar("T")

LOSSES = 3  # of workers over one share: then it is the share
OBJECTS = 80 << 20  # bytes of memory that processes share; shares and deltas are small


class Worker:
    """Computes shares with a model of its own, which is loaded for the first of them."""

    def __init__(self, build: Callable[[], Engine], threads: int) -> None:
        """build: makes the engine that this process has, too; threads: that torch computes with"""
        torch.set_num_threads(threads)
        self._engine = build()
        self._read: tuple[Sequence[bytes], list[Delta]] = ((), [])  # of the share before

    def result(self, deltas: Sequence[bytes], share: Share[Any]) -> tuple[Any, KnEditError | None]:
        """The result of a share at the version of these deltas, and what it raised."""
        try:
            return share.computed(self._engine, self._deltas(deltas)), None
        except KnEditError as error:
            return None, error

    def _deltas(self, deltas: Sequence[bytes]) -> list[Delta]:
        """The deltas of some files, which are mostly those of the share before."""
        if deltas != self._read[0]:
            self._read = deltas, [Delta.from_bytes(delta) for delta in deltas]
        return self._read[1]


class RayWorkers:
    """`Workers` as actors of a Ray cluster."""

    def __init__(self, cluster: Cluster, build: Callable[[], Engine], gpus: int = 0) -> None:
        """Start them. build: makes an engine, in each of them; gpus: that such an engine runs on.

        Raises ClusterFailed, ModuleNotFoundError.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray  # here, because it takes seconds and need not be installed

        self._ray: Any = ray
        self._lost = ray.exceptions.RayError
        self._ending = ExitStack()
        try:
            self._connect(cluster)
            # Nothing is tried again by Ray: what is lost is known here, and what is done is, too.
            needed = {"num_cpus": 1, "num_gpus": self._gpus_each(cluster, gpus)}
            self._class = ray.remote(**needed, max_restarts=0, max_task_retries=0)(Worker)
            self._build, self._threads = build, torch.get_num_threads()
            self._idle: deque[Any] = deque(self._new() for _ in range(cluster.workers))
        except BaseException as error:
            self._ending.close()
            if isinstance(error, (self._lost, OSError, RuntimeError, ValueError)):
                place = cluster.address or "this machine"
                raise ClusterFailed(place, _reason(error)) from error
            raise

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share[T]]
    ) -> Iterator[tuple[int, T]]:
        """The result of each share, once, as soon as it is known.

        Raises ClusterFailed where workers are lost again and again, and what a share raises.
        """
        version = self._ray.put([delta.to_bytes() for delta in deltas])
        waiting, losses = deque(range(len(shares))), [0] * len(shares)
        running: dict[Any, tuple[Any, int]] = {}
        try:
            while waiting or running:
                while waiting and self._idle:
                    worker, number = self._idle.popleft(), waiting.popleft()
                    reference = worker.result.remote(version, shares[number])
                    running[reference] = worker, number
                (reference,), _ = self._ray.wait(list(running), num_returns=1)
                worker, number = running.pop(reference)
                try:
                    result, raised = self._ray.get(reference)
                except self._lost as error:
                    with suppress(self._lost):
                        self._ray.kill(worker)
                    self._idle.append(self._new())
                    waiting.appendleft(number)
                    losses[number] += 1
                    if losses[number] == LOSSES:
                        raise ClusterFailed("its workers", _reason(error)) from None
                    continue
                self._idle.append(worker)
                if raised is not None:
                    raise raised
                yield number, result
        finally:  # who leaves early does not wait for what still runs
            for worker, _ in running.values():
                with suppress(self._lost):
                    self._ray.kill(worker)
                self._idle.append(self._new())

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        for worker in self._idle:
            with suppress(self._lost):
                self._ray.kill(worker)
        self._idle.clear()
        self._ending.close()

    def _gpus_each(self, cluster: Cluster, gpus: int) -> float:
        """How many GPUs Ray is asked for, for each worker: it hides all from who asks for none."""
        present = int(self._ray.cluster_resources().get("GPU", 0)) if gpus else 0
        return gpus_each(cluster, gpus, present)

    def _new(self) -> Any:
        return self._class.remote(self._build, self._threads)

    def _connect(self, cluster: Cluster) -> None:
        """Reach a cluster that runs, or start one on this machine."""
        ray = self._ray
        if ray.is_initialized():  # by the program that uses kn-edit, whose it stays
            return
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        logging.getLogger("ray").setLevel(logging.ERROR)
        if cluster.address is not None:
            self._ending.callback(ray.shutdown)
            ray.init(address=cluster.address, **quiet)
            return
        if "RAY_AUTH_TOKEN" not in os.environ:  # else Ray writes one into the home folder
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            self._ending.callback(os.environ.pop, "RAY_AUTH_TOKEN", None)
        # Of the priority that this process has; Ray's own choice is lower.
        os.environ.setdefault("RAY_worker_niceness", "0")
        folder = self._ending.enter_context(private_folder(for_sockets=True))
        self._ending.callback(ray.shutdown)
        ray.init(
            num_cpus=cluster.workers,
            include_dashboard=False,
            object_store_memory=OBJECTS,
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
            **quiet,
        )


def gpus_each(cluster: Cluster, gpus: int, present: int) -> float:
    """The number of GPUs, or the part of one, that each worker of a cluster gets.

    gpus: that the engine of a worker runs on; present: in the whole cluster. Where one would do and
    there are fewer than workers, workers share them.
    Raises ClusterFailed where there are too few: Ray would wait for them without end.
    """
    if gpus == 1 and 0 < present < cluster.workers:
        return 1 / math.ceil(cluster.workers / present)
    if gpus * cluster.workers > present:
        place = cluster.address or "this machine"
        needed = count(gpus * cluster.workers, "GPU")
        raise ClusterFailed(place, f"its workers need {needed}, and it has {present}")
    return gpus


def _reason(error: BaseException) -> str:
    """The first line of what Ray says; it goes on with the output of whole processes."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
