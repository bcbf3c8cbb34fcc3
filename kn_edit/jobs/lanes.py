"""Ids of waiting jobs, handed out once each: the engine is huey's storage (docs/decisions).

A lane is a queue of its own: one for each branch, and one for jobs that only look. What travels
in it is the id of a job and nothing else, so nothing is pickled.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from huey.storage import SqliteStorage

QUEUE_DATABASE = "queue.db"
BUSY_SECONDS = 30


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
