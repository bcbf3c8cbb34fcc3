"""The database of a ledger: one door to a transaction, one for reading, one for writing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, text
from sqlalchemy.exc import DBAPIError, NoResultFound

from kn_edit.errors import (
    CommitUnknown,
    KnEditError,
    LedgerDamaged,
    LedgerUnusable,
    NewerSchema,
    SchemaChanged,
)
from kn_edit.ledger import events
from kn_edit.ledger.dialect import WRITES, Dialect
from kn_edit.ledger.dialects import dialect_of
from kn_edit.ledger.sqlite_file import url_of
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import SCHEMA

NO_TEXT = "it holds text that is not UTF-8"
_REVISION = text("SELECT version_num FROM alembic_version LIMIT 2")
_SCHEMA = re.compile(r"[0-9a-z]{4,12}")  # what a later kn-edit may call its schema

# Where a signal interrupts the closing of a connection, sqlalchemy logs a traceback; what
# happened is told by the error that follows.
logging.getLogger("sqlalchemy").addHandler(logging.NullHandler())


def now() -> str:
    """The time of this moment, UTC, ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Database:
    """A ledger's database. What differs between kinds of databases is asked of its dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    @classmethod
    def at(cls, url: str | URL) -> Database:
        """The database that a SQLAlchemy URL names. Raises UnsupportedDatabase."""
        return cls(dialect_of(url))

    @classmethod
    def in_file(cls, path: Path) -> Database:
        """The database in this SQLite file."""
        return cls.at(url_of(path))

    @property
    def place(self) -> Path | str:
        """Where the database is, for messages."""
        return self.dialect.place

    def close(self) -> None:
        """Give back what the database holds."""
        self.dialect.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger. Raises NewerSchema, LedgerDamaged."""
        with self.explained(), self.dialect.reader().connect() as connection, connection.begin():
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
        with self._transaction(self.dialect.engine) as connection:
            self._require_schema(connection)
            yield connection

    def upgrade(self, moment: Callable[[], str] = now) -> None:
        """Bring the schema to the one of this kn-edit, and note it in the journal.

        moment: gives the time of the event, ISO 8601. Raises NewerSchema, LedgerDamaged.
        """
        with self.explained():
            schema = _one_schema(self.dialect.schemas())
        if schema == SCHEMA:
            return
        if schema not in _revisions():
            if schema < SCHEMA:
                raise LedgerDamaged(self.place, f"no kn-edit makes the schema {schema}")
            raise NewerSchema(self.place, schema, SCHEMA)
        if not self.dialect.may_write():
            self.dialect.upgrade_copies(lambda copy: Database(copy).upgrade())
            return
        with self._transaction(self.dialect.upgrader()) as connection:
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
            self.explained(),
            self.dialect.engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            migrate(connection)

    def copy_to(self, path: Path) -> None:
        """Copy one consistent state of the ledger to a new file, while others use it."""
        with self.explained():
            self.dialect.copy_to(path)

    def faults(self) -> list[str]:
        """What the database's own checks say about it, and about the links between tables."""
        with self.reading() as connection:
            return list(self.dialect.faults(connection))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what a user can meet into errors that say what to do."""
        driver_errors: tuple[type[Exception], ...] = (DBAPIError, *self.dialect.driver_errors)
        try:
            yield
        except driver_errors as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            meaning = self.dialect.meaning(cause)
            if meaning is None:
                raise
            raise meaning from error
        except UnicodeDecodeError as error:  # the driver cannot even say what is wrong
            raise LedgerDamaged(self.place, NO_TEXT) from error
        except DamagedRow as error:
            raise LedgerDamaged(self.place, error.reason) from error
        except NoResultFound as error:
            raise LedgerDamaged(self.place, str(error)) from error

    # --- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        """A writing transaction on whatever schema there is."""
        if not self.dialect.may_write():
            raise LedgerUnusable(self.place, "it may not be written")
        with self.explained():
            connection = engine.connect().execution_options(**{WRITES: True})
            try:
                with connection.begin():
                    before = events.last(connection)
                    yield connection
                    after = events.last(connection)
                    # Not at the end of the block, so that an error of the commit shows as one.
                    failure = self.dialect.commit(connection)
            finally:
                with suppress(DBAPIError):
                    connection.close()
        if failure is not None and after != before:
            self._look_again(after, failure)
        elif failure is not None:
            raise self.dialect.meaning(failure) or failure

    def _look_again(self, event: tuple[int, str] | None, failure: BaseException) -> None:
        """After a commit that failed: return if it landed all the same, and is on the disk.

        Raises what the failure means where nothing was kept, and CommitUnknown where the disk
        does not tell.
        """
        try:
            # The failed connection is closed: what another process would see now is what counts.
            with (
                self.explained(),
                self.dialect.engine.connect() as connection,
                connection.begin(),
            ):
                landed = events.is_there(connection, event)
            if landed:
                with self.explained():
                    self.dialect.settle()
        except KnEditError as error:
            raise CommitUnknown(self.place, str(failure)) from error
        if not landed:
            raise self.dialect.meaning(failure) or failure

    def _require_schema(self, connection: Connection) -> None:
        """Raise NewerSchema or SchemaChanged where it is not the one that was opened."""
        schema = self._schema_in(connection)
        if schema < SCHEMA:
            raise SchemaChanged(self.place, schema)
        if schema > SCHEMA:
            raise NewerSchema(self.place, schema, SCHEMA)

    def _schema_in(self, connection: Connection) -> str:
        self.dialect.refuse_programs(connection)
        return _one_schema(connection.execute(_REVISION).scalars().all())


def _one_schema(revisions: Sequence[object]) -> str:
    """The schema of a database that says just one. Raises DamagedRow."""
    if len(revisions) != 1:
        raise DamagedRow("it has no schema" if not revisions else "it has two schemas")
    (schema,) = revisions
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise DamagedRow("its schema has no name")
    return schema


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
