"""Who changed what by the service, and who was refused. Rows are only added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from kn_edit.jobs.database import ServiceDatabase
from kn_edit.safetext import shown
from kn_edit.service.access.tables import audit

MOST_TEXT = 300  # characters of what a stranger wrote


@dataclass(frozen=True)
class AuditRow:
    """One request that changed something, or was refused.

    moment: UTC, ISO 8601; caller, role: None for nobody; address: of the other end; branch: that it
    named; status: of the answer; refused: the name of the error, None where it was let through;
    job: that it queued
    """

    moment: str
    caller: str | None
    role: str | None
    address: str | None
    method: str
    path: str
    branch: str | None
    status: int
    refused: str | None
    job: str | None


class Audit:
    """The audit of a service."""

    def __init__(
        self, database: ServiceDatabase, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._now = now

    def moment(self) -> str:
        """This moment, as rows say it."""
        return self._now().isoformat(timespec="milliseconds")

    def note(self, row: AuditRow) -> None:
        """Add a row. What strangers wrote is made safe to read, and cut."""
        values = {name: _safe(value) for name, value in asdict(row).items()}
        with self._database.writing() as connection:
            connection.execute(audit.insert().values(**values))

    def rows(self, most: int, *, before: int | None = None) -> list[tuple[int, AuditRow]]:
        """The newest rows with their numbers, newest first. before: only those of lower numbers"""
        query = select(audit).order_by(audit.c.number.desc()).limit(most)
        if before is not None:
            query = query.where(audit.c.number < before)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            (row["number"], AuditRow(**{k: v for k, v in row.items() if k != "number"}))
            for row in rows
        ]


def _safe(value: object) -> object:
    return shown(value, MOST_TEXT) if isinstance(value, str) else value
