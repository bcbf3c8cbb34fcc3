"""Old jobs that have ended are removed, so that the database of the service does not grow.

What is kept all the same: every job of the last day, whose request may be sent again with its
`Idempotency-Key`, and the newest ones, of which the history shows who asked for them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from kn_edit.jobs.database import ServiceDatabase, is_made
from kn_edit.jobs.job import KEY_SECONDS, JobState
from kn_edit.jobs.place import place_of
from kn_edit.jobs.tables import jobs, log_lines, metadata

NEWEST = 50  # jobs that stay however old they are: those that the history shows
BATCH = 200  # jobs that are removed while other writers wait once
ENDED = [state for state in JobState if state.final]


@dataclass(frozen=True)
class Keeping:
    """Which jobs that have ended are kept. most: the newest; days: those that ended since then"""

    most: int
    days: float


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def prune_folder(folder: Path, keeping: Keeping) -> int:
    """Remove old jobs of the service of the workspace in a folder, if there are any; how many.

    Raises as ServiceDatabase.of.
    """
    with closing(place_of(folder)) as place:
        return prune(ServiceDatabase(place, metadata), keeping) if is_made(place) else 0


def prune(
    database: ServiceDatabase, keeping: Keeping, now: Callable[[], datetime] = utc_now
) -> int:
    """Remove old jobs that have ended, with their logs; how many. Their keys are free again.

    Raises LedgerUnusable, LedgerBusy.
    """
    moment, count = now(), 0
    while True:
        with database.writing() as connection:
            _free_keys(connection, moment)
            numbers = _prunable(connection, keeping, moment)
            connection.execute(delete(log_lines).where(log_lines.c.job.in_(numbers)))
            connection.execute(delete(jobs).where(jobs.c.number.in_(numbers)))
        count += len(numbers)
        if len(numbers) < BATCH:
            return count


def _free_keys(connection: Connection, moment: datetime) -> None:
    """Let keys of requests name other requests again, once their day is over."""
    held = jobs.c.key.is_not(None) & _ended_before(moment, timedelta(seconds=KEY_SECONDS))
    connection.execute(update(jobs).where(held).values(key=None))


def _prunable(connection: Connection, keeping: Keeping, moment: datetime) -> list[int]:
    """The numbers of jobs that need not be kept, the oldest first; a batch of them."""
    is_old = _ended_before(moment, timedelta(days=keeping.days))
    has_newer = _has_newer(max(keeping.most, NEWEST), of=jobs.c.state.in_(ENDED))
    query = select(jobs.c.number).where(
        and_(
            _ended_before(moment, timedelta(seconds=KEY_SECONDS)),
            _has_newer(NEWEST),
            or_(is_old, has_newer),
        )
    )
    return list(connection.execute(query.order_by(jobs.c.number).limit(BATCH)).scalars())


def _ended_before(moment: datetime, age: timedelta) -> ColumnElement[bool]:
    """Whether a job ended so long before a moment."""
    before = (moment - age).isoformat(timespec="seconds")
    return jobs.c.state.in_(ENDED) & (jobs.c.ended < before)


def _has_newer(count: int, *, of: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """Whether so many jobs are newer than a job. of: only those count"""
    newer = select(jobs.c.number).order_by(jobs.c.number.desc()).offset(count).limit(1)
    if of is not None:
        newer = newer.where(of)
    return jobs.c.number <= newer.scalar_subquery()
