"""The jobs of a workspace: submitted by anybody, run by workers, each at most once.

The row of a job says where it stands (rows); lanes hand its id to a worker; a lock says whether
that worker lives (place). So a job whose worker died is never begun
again: it ends as failed, or as done where the ledger has what it was about to record.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping

from kn_edit.errors import KnEditError, UnknownBranch, UnknownJob, WorkerLost
from kn_edit.errors.remedies import PLAIN
from kn_edit.jobs import pruning, rows
from kn_edit.jobs.callers import metadata as caller_tables
from kn_edit.jobs.callers import note_caller
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.job import Job, JobProgress, JobRequest, JobState, Plain
from kn_edit.jobs.lanes import lanes_of
from kn_edit.jobs.tables import metadata
from kn_edit.workspace import Step, Workspace

log = logging.getLogger("kn_edit.jobs")

LOOKED_AT = 1000  # moves of a branch, the newest
GLANCE = 0.1  # seconds between two looks of a caller who waits


def now() -> str:
    """The time of this moment, UTC, ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Jobs:
    """The jobs of a workspace, as kn_edit.jobs.job.JobQueue says."""

    def __init__(self, workspace: Workspace) -> None:
        """workspace: an open one; its ledger tells what dead workers had recorded.

        Raises LedgerUnusable, LedgerBusy.
        """
        self._ledger = workspace.ledger
        self._database = ServiceDatabase.of(workspace.folder, metadata, caller_tables)
        self._lanes = lanes_of(self._database)

    @contextmanager
    def present(self) -> Iterator[str]:
        """Be a worker inside the block; its name. Raises OSError, and what a database raises."""
        with ExitStack() as stack:
            with self._database.explained():
                name = stack.enter_context(self._database.place.presence.present())
            yield name

    def lives(self, worker: str) -> bool:
        """Whether a worker lives, by its name. Raises OSError, and what a database raises."""
        with self._database.explained():
            return self._database.place.presence.lives(worker)

    def close(self) -> None:
        """Give back what is held."""
        self._lanes.close()
        self._database.close()

    # --- for who has work ------------------------------------------------------------------------

    def submit(self, request: JobRequest) -> Job:
        """Queue a job; where one with this key is there, that one."""
        id = secrets.token_hex(16)
        with self._database.writing() as connection:
            former = rows.with_key(connection, request.key) if request.key else None
            if former is not None:
                return former
            number = rows.add(connection, id, request, now())
            job = rows.job_of(connection, rows.row_of(connection, id))
        # Whoever is killed here leaves a job that no lane holds: `restore` puts it there.
        self._lanes.put(request.branch, number, id)
        return job

    def get(self, id: str) -> Job:
        """A job as it stands now. Raises UnknownJob."""
        with self._database.reading() as connection:
            row = rows.row_of(connection, id)
            job = rows.job_of(connection, row)
        if job.state is JobState.RUNNING and not self.lives(row["worker"]):
            self.settle()
            with self._database.reading() as connection:
                return rows.job_of(connection, rows.row_of(connection, id))
        return job

    def wait(self, id: str, seconds: float) -> Job:
        """A job once it has ended, or as it stands after so many seconds. Raises UnknownJob."""
        until = time.monotonic() + seconds
        while True:
            job = self.get(id)
            if job.state.final or time.monotonic() >= until:
                return job
            time.sleep(GLANCE)

    def jobs(self, most: int = 50, *, before: str | None = None) -> list[Job]:
        """The newest jobs, newest first.

        before: the id of a job; only those that were submitted before it. Raises UnknownJob.
        """
        self.settle()
        with self._database.reading() as connection:
            return rows.newest(connection, most, before)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs there are of each verb in each state. Raises LedgerUnusable, LedgerBusy."""
        with self._database.reading() as connection:
            return rows.counts(connection)

    def living_workers(self) -> list[int]:
        """The process ids of the workers that live; 0 for one of another machine.

        Raises OSError, and what a database raises.
        """
        with self._database.explained():
            return self._database.place.presence.living()

    def prune(self, most: int, days: float) -> int:
        """Remove jobs that ended so many days ago, or before the newest ones; how many.

        Jobs stay as long as their keys hold, and a page of the newest stays in any case.
        """
        return pruning.prune(self._database, pruning.Keeping(most, days))

    def cancel(self, id: str) -> Job:
        """Take a queued job out, or ask a running one to stop. Raises UnknownJob, JobEnded."""
        self.get(id)
        with self._database.writing() as connection:
            rows.cancel(connection, id, now())
        return self.get(id)

    # --- for workers -----------------------------------------------------------------------------

    def take(self, worker: str) -> Job | None:
        """The next job for a worker, which has begun now; None where none may begin.

        worker: its name, of `present`
        """
        with self._database.reading() as connection:
            branches = rows.free_branches(connection)
        for branch in branches:
            while (id := self._lanes.take(branch)) is not None:
                job = self._begun(id, worker)
                if job is None:  # cancelled, or twice in its lane
                    continue
                if job.state is JobState.RUNNING:
                    return job
                break  # another one of its branch has begun
        return None

    def settle(self) -> list[str]:
        """End the jobs whose workers are dead; their ids."""
        with self._database.reading() as connection:
            running = rows.running(connection)
        lost = [row for row in running if not self.lives(row["worker"])]
        return [row["id"] for row in lost if self._settled(row["id"], row["worker"])]

    def restore(self) -> list[str]:
        """Put queued jobs that no lane holds back into theirs; their ids.

        Who submitted or took them was killed half-way. Where somebody is half-way just now, the
        id is in a lane twice, which lets the job begin once all the same.
        """
        with self._database.reading() as connection:
            queued = rows.queued(connection)
        held = {branch: self._lanes.waiting(branch) for branch in {row["branch"] for row in queued}}
        missing = [row for row in queued if row["id"] not in held[row["branch"]]]
        for row in missing:
            self._lanes.put(row["branch"], row["number"], row["id"])
        return [row["id"] for row in missing]

    def end(self, id: str, worker: str, outcome: rows.Outcome) -> None:
        """End a job that a worker runs."""
        with self._database.writing() as connection:
            row = rows.row_of(connection, id)
            ended = rows.end(connection, id, worker, outcome, now())
        if ended:
            self._note_caller(row, outcome)

    def is_cancelling(self, id: str, worker: str) -> bool:
        """Whether a worker has to stop a job: somebody asked for its end, or took it from it.

        Raises UnknownJob.
        """
        with self._database.reading() as connection:
            cancelling = bool(rows.row_of(connection, id)["cancelling"])
            return cancelling or not rows.is_run_by(connection, id, worker)

    def note(self, id: str, worker: str, progress: JobProgress, line: str | None = None) -> None:
        """Keep how far a worker has come with a job, and a line of its log."""
        with self._database.writing() as connection:
            if rows.note_progress(connection, id, worker, progress) and line is not None:
                rows.note_line(connection, id, line)

    def note_move(self, id: str, worker: str, move: Plain) -> None:
        """Keep a move of a branch that a job is about to record: branch, version, edit.

        Raises WorkerLost where the job was taken from its worker: then nothing may be recorded.
        """
        with self._database.writing() as connection:
            if not rows.is_run_by(connection, id, worker):
                raise WorkerLost(id)
            rows.note_move(connection, id, {**move, "moment": now()})

    # --- inside ----------------------------------------------------------------------------------

    def _begun(self, id: str, worker: str) -> Job | None:
        """The job of an id from a lane: running now, or queued and back in its lane.

        None where it has begun, or ended, or is unknown.
        """
        try:
            with self._database.writing() as connection:
                claimed = rows.claim(connection, id, worker, now())
                row = rows.row_of(connection, id)
                job = rows.job_of(connection, row)
        except UnknownJob:  # somebody removed the database of the service
            return None
        if not claimed and job.state is JobState.QUEUED:
            self._lanes.put(row["branch"], row["number"], id)
            return job
        return job if claimed else None

    def _settled(self, id: str, worker: str) -> bool:
        """End a job whose worker has lost its lock; False where somebody else did.

        The job is taken from the worker first. Where it lives all the same, as when it only lost
        its connection, it then records no more; and what it was recording just now is waited for.
        """
        heir = f"settling-{secrets.randbits(31):08x}"  # a name that nobody has
        with self._database.writing() as connection:
            if not rows.take_over(connection, id, worker, heir):
                return False
            row = rows.row_of(connection, id)
        self._ledger.after_others()
        outcome = self._outcome_of_lost(row)
        with self._database.writing() as connection:
            ended = rows.end(connection, id, heir, outcome, now())
            if ended:
                rows.note_line(connection, id, "the worker died")
        if ended:
            self._note_caller(row, outcome)
        return ended

    def _note_caller(self, row: RowMapping, outcome: rows.Outcome) -> None:
        """Keep who asked for the steps that a job made: those that led where its moves went."""
        versions = {move["version"] for move in row["moves"]}
        if outcome.result is not None and row["branch"] is not None:
            versions.add(str(outcome.result.get("version")))
        if not versions:
            return
        try:
            newest: dict[str, Step] = {}  # of each version: an older one may be of somebody else
            for step in self._ledger.log(LOOKED_AT, branch=row["branch"] or "head"):
                if step.version in versions and step.created >= row["started"]:
                    newest.setdefault(step.version, step)
            with self._database.writing() as connection:
                note_caller(connection, newest.values(), row["by"], job=row["id"])
        except KnEditError as error:  # the job has done what it did
            log.warning("who asked for job %s is not noted: %s", row["id"], error)

    def _outcome_of_lost(self, row: RowMapping) -> rows.Outcome:
        """How a job ended whose worker died."""
        recorded = self._recorded(row)
        if recorded is not None:
            return rows.Outcome(JobState.DONE, result=recorded)
        if row["cancelling"]:
            return rows.Outcome(JobState.CANCELLED)
        return rows.Outcome(JobState.FAILED, error=WorkerLost(row["id"]).document(PLAIN))

    def _recorded(self, row: RowMapping) -> dict[str, Any] | None:
        """What the ledger has of a job whose worker died: the last of its moves that is there."""
        for move in reversed(row["moves"]):
            steps: list[Step] = []
            with suppress(UnknownBranch):
                steps = self._ledger.log(LOOKED_AT, branch=move["branch"])
            since = (step for step in steps if step.created >= move["moment"])
            if any(step.version == move["version"] for step in since):
                return {"edit": move["edit"], "version": move["version"], "worker_lost": True}
        return None
