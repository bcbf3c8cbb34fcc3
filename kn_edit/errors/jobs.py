"""Errors about jobs: long work that outlives the request for it."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError


@dataclass
class UnknownJob(KnEditError):
    """A job that this workspace does not have."""

    id: str

    def __str__(self) -> str:
        return f"there is no job {self.id!r} in this workspace; list the jobs to see their ids"


@dataclass
class JobEnded(KnEditError):
    """A job to cancel that has ended already. state: in which it ended"""

    exit_code = ExitCode.CONFLICT
    id: str
    state: str

    def __str__(self) -> str:
        return (
            f"job {short(self.id)} ended as {self.state} already, so it cannot be cancelled; look "
            "at its result"
        )


@dataclass
class WorkerLost(KnEditError):
    """A job whose worker died while it ran, before anything of it was recorded.

    The job does not run again by itself: work that has begun may have written files.
    """

    id: str

    def __str__(self) -> str:
        return (
            f"the worker of job {short(self.id)} died before anything was recorded in the ledger; "
            "submit the job again"
        )


@dataclass
class JobBroke(KnEditError):
    """A job that ended with an error which is a mistake of the program.

    kind: of the exception; reason: what it says
    """

    kind: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the job ended with an unexpected {self.kind} ({self.reason}); the worker's log has "
            "the traceback, so report it, then submit the job again"
        )
