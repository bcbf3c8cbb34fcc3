"""What a job is, and what a queue of jobs does; every queue is one behind this port."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, Protocol

Plain = Mapping[str, Any]  # what JSON can say
KEY_SECONDS = 24 * 60 * 60.0  # for which a key names its request


class JobState(StrEnum):
    """Where a job stands. Those from DONE on are final."""

    QUEUED = auto()
    RUNNING = auto()
    DONE = auto()
    FAILED = auto()
    CANCELLED = auto()

    @property
    def final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True)
class JobRequest:
    """What shall be done.

    verb: a name of kn_edit.service.work.VERBS, such as `update`; arguments: of it, as JSON
    branch: that it writes to; jobs on one branch run one after the other. None: it only looks
    expected_head: the version that the branch must be at when the work begins; None for any
    by: who asked for it; key: two requests with one key are one job, for KEY_SECONDS
    """

    verb: str
    arguments: Plain
    branch: str | None = None
    expected_head: str | None = None
    by: str = "local"
    key: str | None = None


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come. total: 0 where nobody knows"""

    task: str
    done: int
    total: int


@dataclass(frozen=True)
class Job:
    """A job as it stands. Times are UTC, ISO 8601; None for what has not happened."""

    id: str
    request: JobRequest
    state: JobState
    created: str
    started: str | None = None
    ended: str | None = None
    progress: JobProgress | None = None
    log: Sequence[str] = ()
    cancelling: bool = False  # whether somebody asked for its end while it runs
    result: Plain | None = None  # what the verb gives with --json, once it is DONE
    error: Plain | None = None  # the error's document (KnEditError.document), once it has FAILED


class JobQueue(Protocol):
    """Keeps jobs and lets workers run them, each at most once; it survives a restart."""

    def submit(self, request: JobRequest) -> Job:
        """Queue a job; where one with this key is there, that one."""

    def get(self, id: str) -> Job:
        """A job as it stands now. Raises UnknownJob."""

    def wait(self, id: str, seconds: float) -> Job:
        """A job once it has ended, or as it stands after so many seconds. Raises UnknownJob."""

    def jobs(self, most: int = 50, *, before: str | None = None) -> list[Job]:
        """The newest jobs, newest first.

        before: the id of a job; only those that were submitted before it. Raises UnknownJob.
        """

    def cancel(self, id: str) -> Job:
        """Take a queued job out, or ask a running one to stop. Raises UnknownJob, JobEnded."""

    def counts(self) -> Mapping[tuple[str, JobState], int]:
        """How many jobs there are of each verb in each state. Raises LedgerUnusable, LedgerBusy."""

    def living_workers(self) -> list[int]:
        """The process ids of the workers that live; 0 for one of another machine."""

    def prune(self, most: int, days: float) -> int:
        """Remove jobs that ended so many days ago, or before the newest ones; how many.

        Jobs stay as long as their keys hold, and a page of the newest stays in any case.
        """

    def close(self) -> None:
        """Give back what is held."""
