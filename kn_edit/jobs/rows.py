"""Jobs as rows: each function is one step of a job's life, in a transaction of the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Update,
    and_,
    exists,
    func,
    insert,
    select,
    update,
)

from kn_edit.errors import JobEnded, UnknownJob
from kn_edit.jobs.job import Job, JobProgress, JobRequest, JobState, Plain
from kn_edit.jobs.tables import jobs, log_lines


@dataclass(frozen=True)
class Outcome:
    """How a job ended. result, error: as those of a Job"""

    state: JobState
    result: Plain | None = None
    error: Plain | None = None


_busy = jobs.alias("busy")
_BRANCH_IS_BUSY = exists().where(
    and_(_busy.c.branch == jobs.c.branch, _busy.c.state == JobState.RUNNING)
)


def add(connection: Connection, id: str, request: JobRequest, created: str) -> int:
    """Add a queued job; its number."""
    values = {
        "id": id,
        "verb": request.verb,
        "arguments": dict(request.arguments),
        "branch": request.branch,
        "expected_head": request.expected_head,
        "by": request.by,
        "key": request.key,
        "state": JobState.QUEUED,
        "created": created,
    }
    result = connection.execute(insert(jobs).values(values))
    (number,) = result.inserted_primary_key or (0,)
    return int(number)


def row_of(connection: Connection, id: str) -> RowMapping:
    """The row of a job. Raises UnknownJob."""
    row = connection.execute(select(jobs).where(jobs.c.id == id)).mappings().first()
    if row is None:
        raise UnknownJob(id)
    return row


def with_key(connection: Connection, key: str) -> Job | None:
    """The job of a key, if there is one."""
    row = connection.execute(select(jobs).where(jobs.c.key == key)).mappings().first()
    return None if row is None else job_of(connection, row)


def job_of(connection: Connection, row: RowMapping) -> Job:
    """A job with its log."""
    lines = select(log_lines.c.text).where(log_lines.c.job == row["number"])
    log = connection.execute(lines.order_by(log_lines.c.line)).scalars().all()
    return _job(row, log)


def newest(connection: Connection, most: int, before: str | None) -> list[Job]:
    """The newest jobs, newest first; those submitted before one where it is named."""
    query = select(jobs).order_by(jobs.c.number.desc()).limit(most)
    if before is not None:
        query = query.where(jobs.c.number < row_of(connection, before)["number"])
    rows = connection.execute(query).mappings().all()
    return [job_of(connection, row) for row in rows]


def counts(connection: Connection) -> dict[tuple[str, JobState], int]:
    """How many jobs there are of each verb in each state."""
    query = select(jobs.c.verb, jobs.c.state, func.count()).group_by(jobs.c.verb, jobs.c.state)
    return {(verb, JobState(state)): count for verb, state, count in connection.execute(query)}


def queued(connection: Connection) -> list[RowMapping]:
    """The id, number and branch of each queued job, oldest first."""
    columns = (jobs.c.id, jobs.c.number, jobs.c.branch)
    query = select(*columns).where(jobs.c.state == JobState.QUEUED).order_by(jobs.c.number)
    return list(connection.execute(query).mappings())


def oldest_queued(connection: Connection, branch: str | None) -> str | None:
    """The id of the queued job of a branch that was submitted first."""
    waiting = and_(jobs.c.state == JobState.QUEUED, jobs.c.branch.is_not_distinct_from(branch))
    query = select(jobs.c.id).where(waiting).order_by(jobs.c.number).limit(1)
    return connection.execute(query).scalar()


def free_branches(connection: Connection) -> list[str | None]:
    """The branches on which a job waits and none runs, the longest waiting first."""
    waiting = and_(jobs.c.state == JobState.QUEUED, ~_BRANCH_IS_BUSY)
    query = select(jobs.c.branch).where(waiting).group_by(jobs.c.branch)
    return list(connection.execute(query.order_by(func.min(jobs.c.number))).scalars())


def claim(connection: Connection, id: str, worker: str, started: str) -> bool:
    """Make a queued job a running one of a worker; False where it waits or has begun already."""
    free = and_(jobs.c.id == id, jobs.c.state == JobState.QUEUED, ~_BRANCH_IS_BUSY)
    values = {"state": JobState.RUNNING, "worker": worker, "started": started}
    return connection.execute(update(jobs).where(free).values(values)).rowcount == 1


def running(connection: Connection) -> list[RowMapping]:
    """The rows of running jobs."""
    query = select(jobs).where(jobs.c.state == JobState.RUNNING)
    return list(connection.execute(query).mappings())


def is_run_by(connection: Connection, id: str, worker: str) -> bool:
    """Whether a worker runs a job. Raises UnknownJob."""
    row = row_of(connection, id)
    return bool(row["state"] == JobState.RUNNING and row["worker"] == worker)


def take_over(connection: Connection, id: str, worker: str, heir: str) -> bool:
    """Take a running job from a worker; False where it runs it no longer."""
    values = {"worker": heir}
    return connection.execute(_run_by(id, worker).values(values)).rowcount == 1


def end(connection: Connection, id: str, worker: str, outcome: Outcome, ended: str) -> bool:
    """End a job that a worker runs; False where it runs it no longer."""
    values = {**asdict(outcome), "ended": ended}
    return connection.execute(_run_by(id, worker).values(values)).rowcount == 1


def cancel(connection: Connection, id: str, ended: str) -> None:
    """Take a queued job out, or ask a running one to stop. Raises UnknownJob, JobEnded."""
    row = row_of(connection, id)
    state = JobState(row["state"])
    if state.final:
        raise JobEnded(id, state)
    values: dict[str, Any] = {"cancelling": True}
    if state is JobState.QUEUED:
        values = {"state": JobState.CANCELLED, "ended": ended}
    connection.execute(update(jobs).where(jobs.c.id == id).values(values))


def note_progress(connection: Connection, id: str, worker: str, progress: JobProgress) -> bool:
    """Keep how far a worker has come with a job; False where it runs it no longer."""
    values = {"task": progress.task, "steps_done": progress.done, "steps": progress.total}
    return connection.execute(_run_by(id, worker).values(values)).rowcount == 1


def note_line(connection: Connection, id: str, text: str) -> None:
    """Add a line to the log of a job."""
    number = row_of(connection, id)["number"]
    lines = select(func.count()).where(log_lines.c.job == number)
    line = connection.execute(lines).scalar_one()
    connection.execute(insert(log_lines).values(job=number, line=line, text=text))


def note_move(connection: Connection, id: str, move: Plain) -> None:
    """Keep a move of a branch that a job is about to record."""
    moves = [*row_of(connection, id)["moves"], dict(move)]
    connection.execute(update(jobs).where(jobs.c.id == id).values(moves=moves))


def _run_by(id: str, worker: str) -> Update:
    """An update of a job, if a worker runs it."""
    is_it = and_(jobs.c.id == id, jobs.c.state == JobState.RUNNING, jobs.c.worker == worker)
    return update(jobs).where(is_it)


def _job(row: RowMapping, log: Sequence[str]) -> Job:
    task = row["task"]
    return Job(
        id=row["id"],
        request=JobRequest(
            verb=row["verb"],
            arguments=row["arguments"],
            branch=row["branch"],
            expected_head=row["expected_head"],
            by=row["by"],
            key=row["key"],
        ),
        state=JobState(row["state"]),
        created=row["created"],
        started=row["started"],
        ended=row["ended"],
        progress=None if task is None else JobProgress(task, row["steps_done"], row["steps"]),
        log=tuple(log),
        cancelling=row["cancelling"],
        result=row["result"],
        error=row["error"],
    )
