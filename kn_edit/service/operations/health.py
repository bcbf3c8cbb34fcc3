"""Whether the service can do its work: its ledger and its jobs can be read, and a worker lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from kn_edit.errors import NotReady
from kn_edit.service.service import Service

LEDGER, JOBS, WORKERS = PARTS = ("ledger", "jobs", "workers")
FRESH = 1.0  # seconds for which an answer holds, so that nobody makes the service look all the time

log = logging.getLogger("kn_edit.service")


class Readiness:
    """Looks whether a service can work, and logs where that changes."""

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checks: dict[str, Callable[[], object]] = {
            LEDGER: service.workspace.ledger.current_branch
        }
        if service.jobs is not None:
            self._checks |= {JOBS: service.jobs.counts, WORKERS: service.jobs.living_workers}
        self._lock = threading.Lock()
        self._problems: dict[str, NotReady | None] = {}
        self._looked_at = -FRESH

    def require(self) -> None:
        """Raise NotReady for the first part that is missing."""
        for error in self.problems().values():
            if error is not None:
                raise error

    def problems(self) -> dict[str, NotReady | None]:
        """What is wrong with each part; None for what is right."""
        with self._lock:
            if self._clock() - self._looked_at >= FRESH:
                self._problems = {part: self._problem(part) for part in self._checks}
                self._looked_at = self._clock()
            return self._problems

    def _problem(self, part: str) -> NotReady | None:
        """What is wrong with a part. Its sentence goes to the log, not to whoever asks."""
        before, cause = self._problems.get(part), ""
        try:
            missing = self._checks[part]() == []
        except Exception as error:
            missing, cause = True, type(error).__name__
            if before is None or before.cause != cause:
                log.warning("the %s cannot be read: %s", part, error)
        if not missing and before is not None:
            log.info("the %s can be used again", part)
        return NotReady(part, cause) if missing else None
