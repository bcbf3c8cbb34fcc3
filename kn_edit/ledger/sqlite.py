"""What is peculiar to SQLite: settings, what its errors mean, files that may not be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool, QueuePool

from kn_edit.atomic import private_folder
from kn_edit.errors import KnEditError, LedgerBusy, LedgerDamaged, LedgerUnusable
from kn_edit.ledger.dialect import WRITES
from kn_edit.ledger.disk import disk_errors
from kn_edit.ledger.stored import any_text, stored_json
from kn_edit.safetext import escaped, shortened

BUSY_SECONDS = 30

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_MOST_REASON = 200  # letters of what SQLite says
_TRIES = 5  # of copying a file that changes meanwhile
_KEPT = 4  # connections that are kept open; each holds up to 2 MB of pages


def engine_for(
    connect: Callable[[], sqlite3.Connection],
    busy_seconds: int,
    *,
    rebuilds: bool = False,
    kept: bool = False,
) -> Engine:
    """An engine whose connections have the settings of a ledger.

    rebuilds: tables may be dropped that others link to, and made anew under the same name
    kept: some connections stay open for the next transaction, of any thread; by default none does
    """
    pool = {"poolclass": QueuePool, "pool_size": _KEPT, "max_overflow": -1, "pool_use_lifo": True}
    engine = create_engine(
        "sqlite://",
        creator=connect,
        json_deserializer=stored_json,
        **(pool if kept else {"poolclass": NullPool}),
    )

    @event.listens_for(engine, "connect")
    def settings(connection: sqlite3.Connection, _: object) -> None:
        # Without this, Python's driver begins transactions by itself, and not around DDL.
        connection.isolation_level = None
        connection.text_factory = any_text
        connection.execute(f"PRAGMA busy_timeout = {busy_seconds * 1000}")
        connection.execute(f"PRAGMA foreign_keys = {'OFF' if rebuilds else 'ON'}")
        connection.execute(f"PRAGMA legacy_alter_table = {'ON' if rebuilds else 'OFF'}")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: a reader that turns writer half-way could find its snapshot outdated.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class KeptConnection(sqlite3.Connection):
    """A connection that stays open, and the file that had the name when it was opened."""

    file: tuple[int, int] | None = None


def keeping_engine(path: Path, busy_seconds: int) -> Engine:
    """An engine that keeps connections to a file open as long as the file has this name."""
    engine = engine_for(lambda: kept_connection(path), busy_seconds, kept=True)

    @event.listens_for(engine, "checkout")
    def compare(connection: KeptConnection, _: object, __: object) -> None:
        if connection.file != file_at(path):
            raise DisconnectionError("another file has the name")  # so it is opened again

    return engine


def kept_connection(path: Path) -> KeptConnection:
    """A connection that threads may use one after the other."""
    file = file_at(path)  # looked at first: a file that is exchanged now is noticed later
    connection = sqlite3.connect(path, check_same_thread=False, factory=KeptConnection)
    connection.file = file
    return connection


class Changes:
    """Tells whether anybody has committed to a file. For several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._connection: KeptConnection | None = None
        self._opened = 0

    def state(self) -> tuple[int, int] | None:
        """Something else after each commit of another connection; None where it is not told."""
        with self._lock, suppress(sqlite3.Error):
            file = file_at(self._path)
            if file is None:  # which opening it would make anew
                return None
            if self._connection is None or self._connection.file != file:
                self._close()
                self._connection = kept_connection(self._path)
                self._opened += 1  # what two connections tell cannot be compared
            (number,) = self._connection.execute("PRAGMA data_version").fetchone()
            return self._opened, number
        return None

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file has a name now; None where none has."""
    status = _status(path)
    return status and (status.st_dev, status.st_ino)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def immutable(path: Path) -> sqlite3.Connection:
    """Read a file without a write-ahead log as it lies there: nothing is written or locked."""
    return _opened(path, "immutable=1")


def read_only(path: Path) -> sqlite3.Connection:
    """Read a file and its write-ahead log without writing to either."""
    return _opened(path, "mode=ro")


def _opened(path: Path, option: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{option}", uri=True)
    connection.text_factory = any_text
    return connection


def has_log(path: Path) -> bool:
    """Whether a write-ahead log with something in it lies beside a database."""
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except OSError:
        return False


def may_write(path: Path) -> bool:
    """Whether a database, and the files that go with it, can be written."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def faults(connection: Connection) -> list[str]:
    """What SQLite's own checks say about the file and the links between tables."""
    lines = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    broken = [f"a row of {row[0]} points at a missing row of {row[2]}" for row in rows]
    return [str(line) for line in lines if line != "ok"] + broken


class PrivateCopy:
    """A copy of a database that may not be written, with its log, in a folder for temporary files.

    SQLite needs to write beside a file to follow its log, or to bring it to another schema.
    """

    def __init__(self, original: Path) -> None:
        opened = ExitStack()
        with disk_errors(Path(tempfile.gettempdir())):
            folder = opened.enter_context(private_folder())
        self.path = folder / original.name
        self._original = original
        self._remove = weakref.finalize(self, opened.close)
        self._stamps = self._copied()

    def is_current(self) -> bool:
        """Whether the original is still what was copied."""
        return self._stamps == self._present()

    def close(self) -> None:
        """Remove the copy."""
        self._remove()

    def _copied(self) -> list[tuple[int, int] | None]:
        """Copy the original in one state of it. Raises LedgerBusy where it does not hold still."""
        for _ in range(_TRIES):
            before = self._present()
            with disk_errors(self.path):
                shutil.copyfile(self._original, self.path)
                if has_log(self._original):
                    shutil.copyfile(f"{self._original}-wal", f"{self.path}-wal")
            if self._present() == before:
                return before
        raise LedgerBusy(self._original)

    def _present(self) -> list[tuple[int, int] | None]:
        return [_stamp(self._original), _stamp(Path(f"{self._original}-wal"))]


def _stamp(path: Path) -> tuple[int, int] | None:
    status = _status(path)
    return status and (status.st_size, status.st_mtime_ns)


def explanation(error: BaseException | None, path: Path) -> KnEditError | None:
    """What an error of the driver means to a user; None if it is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.DatabaseError) or code is None:
        return None
    primary = code & 0xFF
    reason = shortened(escaped(str(error)), _MOST_REASON)
    if primary in _BUSY:
        return LedgerBusy(path)
    if primary in _DAMAGED or isinstance(error, sqlite3.IntegrityError):
        return LedgerDamaged(path, reason)
    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        return None
    if not may_write(path) and path.exists():
        reason = f"it may not be written ({reason})"
    return LedgerUnusable(path, reason)
