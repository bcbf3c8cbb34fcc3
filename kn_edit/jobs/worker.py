"""A worker: runs the jobs of a workspace one after the other, and keeps its model warm."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Protocol

from kn_edit.errors import (
    Cancelled,
    CommitUnknown,
    JobBroke,
    KnEditError,
    OutOfMemory,
    SystemRefused,
    is_out_of_memory,
    reason_of,
)
from kn_edit.errors.remedies import PLAIN
from kn_edit.jobs.job import Job, JobProgress, JobState, Plain
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.rows import Outcome
from kn_edit.workspace import PlannedMove, Workspace

log = logging.getLogger("kn_edit.jobs")

PAUSE = 0.25  # seconds between two looks for a job; an idle worker takes 1% of a core
TIDYING = 1.0  # seconds between two looks for what dead workers left
TELLING = 0.2  # seconds between two notes of progress, and between two looks for a cancellation
GRACE = 30.0  # seconds that a running job has to finish once its worker is to stop


class Perform(Protocol):
    """What a job does: a verb of a workspace, from JSON to JSON."""

    def __call__(
        self,
        workspace: Workspace,
        verb: str,
        arguments: Plain,
        *,
        branch: str | None,
        expected_head: str | None,
    ) -> Plain:
        """Run a verb on a branch. Raises what the verb raises."""


class Worker:
    """Runs jobs of one workspace, in the thread that calls `run`."""

    def __init__(
        self, workspace: Workspace, jobs: Jobs, perform: Perform, *, grace: float = GRACE
    ) -> None:
        """grace: seconds that a running job has to finish after `stop`; then it is cancelled"""
        self._workspace = workspace
        self._jobs = jobs
        self._perform = perform
        self._grace = grace
        self._stopping = threading.Event()
        self._stopped_at = 0.0

    def stop(self) -> None:
        """Begin no further job. May be called by another thread, or where a signal arrives."""
        if not self._stopping.is_set():
            self._stopped_at = time.monotonic()
            self._stopping.set()

    def run(self, *, once: bool = False) -> int:
        """Run jobs until `stop`, or, once, until none may begin; how many were run.

        Raises OSError, LedgerUnusable, CommitUnknown, and what a database raises.
        """
        count, tidied = 0, -TIDYING
        with ExitStack() as stack:
            name = stack.enter_context(self._jobs.present())
            while not self._stopping.is_set():
                if time.monotonic() - tidied >= TIDYING:
                    if not self._jobs.lives(name):  # its connection broke, and its lock is gone
                        stack.close()
                        name = stack.enter_context(self._jobs.present())
                    self._jobs.settle()
                    self._jobs.restore()
                    tidied = time.monotonic()
                job = self._jobs.take(name)
                if job is not None:
                    self._run(job, name)
                    count += 1
                elif once:
                    break
                else:
                    self._stopping.wait(PAUSE)
        return count

    def _run(self, job: Job, name: str) -> None:
        """Run one job, and end it, whatever it raises. Raises CommitUnknown, LedgerUnusable."""
        request = job.request
        log.info("job %s: %s begins", job.id, request.verb)
        watch = Watch(self._jobs, job, name, self._is_late)
        try:
            with self._workspace.call(
                progress=watch.progress, cancelled=watch.cancelled, recording=watch.recording
            ):
                result = self._perform(
                    self._workspace,
                    request.verb,
                    request.arguments,
                    branch=request.branch,
                    expected_head=request.expected_head,
                )
        except CommitUnknown:
            raise  # the ledger tells what it recorded of the job, once it can be asked: `settle`
        except Cancelled as error:
            outcome = Outcome(JobState.CANCELLED, error=error.document(PLAIN))
        except Exception as error:
            outcome = Outcome(JobState.FAILED, error=as_own_error(error).document(PLAIN))
            if not isinstance(error, KnEditError):
                log.exception("job %s: unexpected", job.id)
        else:
            outcome = Outcome(JobState.DONE, result=result)
        self._jobs.end(job.id, name, outcome)
        log.info("job %s: %s is %s", job.id, request.verb, outcome.state)

    def _is_late(self) -> bool:
        """Whether the worker is to stop, and a running job has had its time to finish."""
        return self._stopping.is_set() and time.monotonic() - self._stopped_at >= self._grace


class Watch:
    """Listens to the verb of a job: keeps its progress and its moves, and cancels it."""

    def __init__(self, jobs: Jobs, job: Job, worker: str, is_late: Callable[[], bool]) -> None:
        """worker: the name of the one that runs the job"""
        self._jobs = jobs
        self._id = job.id
        self._worker = worker
        self._is_late = is_late
        self._task = ""
        self._told_at = self._looked_at = -TELLING
        self._cancelling = job.cancelling

    def progress(self, task: str, done: int, total: int) -> None:
        """Keep how far the job has come; each new task is a line of its log."""
        moment = time.monotonic()
        is_new = task != self._task
        if not is_new and moment - self._told_at < TELLING:
            return
        line = f"{datetime.now(UTC):%H:%M:%S} {task}" if is_new else None
        self._task, self._told_at = task, moment
        self._jobs.note(self._id, self._worker, JobProgress(task, done, total), line)

    def cancelled(self) -> bool:
        """Whether somebody asked for the job's end, or its worker has to stop."""
        moment = time.monotonic()
        if not self._cancelling and moment - self._looked_at >= TELLING:
            self._looked_at = moment
            self._cancelling = self._jobs.is_cancelling(self._id, self._worker)
        return self._cancelling or self._is_late()

    def recording(self, move: PlannedMove) -> None:
        """Keep a move of a branch that is recorded next. Raises WorkerLost."""
        self._jobs.note_move(self._id, self._worker, asdict(move))


def as_own_error(error: Exception) -> KnEditError:
    """An error as one of ours."""
    if isinstance(error, KnEditError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory()
    if isinstance(error, OSError) and error.filename is not None:
        return SystemRefused(str(error.filename), reason_of(error))
    return JobBroke(type(error).__name__, " ".join(str(error).split()) or "no reason given")
