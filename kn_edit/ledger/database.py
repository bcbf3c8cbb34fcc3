"""The database of a ledger: one door to a transaction, one for reading, one for writing."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, NoResultFound

from kn_edit.errors import (
    CommitUnknown,
    KnEditError,
    LedgerDamaged,
    LedgerUnusable,
    NewerSchema,
    SchemaChanged,
)
from kn_edit.ledger import events, structure
from kn_edit.ledger.sqlite import (
    BUSY_SECONDS,
    WRITES,
    PrivateCopy,
    engine_for,
    explanation,
    faults,
    has_log,
    immutable,
    may_write,
    read_only,
)
from kn_edit.ledger.stored import DamagedRow, any_text
from kn_edit.ledger.tables import SCHEMA

_REVISION = "SELECT version_num FROM alembic_version LIMIT 2"
NO_TEXT = "it holds text that is not UTF-8"
_SCHEMA = re.compile(r"[0-9a-z]{4,12}")  # what a later kn-edit may call its schema

# Where a signal interrupts the closing of a connection, sqlalchemy logs a traceback; what
# happened is told by the error that follows.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


def now() -> str:
    """The time of this moment, UTC, ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def last_upgrade(path: Path) -> str | None:
    """When the schema was upgraded, if nothing happened to the ledger since; nothing is written.

    For what a stopped command says: None where the file does not tell.
    """
    query = "SELECT kind, created FROM events ORDER BY seq DESC LIMIT 1"
    # A ledger at rest has no log, and a reader that is no writer would leave an empty one.
    opened = read_only if has_log(path) else immutable
    with suppress(sqlite3.Error, UnicodeError), closing(opened(path)) as plain:
        kind, created = plain.execute(query).fetchone() or ("", "")
        return str(created) if kind == events.UPGRADE else None
    return None


