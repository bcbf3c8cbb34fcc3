"""The service in the PostgreSQL database of its ledger: workers of several machines share it.

Its tables have a schema of their own for each workspace. Rows hand out jobs, by one conditional
UPDATE. A worker holds an advisory lock of a session, which the server releases when that ends.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from kn_edit.canonical import canonical_json, digest
from kn_edit.errors import KnEditError
from kn_edit.ledger.dialect import WRITES
from kn_edit.ledger.dialects import dialect_of

# The first number of the lock of writers; those of a ledger have others (kn_edit.ledger.postgres).
_WRITERS = 0x6B6E0004
_LOCK = text("SELECT pg_advisory_xact_lock(:kind, :number)")
# Of a worker: the numbers of its service and of itself.
_HOLD = text(
    "SELECT pg_advisory_lock(:service, :worker), set_config('application_name', :name, false)"
)
_RELEASE = text("SELECT pg_advisory_unlock(:service, :worker)")
# Shared: two that look at once do not take each other for the worker.
_IS_FREE = text("SELECT pg_try_advisory_xact_lock_shared(:service, :worker)")
_LIVING = text(
    "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND classid = CAST(:service AS oid) AND objsubid = 2 "
    "AND mode = 'ExclusiveLock' AND granted AND datname = current_database()"
)
_LEDGER_SCHEMA = text("SELECT current_schema()")
_MOST_NAME = 63  # bytes of the name of a session
_WORKER = "kn-edit worker"  # what its session is called, with its process and its machine
_HAS_SCHEMA = text("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = :name)")
_COMMENT = "COMMENT ON SCHEMA {} IS 'the service of a kn-edit workspace'"


class PostgresPlace:
    """A `Place` in a PostgreSQL database."""

    def __init__(self, url: str, workspace: str) -> None:
        """url: of the ledger's database; workspace: its name there

        Raises UnsupportedDatabase, DriverMissing.
        """
        self._database = dialect_of(url)
        self._workspace = workspace
        self.queue_folder: Path | None = None
        self._number = 0  # that locks of this service have
        self.engine = self._database.engine
        self.driver_errors = self._database.driver_errors
        self.presence = WorkerLocks(self.engine, self._number)

    def is_made(self) -> bool:
        """Whether there is a schema of the service."""
        with self.engine.connect() as connection, connection.begin():
            return _has_schema(connection, self._schema(connection))

    @property
    def reader(self) -> Engine:
        """The engine that reads: the one that writes."""
        return self.engine

    def state(self) -> None:
        """It is not told: only a query would."""
        return

    def prepare(self) -> None:
        """Make the schema, and let statements mean its tables."""
        with (
            self.engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            schema = self._schema(connection)
            self.lock(connection)
            if not _has_schema(connection, schema):
                connection.execute(CreateSchema(schema))
                connection.execute(text(_COMMENT.format(schema)))
        self.presence = WorkerLocks(self.engine, self._number)
        self.engine = self.engine.execution_options(schema_translate_map={None: schema})

    def _schema(self, connection: Connection) -> str:
        """The name of the service's schema; it and a number stand for workspace and database."""
        ledger_schema = connection.execute(_LEDGER_SCHEMA).scalar()
        id_ = digest(canonical_json([ledger_schema, self._workspace]))
        self._number = int(id_[:7], 16)
        return f"kn_edit_{id_[:16]}"

    def lock(self, connection: Connection) -> None:
        """Hold the advisory lock of the service's writers until the transaction ends."""
        connection.execute(_LOCK, {"kind": _WRITERS, "number": self._number})

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""
        return self._database.meaning(error)

    def close(self) -> None:
        """Give back what is held."""
        self._database.close()


class WorkerLocks:
    """Workers by advisory locks, each of a session of its own."""

    def __init__(self, engine: Engine, service: int) -> None:
        """service: the number that stands for it in the locks of its workers"""
        self._engine = engine
        self._service = service

    @contextmanager
    def present(self) -> Iterator[str]:
        """Be a worker inside the block; its name."""
        name = f"{os.getpid()}-{secrets.randbits(31):08x}"
        session = f"{_WORKER} {os.getpid()} {socket.gethostname()}"
        connection = self._engine.connect()
        try:
            with connection.begin():
                connection.execute(_HOLD, self._numbers(name) | {"name": session[:_MOST_NAME]})
            yield name
        finally:
            with suppress(DBAPIError), connection.begin():
                connection.execute(_RELEASE, self._numbers(name))
            with suppress(DBAPIError):
                connection.close()

    def lives(self, name: str) -> bool:
        """Whether a worker holds its lock."""
        with self._engine.connect() as connection, connection.begin():
            return not connection.execute(_IS_FREE, self._numbers(name)).scalar()

    def living(self) -> list[int]:
        """The process ids of the workers that live; 0 for one of another machine."""
        with self._engine.connect() as connection, connection.begin():
            sessions = connection.execute(_LIVING, {"service": self._service}).scalars().all()
        return [_process_id(str(session)) for session in sessions]

    def _numbers(self, name: str) -> dict[str, object]:
        """The numbers of a worker's lock: of its service, and 31 bits of its name."""
        return {"service": self._service, "worker": int(name.rpartition("-")[2], 16)}


def _has_schema(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_HAS_SCHEMA, {"name": name}).scalar())


def _process_id(session: str) -> int:
    """The process that a session of a worker is called after; 0 where that is elsewhere."""
    process, _, machine = session.removeprefix(f"{_WORKER} ").partition(" ")
    is_here = machine != "" and socket.gethostname().startswith(machine)
    return int(process) if is_here and process.isdecimal() else 0
