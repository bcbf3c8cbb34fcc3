"""A ledger's database as one SQLite file: see `Dialect`."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from kn_edit.atomic import (
    lock,
    make_folders,
    opened_folder,
    place,
    scratch_folder,
    sync,
    taken_back,
)
from kn_edit.errors import KnEditError, LedgerExists, NoLedger
from kn_edit.ledger import statistics, structure
from kn_edit.ledger.dialect import WRITES, Dialect
from kn_edit.ledger.disk import check_files, disk_errors, refuse_link
from kn_edit.ledger.leftovers import leftovers_of, moment_in, remove_unfinished, removed
from kn_edit.ledger.sqlite import (
    BUSY_SECONDS,
    Changes,
    PrivateCopy,
    engine_for,
    explanation,
    faults,
    has_log,
    immutable,
    keeping_engine,
    may_write,
    read_only,
)
from kn_edit.ledger.stored import DamagedRow, any_text
from kn_edit.ledger.tables import WORKSPACE_ID, metadata, workspaces

DRIVERS = ("sqlite", "sqlite+pysqlite")
_REVISION = "SELECT version_num FROM alembic_version LIMIT 2"
_LOOKED_AT = "schema_version"  # in the notes of a connection: at which there was no program
_LAST_EVENT = "SELECT kind, created FROM events ORDER BY created DESC, seq DESC LIMIT 1"


class SQLiteFile:
    """A `Dialect`: one SQLite file.

    Connections are not kept between transactions: commands are short, and with the last
    connection SQLite folds its write-ahead log back, so that the ledger at rest is one file.
    A service keeps some for reading (`keep_connections`): to open one takes as long as a query.
    Where the file may not be written, it is read as it lies there, or from a private copy.
    """

    driver_errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = engine_for(lambda: sqlite3.connect(self.path), BUSY_SECONDS)
        self._kept: Engine | None = None  # that reads by connections which stay open
        self._changes: Changes | None = None
        self._copy: PrivateCopy | None = None
        self._upgrade: Callable[[Dialect], None] | None = None  # of each private copy

    @classmethod
    def from_url(cls, url: URL) -> SQLiteFile:
        """The database that a URL names. Raises ValueError, which says why it cannot be used."""
        if url.drivername not in DRIVERS:
            raise ValueError(f"kn-edit uses the driver {DRIVERS[1]}")
        if url.host or url.username or url.query:
            raise ValueError("a URL of SQLite names a file and nothing else")
        if not url.database or url.database == ":memory:":
            raise ValueError("it names no file")
        return cls(Path(url.database))

    @property
    def place(self) -> Path:
        """The path of the file."""
        return self.path

    def close(self) -> None:
        """Give back connections and the private copy."""
        self.engine.dispose()
        if self._kept is not None:
            self._kept.dispose()
            self._kept = None
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    # --- being there -----------------------------------------------------------------------------

    def require(self) -> None:
        """Raise NoLedger, LinkInLedger, LedgerUnusable where there is no file to open."""
        with disk_errors(self.path):
            check_files(self.path)
            if not self.path.is_file():
                raise NoLedger(self.path.parent)

    def make(self, fill: Callable[[Dialect], None]) -> None:
        """Fill a file in a folder of its own, then give it its name, on disk.

        Raises LedgerExists, LinkInLedger, LedgerUnusable, WriteUnknown.
        """
        path = self.path
        with disk_errors(path):
            refuse_link(path.parent)
            if os.path.lexists(path):
                raise LedgerExists(path.parent)
            make_folders(path.parent)
            with suppress(PermissionError):  # a folder that may be written to and not read
                sync(path.parent.parent)  # a killed init may have made the folder, and not this
            remove_unfinished(path.parent)
            with scratch_folder(path.parent, path.name) as scratch:
                unfinished = SQLiteFile(scratch / path.name)
                fill(unfinished)
                unfinished.write_ahead()
                sync(unfinished.path)
                _move_into_place(unfinished.path, path)

    def write_ahead(self) -> None:
        """Let readers and one writer work side by side. SQLite keeps this in the file."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    # --- reading and writing ---------------------------------------------------------------------

    def may_write(self) -> bool:
        """Whether the file, and those that go with it, can be written; or made."""
        return may_write(self.path) or not self.path.exists()

    def reader(self) -> Engine:
        """The engine that reads the file: in place, or a private copy of it."""
        if not self.may_write():
            return engine_for(self._readable, BUSY_SECONDS)
        return self._kept or self.engine

    def keep_connections(self) -> None:
        """Keep connections for reading open from now on, until `close`."""
        self._kept = self._kept or keeping_engine(self.path, BUSY_SECONDS)
        self._changes = self._changes or Changes(self.path)

    def state(self) -> Hashable | None:
        """Something else after each commit of anybody. None where connections are not kept, or
        where it cannot be told."""
        return None if self._changes is None or not self.may_write() else self._changes.state()

    def upgrader(self) -> Engine:
        """An engine that looks at no links between tables, which SQLite forbids to rebuild else."""
        connect = partial(sqlite3.connect, self.path)
        return engine_for(connect, BUSY_SECONDS, rebuilds=True)

    def upgrade_copies(self, upgrade: Callable[[Dialect], None]) -> None:
        """Bring each private copy to the present schema from now on."""
        self._upgrade = upgrade

    def make_tables(self, connection: Connection) -> None:
        """Make the tables at once; they are those of a file that was upgraded."""
        structure.make_tables(connection)
        self.tables_made(connection)

    def after_others(self, workspace: int) -> None:
        """Nothing goes on elsewhere: a transaction ends with the connection that it was on."""

    def tables_made(self, connection: Connection) -> None:
        """Tell SQLite's planner which columns of an index tell rows apart."""
        statistics.record(connection)

    def lock_chain(self, connection: Connection, workspace: int) -> None:
        """Check that this transaction writes: BEGIN IMMEDIATE has locked all of the file."""
        self.lock_blobs(connection)

    def lock_blobs(self, connection: Connection) -> None:
        """Check that this transaction writes: BEGIN IMMEDIATE has locked all of the file."""
        if not connection.get_execution_options().get(WRITES, False):
            raise RuntimeError("a lock is held by a transaction that writes")

    def stored(
        self, connection: Connection, query: str, values: Mapping[str, int | str]
    ) -> Iterator[Sequence[Any]]:
        """Rows right from the driver: a pull of ten thousand edits asks often."""
        driver = connection.connection.driver_connection
        assert driver is not None
        yield from driver.execute(query, values)

    def commit(self, connection: Connection) -> sqlite3.Error | None:
        """Commit; the error of the driver where that failed, with nothing left open."""
        try:
            connection.exec_driver_sql("COMMIT")
        except DBAPIError as error:
            if not isinstance(error.orig, sqlite3.Error):
                raise
            with suppress(DBAPIError):
                connection.exec_driver_sql("ROLLBACK")
            return error.orig
        return None

    def settle(self) -> None:
        """Write what the log holds into the file, and wait for the disk."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""
        return explanation(error, self.path)

    # --- looking at the file itself --------------------------------------------------------------

    def schemas(self) -> list[object]:
        """What the file says of its schema, read without touching a byte of it."""
        if not has_log(self.path):
            with (
                suppress(sqlite3.Error, UnicodeError, DamagedRow),
                closing(immutable(self.path)) as plain,
            ):
                structure.refuse_programs(plain.execute(structure.OBJECTS))
                revisions = [row[0] for row in plain.execute(_REVISION)]
                if len(revisions) == 1:
                    return revisions
        # Somebody else is writing; or what is wrong with the file has to be said.
        with closing(self._unlocked()) as plain:
            objects = plain.execute(structure.OBJECTS).fetchall()
            structure.refuse_programs(objects)
            has_table = any(name == "alembic_version" for _, name, _ in objects)
            return [row[0] for row in plain.execute(_REVISION)] if has_table else []

    def refuse_programs(self, connection: Connection) -> None:
        """Raise DamagedRow where the file holds triggers, views in place of tables and the like.

        A kept connection looks again where what it knows of the tables has changed.
        """
        version = connection.exec_driver_sql("PRAGMA schema_version").scalar()
        if connection.info.get(_LOOKED_AT) != version:
            structure.refuse_programs(connection.exec_driver_sql(structure.OBJECTS).all())
            connection.info[_LOOKED_AT] = version

    def faults(self, connection: Connection) -> list[str]:
        """What SQLite's own checks say about the file and the links between tables."""
        return faults(connection)

    def shape_faults(self, connection: Connection) -> Iterator[str]:
        """Which tables, indexes, views and triggers are not those that kn-edit makes."""
        return structure.faults(connection)

    def remove_unfinished(self, older_than: float) -> list[str]:
        """Remove unfinished files and folders in and beside the file's folder; their paths.

        older_than: seconds; those that nobody locked go if they are older. Raises LedgerUnusable.
        """
        folder = self.path.parent
        with disk_errors(folder):
            return removed(leftovers_of(folder), moment_in(folder) - older_than)

    def copy_to(self, path: Path, workspace: int) -> None:
        """Copy one consistent state of the file to a new one, while others use it.

        Rows of other workspaces leave no trace in the copy.
        """
        with closing(self._readable()) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
            if target.execute("SELECT count(*) FROM workspaces").fetchone() != (1,):
                _keep_only(target, workspace)

    def _readable(self) -> sqlite3.Connection:
        """A connection that can read the file, whether or not it may be written."""
        if self.may_write():
            return sqlite3.connect(self.path)
        if not has_log(self.path) and self._upgrade is None:
            return immutable(self.path)
        if self._copy is None or not self._copy.is_current():
            if self._copy is not None:
                self._copy.close()
            self._copy = PrivateCopy(self.path)
            if self._upgrade is not None:
                copied = SQLiteFile(self._copy.path)
                self._upgrade(copied)
                copied.close()
        return sqlite3.connect(self._copy.path)

    def _unlocked(self) -> sqlite3.Connection:
        plain = read_only(self.path) if may_write(self.path) else self._readable()
        plain.text_factory = any_text
        return plain


