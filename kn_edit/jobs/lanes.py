"""Ids of waiting jobs, in lanes: one for each branch, and one for jobs that only look.

In a folder huey's storage hands out each id once (docs/decisions). What travels in it is the id of
a job and nothing else, so nothing is pickled. In PostgreSQL the rows of jobs hand them out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Protocol

from huey.storage import SqliteStorage
from sqlalchemy import Connection

from kn_edit.jobs import rows
from kn_edit.jobs.database import ServiceDatabase

QUEUE_DATABASE = "queue.db"
BUSY_SECONDS = 30

Reading = Callable[[], AbstractContextManager[Connection]]


class Lanes(Protocol):
    """Ids of waiting jobs: a lane for each branch, and one for jobs that only look."""

    def put(self, branch: str | None, number: int, id: str) -> None:
        """Let a job wait behind those with smaller numbers."""

    def take(self, branch: str | None) -> str | None:
        """The id of the first job that waits in a lane; None where none is."""

    def waiting(self, branch: str | None) -> set[str]:
        """The ids that wait in a lane."""

    def close(self) -> None:
        """Give back what is held."""


def lanes_of(database: ServiceDatabase) -> Lanes:
    """The lanes of the jobs in a database."""
    folder = database.place.queue_folder
    return RowLanes(database.reading) if folder is None else QueueLanes(folder)


class QueueLanes:
    """The lanes of a workspace. May be used by several threads and processes at once."""

    def __init__(self, folder: Path) -> None:
        """folder: of the ledger"""
        self._path = folder / QUEUE_DATABASE
        self._lanes: dict[str | None, SqliteStorage] = {}
        self._opening = Lock()

    def put(self, branch: str | None, number: int, id: str) -> None:
        """Let a job wait behind those with smaller numbers."""
        self._lane(branch).enqueue(id.encode(), priority=-number)

    def take(self, branch: str | None) -> str | None:
        """The id of the first job that waits in a lane; nobody else gets it. None where none is."""
        data = self._lane(branch).dequeue()
        return None if data is None else bytes(data).decode()

    def waiting(self, branch: str | None) -> set[str]:
        """The ids that wait in a lane."""
        return {bytes(data).decode() for data in self._lane(branch).enqueued_items()}

    def close(self) -> None:
        """Give back what is held."""
        with self._opening:
            for lane in self._lanes.values():
                lane.close()
            self._lanes.clear()

    def _lane(self, branch: str | None) -> SqliteStorage:
        with self._opening:
            if branch not in self._lanes:
                name = "looking" if branch is None else f"branch:{branch}"
                self._lanes[branch] = SqliteStorage(
                    name, str(self._path), fsync=True, timeout=BUSY_SECONDS, strict_fifo=True
                )
            return self._lanes[branch]


class RowLanes:
    """The rows of queued jobs as lanes. Two may take one id; the job begins once all the same."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def put(self, branch: str | None, number: int, id: str) -> None:
        """Nothing: a queued job waits by its row."""

    def take(self, branch: str | None) -> str | None:
        """The id of the oldest queued job of a branch."""
        with self._reading() as connection:
            return rows.oldest_queued(connection, branch)

    def waiting(self, branch: str | None) -> set[str]:
        """The ids of the queued jobs of a branch."""
        with self._reading() as connection:
            return {row["id"] for row in rows.queued(connection) if row["branch"] == branch}

    def close(self) -> None:
        """Nothing is held."""