class Database:
    """A ledger's database: one SQLite file.

    Connections are not kept between transactions: commands are short, and with the last
    connection SQLite folds its write-ahead log back, so that the ledger at rest is one file.
    Where that file may not be written, it is read as it lies there, or from a private copy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.engine = engine_for(lambda: sqlite3.connect(self.path), BUSY_SECONDS)
        self._copy: PrivateCopy | None = None
        self._outdated = False  # of an older schema, in a place where it may not be upgraded

    @classmethod
    def in_file(cls, path: Path) -> Database:
        """The database in this file."""
        return cls(path)

    def close(self) -> None:
        """Give back what the database holds."""
        self.engine.dispose()
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger. Raises NewerSchema, LedgerDamaged."""
        with self._explained(), self._reader().connect() as connection, connection.begin():
            self._require_schema(connection)
            try:
                yield connection
            except UnicodeEncodeError:  # a value of one row was asked for in another table
                raise DamagedRow(NO_TEXT) from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the only right to write; all of it is kept, or nothing.

        Without an error it is kept; with one it is not, but for CommitUnknown.
        Raises NewerSchema, LedgerDamaged, LedgerBusy, LedgerUnusable.
        """
        with self._transaction() as connection:
            self._require_schema(connection)
            yield connection

    def upgrade(self, moment: Callable[[], str] = now) -> None:
        """Bring the schema to the one of this kn-edit, and note it in the journal.

        moment: gives the time of the event, ISO 8601. Raises NewerSchema, LedgerDamaged.
        """
        schema = self._schema()
        if schema == SCHEMA:
            return
        if schema not in _revisions():
            if schema < SCHEMA:
                raise LedgerDamaged(self.path, f"no kn-edit makes the schema {schema}")
            raise NewerSchema(self.path, schema, SCHEMA)
        if not may_write(self.path):
            self._outdated = True  # each private copy is upgraded
            return
        with self._transaction() as connection:
            # Looked at again: another process may have been faster.
            if self._schema_in(connection) == SCHEMA:
                return
            try:
                migrate(connection)
            except UnicodeEncodeError:
                raise DamagedRow(NO_TEXT) from None
            events.note_upgrade(connection, created=moment(), schema=schema, to=SCHEMA)

    def create(self) -> None:
        """Make the tables in an empty database."""
        with (
            self._explained(),
            self.engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            migrate(connection)

    def write_ahead(self) -> None:
        """Let readers and one writer work side by side. SQLite keeps this in the file."""
        with self._explained(), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    def copy_to(self, path: Path) -> None:
        """Copy one consistent state of the ledger to a new file, while others use it."""
        with (
            self._explained(),
            closing(self._readable()) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)

    def faults(self) -> list[str]:
        """What SQLite's own checks say about the file and the links between tables."""
        with self.reading() as connection:
            return faults(connection)

    # --- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A writing transaction on whatever schema there is."""
        if self.path.exists() and not may_write(self.path):
            raise LedgerUnusable(self.path, "it may not be written")
        with self._explained():
            connection = self.engine.connect().execution_options(**{WRITES: True})
            try:
                with connection.begin():
                    before = events.last(connection)
                    yield connection
                    after = events.last(connection)
                    # Not at the end of the block, so that an error of the commit shows as one.
                    failure = _commit(connection)
            finally:
                with suppress(DBAPIError):
                    connection.close()
        if failure is not None and after != before:
            self._look_again(after, failure)
        elif failure is not None:
            raise explanation(failure, self.path) or failure

    def _look_again(self, event: tuple[int, str] | None, failure: sqlite3.Error) -> None:
        """After a commit that failed: return if it landed all the same, and is on the disk.

        Raises what the failure means where nothing was kept, and CommitUnknown where the disk
        does not tell.
        """
        try:
            # The failed connection is closed: what another process would see now is what counts.
            with self._explained(), self.engine.connect() as connection, connection.begin():
                landed = events.is_there(connection, event)
            if landed:
                self._fold_log()
        except KnEditError as error:
            raise CommitUnknown(self.path, str(failure)) from error
        if not landed:
            raise explanation(failure, self.path) or failure

    def _fold_log(self) -> None:
        """Write what the log holds into the file, and wait for the disk."""
        with self._explained(), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _reader(self) -> Engine:
        """The engine that reads the file: in place, or a private copy of it."""
        if may_write(self.path) or not self.path.exists():
            return self.engine
        return engine_for(self._readable, BUSY_SECONDS)

    def _readable(self) -> sqlite3.Connection:
        """A connection that can read the file, whether or not it may be written."""
        if may_write(self.path) or not self.path.exists():
            return sqlite3.connect(self.path)
        if not has_log(self.path) and not self._outdated:
            return immutable(self.path)
        if self._copy is None or not self._copy.is_current():
            if self._copy is not None:
                self._copy.close()
            self._copy = PrivateCopy(self.path)
            if self._outdated:
                private = Database.in_file(self._copy.path)
                private.upgrade()
                private.close()
        return sqlite3.connect(self._copy.path)

    def _require_schema(self, connection: Connection) -> None:
        """Raise NewerSchema or SchemaChanged where it is not the one that was opened."""
        schema = self._schema_in(connection)
        if schema < SCHEMA:
            raise SchemaChanged(self.path, schema)
        if schema > SCHEMA:
            raise NewerSchema(self.path, schema, SCHEMA)

    def _schema_in(self, connection: Connection) -> str:
        structure.refuse_programs(connection.exec_driver_sql(structure.OBJECTS).all())
        return self._one_schema(connection.exec_driver_sql(_REVISION).scalars().all())

    def _schema(self) -> str:
        """The schema that the ledger has, read without touching a byte of it."""
        if not has_log(self.path):
            with (
                suppress(sqlite3.Error, UnicodeError, DamagedRow),
                closing(immutable(self.path)) as plain,
            ):
                structure.refuse_programs(plain.execute(structure.OBJECTS))
                return self._one_schema([row[0] for row in plain.execute(_REVISION)])
        # Somebody else is writing; or what is wrong with the file has to be said.
        with self._explained(), closing(self._unlocked()) as plain:
            objects = plain.execute(structure.OBJECTS).fetchall()
            structure.refuse_programs(objects)
            has_table = any(name == "alembic_version" for _, name, _ in objects)
            return self._one_schema(
                [row[0] for row in plain.execute(_REVISION)] if has_table else []
            )

    def _unlocked(self) -> sqlite3.Connection:
        plain = read_only(self.path) if may_write(self.path) else self._readable()
        plain.text_factory = any_text
        return plain

    def _one_schema(self, revisions: Any) -> str:
        if len(revisions) != 1:
            raise DamagedRow("it has no schema" if not revisions else "it has two schemas")
        if not isinstance(revisions[0], str) or not _SCHEMA.fullmatch(revisions[0]):
            raise DamagedRow("its schema has no name")
        return revisions[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a user can meet into errors that say what to do."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            meaning = explanation(cause, self.path)
            if meaning is None:
                raise
            raise meaning from error
        except UnicodeDecodeError as error:  # the driver cannot even say what is wrong
            raise LedgerDamaged(self.path, NO_TEXT) from error
        except DamagedRow as error:
            raise LedgerDamaged(self.path, error.reason) from error
        except NoResultFound as error:
            raise LedgerDamaged(self.path, str(error)) from error


def _commit(connection: Connection) -> sqlite3.Error | None:
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


def migrate(connection: Connection, target: str = "head") -> None:
    """Run the migrations inside the transaction of this connection. Raises DamagedRow."""
    # Imported late: only new and old ledgers need it, and it takes a while.
    from alembic import command
    from alembic.util import CommandError

    config = _alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise DamagedRow(f"its schema cannot be followed: {error}") from error


def migrations_folder() -> Path:
    """Inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "migrations", package.parent / "migrations"
    return inside if inside.is_dir() else beside


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    return {script.revision for script in scripts.walk_revisions()}