def url_of(path: Path) -> URL:
    """The URL of the database in this file."""
    return URL.create("sqlite", database=str(path))


def last_event(path: Path) -> tuple[str, str] | None:
    """Kind and time of what happened to a ledger last; nothing is written.

    For what a stopped command says: None where the file does not tell.
    """
    # A ledger at rest has no log, and a reader that is no writer would leave an empty one.
    opened = read_only if has_log(path) else immutable
    with suppress(sqlite3.Error, UnicodeError), closing(opened(path)) as plain:
        kind, created = plain.execute(_LAST_EVENT).fetchone() or ("", "")
        return str(kind), str(created)
    return None


def _keep_only(copy: sqlite3.Connection, workspace: int) -> None:
    """Remove the rows of other workspaces from a copy, and their bytes from the file."""
    copy.execute("PRAGMA foreign_keys = OFF")
    with copy:
        for table in metadata.tables.values():
            column = "id" if table is workspaces else WORKSPACE_ID
            copy.execute(f"DELETE FROM {table.name} WHERE {column} IS NOT ?", (workspace,))
    copy.execute("VACUUM")


def _move_into_place(unfinished: Path, path: Path) -> None:
    """Give a file its name, unless another process was faster.

    Raises LedgerExists, OSError, WriteUnknown.
    """
    with opened_folder(path.parent) as folder:
        lock(folder, wait=True)  # against another init: nobody opens a ledger before it has a name
        if not os.path.lexists(path):
            _put_logs_aside(path)
        try:
            place(unfinished, path)
        except FileExistsError:
            raise LedgerExists(path.parent) from None
        # Where it may not survive a power cut it is not there.
        with taken_back(path, lambda: path.unlink(missing_ok=True)):
            os.fsync(folder)


def _put_logs_aside(path: Path) -> None:
    """Rename what SQLite would replay into the new database: the log of one that is gone."""
    for ending in ("-wal", "-shm", "-journal"):
        log = Path(f"{path}{ending}")
        if os.path.lexists(log):
            log.rename(f"{log}.{secrets.token_hex(4)}.old")
