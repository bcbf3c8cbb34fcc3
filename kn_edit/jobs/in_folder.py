"""The service beside a ledger in its folder: a file of SQLite, a queue of huey, locks of files."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from sqlalchemy import Connection, Engine

from kn_edit.errors import KnEditError
from kn_edit.jobs.presence import WorkerFiles
from kn_edit.ledger.sqlite_file import SQLiteFile

SERVICE_DATABASE = "service.db"
WORKERS = "workers"  # the folder of their locks


class FolderPlace:
    """A `Place` in the folder of a ledger."""

    def __init__(self, folder: Path) -> None:
        """folder: of the ledger"""
        self.queue_folder: Path | None = folder
        self._file = SQLiteFile(folder / SERVICE_DATABASE)
        self._file.keep_connections()  # who opens a service's database asks it again and again
        self.engine = self._file.engine
        self.driver_errors = self._file.driver_errors
        self.presence = WorkerFiles(folder / WORKERS)

    def is_made(self) -> bool:
        """Whether there is a file."""
        return self._file.path.exists()

    @property
    def reader(self) -> Engine:
        """The engine that reads, by connections that stay open."""
        return self._file.reader()

    def state(self) -> Hashable | None:
        """Something that is another one after each commit of anybody; None where it is not told."""
        return self._file.state()

    def prepare(self) -> None:
        """Make the file, which readers and one writer use side by side."""
        self._file.write_ahead()

    def lock(self, connection: Connection) -> None:
        """Nothing: who writes has all of the file."""

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""
        return self._file.meaning(error)

    def close(self) -> None:
        """Give back what is held."""
        self._file.close()
