"""A ledger's database in PostgreSQL: see `Dialect`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from kn_edit.errors import (
    DatabaseHasNoLedger,
    DatabaseHoldsLedger,
    DatabaseReadOnly,
    DatabaseUnsuitable,
    KnEditError,
)
from kn_edit.ledger import postgres_shape
from kn_edit.ledger.dialect import WRITES, Dialect
from kn_edit.ledger.migrating import stamp
from kn_edit.ledger.postgres_dump import dump
from kn_edit.ledger.postgres_server import engine_for, explanation, public_url
from kn_edit.ledger.tables import metadata

DRIVERS = ("postgresql", "postgresql+psycopg")
# What a URL may say behind its question mark: how to reach the server, and in which schema.
OPTIONS = frozenset(
    {
        "application_name",
        "connect_timeout",
        "host",
        "hostaddr",
        "options",
        "passfile",
        "port",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslrootcert",
        "target_session_attrs",
    }
)
# The first number of the advisory locks of kn-edit. The second one is the workspace of a chain.
_CHAINS, _BLOBS, _SCHEMA = 0x6B6E0001, 0x6B6E0002, 0x6B6E0003
_LOCK = text("SELECT pg_advisory_xact_lock(CAST(:kind AS integer), CAST(:number AS integer))")
_WAIT = text(
    "SELECT pg_advisory_xact_lock_shared(CAST(:kind AS integer), CAST(:number AS integer))"
)
# Not to_regclass, which may still answer what was so before a lock was waited for.
_HAS_TABLES = text(
    "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE tablename = 'alembic_version' "
    "AND schemaname = ANY (current_schemas(false)))"
)
_HAS_WORKSPACES = text("SELECT EXISTS (SELECT 1 FROM workspaces)")
_MAY_WRITE = text(
    "SELECT NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off' "
    "AND has_table_privilege('events', 'INSERT')"
)
_ENCODING = text("SELECT current_setting('server_encoding')")
_REVISIONS = text("SELECT version_num FROM alembic_version LIMIT 2")


class PostgresDatabase:
    """A `Dialect`: the tables of a ledger in one schema of a PostgreSQL database.

    Readers see one snapshot (REPEATABLE READ). Writers take the lock of their chain first and see
    what is committed from then on (READ COMMITTED), so that no transaction has to be run again.
    """

    driver_errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, url: URL) -> None:
        self.url = url
        self.engine = engine_for(url)
        self._writable: bool | None = None
        weakref.finalize(self, self.engine.dispose)  # where a ledger could not even be opened

    @classmethod
    def from_url(cls, url: URL) -> PostgresDatabase:
        """The database that a URL names. Raises ValueError, which says why it cannot be used."""
        if url.drivername not in DRIVERS:
            raise ValueError(f"kn-edit uses the driver {DRIVERS[1]}")
        if not url.database and "service" not in url.query:
            raise ValueError("it names no database")
        unknown = sorted(url.query.keys() - OPTIONS)
        if unknown:
            raise ValueError(f"a URL of PostgreSQL has no option {unknown[0]} here")
        return cls(url)

    @property
    def place(self) -> str:
        """The URL without its password and options."""
        return public_url(self.url)

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()

    # --- being there -----------------------------------------------------------------------------

    def require(self) -> None:
        """Raise DatabaseHasNoLedger where no ledger was made in the database."""
        with self.engine.connect() as connection, connection.begin():
            if not self._is_made(connection):
                raise DatabaseHasNoLedger(self.place)

    def make(self, fill: Callable[[Dialect], None]) -> None:
        """Make the tables in a database that is there, then the first workspace.

        Each is one transaction: where the second one is missing, no ledger is there yet, and the
        next one to make it goes on. Raises DatabaseHoldsLedger, DatabaseUnsuitable.
        """
        with self.engine.connect() as connection, connection.begin():
            if self._is_made(connection):
                raise DatabaseHoldsLedger(self.place)
            encoding = connection.execute(_ENCODING).scalar()
            if encoding != "UTF8":
                raise DatabaseUnsuitable(self.place, f"its texts are encoded in {encoding}")
        fill(self)

    def _is_made(self, connection: Connection) -> bool:
        has_tables = bool(connection.execute(_HAS_TABLES).scalar())
        return has_tables and bool(connection.execute(_HAS_WORKSPACES).scalar())

    # --- reading and writing ---------------------------------------------------------------------

    def may_write(self) -> bool:
        """Whether the server takes writes, and lets this user add events; or made the tables."""
        if not self._writable:
            with self.engine.connect() as connection, connection.begin():
                self._writable = bool(connection.execute(_MAY_WRITE).scalar())
        return self._writable

    def reader(self) -> Engine:
        """The engine that reads; a transaction that does not write is read-only."""
        return self.engine

    def keep_connections(self) -> None:
        """Nothing: one is kept all the time."""

    def state(self) -> None:
        """It is not told: only a query would."""
        return

    def upgrader(self) -> Engine:
        """The engine of a migration."""
        return self.engine

    def upgrade_copies(self, upgrade: Callable[[Dialect], None]) -> None:
        """Refuse an older schema that this user may not upgrade. Raises DatabaseReadOnly."""
        raise DatabaseReadOnly(self.place, "its ledger has to be upgraded first")

    def make_tables(self, connection: Connection) -> None:
        """Make the tables of the present schema, unless somebody else did just now."""
        _lock(connection, _SCHEMA, 0)
        if connection.execute(_HAS_TABLES).scalar():
            return
        metadata.create_all(connection, checkfirst=False)
        stamp(connection)

    def tables_made(self, connection: Connection) -> None:
        """Nothing: the server gathers its own figures for the planner."""

    def lock_chain(self, connection: Connection, workspace: int) -> None:
        """Hold the advisory lock of the chain until the transaction ends."""
        _require_writer(connection)
        _lock(connection, _CHAINS, workspace)

    def lock_blobs(self, connection: Connection) -> None:
        """Hold the advisory lock of the blobs until the transaction ends."""
        _require_writer(connection)
        _lock(connection, _BLOBS, 0)

    def after_others(self, workspace: int) -> None:
        """Wait until nobody holds the lock of the chain: a lost session may still be committing."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(_WAIT, {"kind": _CHAINS, "number": workspace})

    def stored(
        self, connection: Connection, query: str, values: Mapping[str, int | str]
    ) -> Iterator[Sequence[Any]]:
        """Rows right from the driver, truth values as SQLite stores them: 0 or 1."""
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor:
            cursor.execute(_with_percents(query, values), values)
            for row in cursor:
                yield [int(value) if isinstance(value, bool) else value for value in row]

    def commit(self, connection: Connection) -> psycopg.Error | None:
        """Commit; the error of the driver where that failed, with nothing left open."""
        driver = connection.connection.driver_connection
        assert driver is not None
        try:
            driver.commit()
        except psycopg.Error as error:
            transaction = connection.get_transaction()
            connection.invalidate(error)
            if transaction is not None:
                with suppress(DBAPIError):
                    transaction.rollback()
            return error
        return None

    def settle(self) -> None:
        """Nothing: the server shows nobody a transaction that is not on its disk."""

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""
        return explanation(error, self.url)

    # --- looking at the database itself ----------------------------------------------------------

    def schemas(self) -> list[object]:
        """What the database says of its schema."""
        with self.engine.connect() as connection, connection.begin():
            self.refuse_programs(connection)
            return list(connection.execute(_REVISIONS).scalars())

    def refuse_programs(self, connection: Connection) -> None:
        """Raise DamagedRow where triggers, rules or policies would run by themselves."""
        postgres_shape.refuse_programs(connection)

    def faults(self, connection: Connection) -> Iterator[str]:
        """Which links between tables lead nowhere."""
        return postgres_shape.broken_links(connection)

    def shape_faults(self, connection: Connection) -> Iterator[str]:
        """Which tables, columns, keys, links and indexes are not those that kn-edit makes."""
        return postgres_shape.faults(connection)

    def remove_unfinished(self, older_than: float) -> list[str]:
        """Nothing: the server undoes what was cut off."""
        return []

    def copy_to(self, path: Path, workspace: int) -> None:
        """Copy the workspace in one state to a new SQLite file, while others use the database."""
        with self.engine.connect() as connection, connection.begin():
            dump(connection, self, path, workspace)


def _lock(connection: Connection, kind: int, number: int) -> None:
    connection.execute(_LOCK, {"kind": kind, "number": number})


def _require_writer(connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITES, False):
        raise RuntimeError("a lock is held by a transaction that writes")


def _with_percents(query: str, values: Mapping[str, int | str]) -> str:
    """A query with parameters as the driver names them: `%(name)s` for `:name`."""
    for name in values:
        query = query.replace(f":{name}", f"%({name})s")
    return query
