"""Where the service keeps what is its own: beside the ledger in its folder, or in its database."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine

from kn_edit.errors import KnEditError
from kn_edit.jobs.in_folder import FolderPlace
from kn_edit.jobs.in_postgres import PostgresPlace
from kn_edit.workspace.folder import LEDGER
from kn_edit.workspace.settings import storage_of


class Presence(Protocol):
    """Which workers live: each holds a lock that is gone when its process is, however."""

    def present(self) -> AbstractContextManager[str]:
        """Be a worker inside the block; its name."""

    def lives(self, name: str) -> bool:
        """Whether a worker holds its lock."""

    def living(self) -> list[int]:
        """The process ids of the workers that live; 0 for one of another machine."""


class Place(Protocol):
    """One kind of place. Errors of a driver pass through; `meaning` says what they mean."""

    engine: Engine
    driver_errors: tuple[type[Exception], ...]  # beside those that SQLAlchemy wraps
    queue_folder: Path | None  # for files of a queue; None where rows hand out jobs

    @property
    def reader(self) -> Engine:
        """The engine that reads."""

    @property
    def presence(self) -> Presence:
        """Which workers live."""

    def is_made(self) -> bool:
        """Whether a service ever kept anything here."""

    def state(self) -> Hashable | None:
        """Something that is another one after each commit of anybody; None where it is not told."""

    def prepare(self) -> None:
        """Make what tables are made in."""

    def lock(self, connection: Connection) -> None:
        """Let nobody else write before this transaction, which writes, ends."""

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""

    def close(self) -> None:
        """Give back what is held."""


def place_of(folder: Path) -> Place:
    """The place of the service of a workspace: where its ledger lies.

    folder: of the workspace. Raises BadSettingsFile, UnsupportedDatabase, DriverMissing.
    """
    storage = storage_of(folder)
    url = storage.database_url
    if url is None:
        return FolderPlace(folder / LEDGER)
    return PostgresPlace(url, storage.workspace)
