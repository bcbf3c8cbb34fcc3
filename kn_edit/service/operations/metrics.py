"""The figures of a service in the text formats of Prometheus (docs/decisions)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kn_edit.errors import KnEditError
from kn_edit.jobs.job import JobQueue, JobState
from kn_edit.service.operations.health import Readiness
from kn_edit.service.service import Service

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # of requests


class Metrics:
    """The figures of one service: those of its requests are counted, all others read when asked."""

    def __init__(self, service: Service, readiness: Readiness) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "kn_edit_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "kn_edit_request_seconds",
            "From the arrival of a request to the end of its answer, streams included.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.open_requests = Gauge(
            "kn_edit_open_requests", "Requests that are being answered.", registry=registry
        )
        ProcessCollector(registry=registry)
        registry.register(_ServiceCollector(service, readiness))

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All figures, and the media type of the format. accept: that the reader asks for"""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _ServiceCollector(Collector):
    """Figures that are read when somebody asks for them."""

    def __init__(self, service: Service, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness

    def describe(self) -> Iterable[Metric]:
        """No names ahead of time: to find them out, everything would be read."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read the figures. Those of jobs are left out where these cannot be read."""
        ready = GaugeMetricFamily(
            "kn_edit_ready", "Whether a part of the service can be used.", labels=("part",)
        )
        for part, problem in self._readiness.problems().items():
            ready.add_metric((part,), problem is None)
        yield ready
        answering = self._service.answering
        yield CounterMetricFamily(
            "kn_edit_tokens_generated", "Tokens that were said in answers.", answering.tokens_said
        )
        yield GaugeMetricFamily(
            "kn_edit_open_answers", "Answers that are being made or wait.", answering.open_answers
        )
        if self._service.jobs is not None:
            with suppress(KnEditError, OSError):  # `kn_edit_ready` tells of it
                yield from _of_jobs(self._service.jobs)


def _of_jobs(queue: JobQueue) -> list[Metric]:
    counts, workers = queue.counts(), queue.living_workers()
    jobs = GaugeMetricFamily(
        "kn_edit_jobs", "Jobs that are kept, by verb and state.", labels=("verb", "state")
    )
    for (verb, state), count in sorted(counts.items()):
        jobs.add_metric((verb, state), count)
    waiting = sum(count for (_, state), count in counts.items() if state is JobState.QUEUED)
    return [
        jobs,
        GaugeMetricFamily("kn_edit_queue_length", "Jobs that wait for a worker.", waiting),
        GaugeMetricFamily("kn_edit_workers", "Workers that live.", len(workers)),
        GaugeMetricFamily(
            "kn_edit_worker_resident_memory_bytes",
            "Resident memory of all workers together.",
            sum(map(_resident_bytes, workers)),
        ),
    ]


def _resident_bytes(process_id: int) -> int:
    """The resident memory of a process; 0 where the system does not tell."""
    try:
        pages = Path(f"/proc/{process_id}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
