"""What is peculiar to a PostgreSQL server: connections to it, what its errors mean."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from psycopg import IsolationLevel, errors
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import Dialect
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from kn_edit.errors import (
    DatabaseCrowded,
    DatabaseFailed,
    DatabaseLoginRefused,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseRefusesText,
    DatabaseUnreachable,
    KnEditError,
    LedgerBusy,
    LedgerDamaged,
)
from kn_edit.ledger.dialect import WRITES
from kn_edit.safetext import escaped, shortened, without_secrets

BUSY_SECONDS = 30  # that a lock, or a server that starts, is waited for
CONNECT_SECONDS = 10  # that a server may take to answer
_PAUSE = 0.2
_MOST_REASON = 200  # letters of what the server says
# A client that vanished holds its locks no longer than a minute.
_SETTINGS = {
    "lock_timeout": f"{BUSY_SECONDS}s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
_KEEPALIVE = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}

_BUSY = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
_LOGIN = (
    errors.InvalidPassword,
    errors.InvalidAuthorizationSpecification,
)
_REFUSED = ("authentication failed", "no password supplied")  # of errors without a code
_READ_ONLY = (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)
_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.ConnectionException,
    errors.ConnectionFailure,
)
_DAMAGED = (
    errors.IntegrityError,
    errors.DataCorrupted,
    errors.IndexCorrupted,
    errors.UndefinedTable,
    errors.UndefinedColumn,
)


def engine_for(url: URL) -> Engine:
    """An engine whose connections have the settings of a ledger; one is kept for the next use."""
    options = [f"-c {name}={value}" for name, value in _SETTINGS.items()]
    options.append(str(url.query.get("options", "")))  # the last word is the user's
    defaults = {"connect_timeout": str(CONNECT_SECONDS), "application_name": "kn-edit"}
    chosen = {name: value for name, value in defaults.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg").difference_update_query(["options"]),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,
        connect_args={
            **_KEEPALIVE,
            **chosen,
            "client_encoding": "utf8",
            "options": " ".join(filter(None, options)),
        },
    )
    event.listen(engine, "do_connect", _connected)
    event.listen(engine, "begin", _begin)
    return engine


def _connected(
    dialect: Dialect, entry: ConnectionPoolEntry, args: Any, arguments: Any
) -> psycopg.Connection[Any]:
    """Connect, after waiting for a server that is just starting, or recovers from a crash."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return psycopg.connect(*args, **arguments)
        except psycopg.OperationalError as error:
            starting = isinstance(error, errors.CannotConnectNow) or "starting up" in str(error)
            if not starting or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)


def _begin(connection: Connection) -> None:
    """Readers see one snapshot; writers see what others committed before they got their lock."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    writes = connection.get_execution_options().get(WRITES, False)
    driver.isolation_level = (
        IsolationLevel.READ_COMMITTED if writes else IsolationLevel.REPEATABLE_READ
    )
    driver.read_only = not writes


def public_url(url: URL) -> str:
    """A URL as it may be shown: without its password, its options and the name of the driver."""
    plain = URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    )
    return without_secrets(plain.render_as_string())


def explanation(error: BaseException | None, url: URL) -> KnEditError | None:
    """What an error of the driver means to a user; None if it is a mistake of ours."""
    if not isinstance(error, psycopg.Error):
        return None
    place, reason = public_url(url), _reason(error)
    if isinstance(error, _BUSY):
        return LedgerBusy(place)
    if isinstance(error, _LOGIN) or any(words in reason for words in _REFUSED):
        return DatabaseLoginRefused(place, reason)
    if isinstance(error, errors.InvalidCatalogName) or _names_no_database(reason):
        return DatabaseMissing(place, str(url.database))
    if isinstance(error, errors.TooManyConnections) or "too many" in reason:
        return DatabaseCrowded(place)
    if isinstance(error, _READ_ONLY):
        return DatabaseReadOnly(place, reason)
    if isinstance(error, _DAMAGED):
        return LedgerDamaged(place, reason)
    if isinstance(error, errors.DataError) and "NUL" in reason:
        return DatabaseRefusesText(place, reason)
    if isinstance(error, (errors.ProgrammingError, errors.InterfaceError, errors.DataError)):
        return None
    if isinstance(error, _GONE) or error.sqlstate is None:
        return DatabaseUnreachable(place, reason)
    return DatabaseFailed(place, reason)


def _names_no_database(reason: str) -> bool:
    return 'database "' in reason and "does not exist" in reason


def _reason(error: psycopg.Error) -> str:
    """What the server says, on one line, without what might be secret."""
    message = error.diag.message_primary or str(error)
    return shortened(escaped(without_secrets(" ".join(message.split()))), _MOST_REASON)
