"""Who asked for the moves of branches that came through the service, and from where.

A ledger keeps no names. What is known of its steps lies in the service's database, and outlives
the jobs that made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table, func, select
from sqlalchemy.exc import DBAPIError

from kn_edit.errors import KnEditError
from kn_edit.jobs.database import ServiceDatabase, is_made
from kn_edit.jobs.place import place_of
from kn_edit.workspace import Step

metadata = MetaData()

_AUDIT = (
    Column("number", Integer, primary_key=True),
    Column("moment", String, nullable=False),
    Column("caller", String),
    Column("role", String),
    Column("address", String),
    Column("method", String, nullable=False),
    Column("path", String, nullable=False),
    Column("branch", String),
    Column("status", Integer, nullable=False),
    Column("refused", String),
    Column("job", String),
)
audit = Table("audit", metadata, *_AUDIT, sqlite_autoincrement=True)
by_job = Index("audit_by_job", audit.c.job)

# version: to which the step led, since a ledger may have been exchanged for another one
# address: where no request of the audit queued a job
_CALLERS = (
    Column("step", Integer, primary_key=True),
    Column("version", String(64), nullable=False),
    Column("caller", String, nullable=False),
    Column("job", String),
    Column("address", String),
)
_callers = Table("callers", metadata, *_CALLERS)
_COUNT = select(func.count()).select_from(_callers)


@dataclass(frozen=True)
class StepCaller:
    """Who asked for a step. by: the name of the token, or `local`; address: None if unknown"""

    by: str
    address: str | None

    def plain(self) -> dict[str, str | None]:
        """As JSON."""
        return {"by": self.by, "address": self.address}

    def __str__(self) -> str:
        return f"by {self.by} from {self.address}" if self.address else f"by {self.by}"


def note_caller(
    connection: Connection,
    steps: Iterable[Step],
    caller: str,
    *,
    job: str | None = None,
    address: str | None = None,
) -> None:
    """Keep who asked for some steps. job: that made them; address: where no job did"""
    for step in steps:
        connection.execute(_callers.delete().where(_callers.c.step == step.seq))
        row = {"step": step.seq, "version": step.version, "caller": caller}
        connection.execute(_callers.insert().values(**row, job=job, address=address))


def callers_in(database: ServiceDatabase, steps: Sequence[Step]) -> dict[int, StepCaller]:
    """Who asked for steps, by their `seq`, as far as the service of a workspace knows it.

    What cannot be read is not told: the steps are known all the same.
    """
    if not steps:
        return {}
    with suppress(KnEditError, DBAPIError), database.reading() as connection:  # or has no table
        return _read(connection, {step.seq: step.version for step in steps})
    return {}


def callers_known(database: ServiceDatabase) -> int:
    """Of how many steps it is known who asked for them. Raises as `ServiceDatabase.reading`."""
    with database.reading() as connection:
        return int(connection.execute(_COUNT).scalar_one())


def callers_of(folder: Path, steps: Sequence[Step]) -> dict[int, StepCaller]:
    """The same where no service is open. folder: of the workspace"""
    if not steps:
        return {}
    with suppress(KnEditError, DBAPIError), closing(place_of(folder)) as place:
        if is_made(place):
            return callers_in(ServiceDatabase(place), steps)
    return {}


def caller_json(step: Step, callers: Mapping[int, StepCaller]) -> dict[str, str | None]:
    """Who asked for a step, as members of its JSON; none where nobody knows."""
    caller = callers.get(step.seq)
    return caller.plain() if caller else {}


def _read(connection: Connection, versions: Mapping[int, str]) -> dict[int, StepCaller]:
    """Who asked for steps. versions: to which each led"""
    ends = min(versions), max(versions)
    rows = connection.execute(_callers.select().where(_callers.c.step.between(*ends))).all()
    rows = [row for row in rows if versions.get(row.step) == row.version]
    addresses: dict[str, str] = {}
    jobs = [row.job for row in rows if row.job]
    for start in range(0, len(jobs), 500):  # a statement takes so many values, and not any number
        is_theirs = audit.c.job.in_(jobs[start : start + 500])
        requests = connection.execute(audit.select().where(is_theirs)).all()
        addresses |= {row.job: row.address for row in requests if row.address}
    return {
        row.step: StepCaller(row.caller, row.address or addresses.get(row.job or ""))
        for row in rows
    }
