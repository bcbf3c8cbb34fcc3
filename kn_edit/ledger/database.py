"""The database of a ledger: one door to a transaction, one for reading, one for writing."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy
from sqlalchemy import URL, Engine, insert, text
from sqlalchemy.exc import DBAPIError, NoResultFound

from kn_edit.errors import (
    CommitUnknown,
    DatabaseHasNoLedger,
    DatabaseHoldsLedger,
    KnEditError,
    LedgerDamaged,
    LedgerExists,
    LedgerUnusable,
    NewerSchema,
    NoLedger,
    SchemaChanged,
    UnknownWorkspace,
    WorkspaceExists,
)
from kn_edit.ledger import events
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.dialect import WRITES, Dialect
from kn_edit.ledger.dialects import dialect_of
from kn_edit.ledger.migrating import known_schemas, migrate
from kn_edit.ledger.sqlite_file import url_of
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import SCHEMA, workspaces

NO_TEXT = "it holds text that is not UTF-8"
_OF_WORKSPACES = 0  # the chain whose lock is held while a workspace is added
_MOST_NAMES = 20  # of workspaces that an error tells
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

    def __init__(self, dialect: Dialect, workspace: str | None = None) -> None:
        """workspace: the name of the one whose rows are meant; by default the only one"""
        self.dialect = dialect
        self.workspace = workspace

    @classmethod
    def from_url(cls, url: str | URL, workspace: str | None = None) -> Database:
        """The database that a SQLAlchemy URL names. Raises UnsupportedDatabase."""
        return cls(dialect_of(url), workspace)

    @classmethod
    def in_file(cls, path: Path) -> Database:
        """The database in this SQLite file."""
        return cls.from_url(url_of(path))

    @property
    def place(self) -> Path | str:
        """Where the database is, for messages."""
        return self.dialect.place

    def close(self) -> None:
        """Give back what the database holds."""
        self.dialect.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger.

        Raises NewerSchema, LedgerDamaged, UnknownWorkspace.
        """
        with self.explained(), self.dialect.reader().connect() as raw, raw.begin():
            self._require_schema(raw)
            try:
                yield self._of_workspace(raw)
            except UnicodeEncodeError:  # a value of one row was asked for in another table
                raise DamagedRow(NO_TEXT) from None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the only right to write; all of it is kept, or nothing.

        Without an error it is kept; with one it is not, but for CommitUnknown.
        Raises NewerSchema, LedgerDamaged, LedgerBusy, LedgerUnusable, UnknownWorkspace.
        """
        with self._transaction(self.dialect.engine) as transaction:
            self._require_schema(transaction.raw)
            connection = self._of_workspace(transaction.raw)
            with self._appending(transaction, connection):
                yield connection

    @contextmanager
    def adding_workspace(self, name: str, former: str | None = None) -> Iterator[Connection]:
        """A transaction that writes to a new workspace; all of it is kept, or nothing.

        former: what a workspace of this name is called from then on; by default there may be none
        Raises WorkspaceExists, and as `writing`.
        """
        with self._transaction(self.dialect.engine) as transaction:
            self.dialect.lock_chain(transaction.raw, _OF_WORKSPACES)
            self._require_schema(transaction.raw)
            if _workspaces(transaction.raw, name):
                if former is None:
                    raise WorkspaceExists(name, self.place)
                rename = workspaces.update().where(workspaces.c.name == name)
                transaction.raw.execute(rename.values(name=former))
            newest = sqlalchemy.select(sqlalchemy.func.max(workspaces.c.id))
            number = (transaction.raw.execute(newest).scalar() or 0) + 1
            transaction.raw.execute(insert(workspaces).values(id=number, name=name))
            connection = Connection(transaction.raw, self.dialect, number)
            with self._appending(transaction, connection):
                yield connection

    def upgrade(self, moment: Callable[[], str] = now) -> None:
        """Bring the schema to the one of this kn-edit, and note it in the journal.

        moment: gives the time of the event, ISO 8601. Raises NewerSchema, LedgerDamaged.
        """
        with self.explained():
            schema = _one_schema(self.dialect.schemas())
        if schema == SCHEMA:
            return
        if schema not in known_schemas():
            if schema < SCHEMA:
                raise LedgerDamaged(self.place, f"no kn-edit makes the schema {schema}")
            raise NewerSchema(self.place, schema, SCHEMA)
        with self.explained():
            may_write = self.dialect.may_write()
        if not may_write:
            self.dialect.upgrade_copies(lambda copy: Database(copy).upgrade())
            return
        with self._transaction(self.dialect.upgrader()) as transaction:
            # Looked at again: another process may have been faster.
            if self._schema_in(transaction.raw) == SCHEMA:
                return
            try:
                migrate(transaction.raw)
                self.dialect.tables_made(transaction.raw)
            except UnicodeEncodeError:
                raise DamagedRow(NO_TEXT) from None
            for number in _workspaces(transaction.raw).values():
                connection = Connection(transaction.raw, self.dialect, number)
                events.note_upgrade(connection, created=moment(), schema=schema, to=SCHEMA)
            transaction.has_landed = lambda raw: self._schema_in(raw) == SCHEMA

    def create(self) -> None:
        """Make the tables in an empty database."""
        engine = self.dialect.upgrader()
        with (
            self.explained(),
            engine.connect().execution_options(**{WRITES: True}) as raw,
            raw.begin(),
        ):
            self.dialect.make_tables(raw)

    def make_ready(self) -> None:
        """Make the tables where there are none, or bring them to the present schema.

        Raises NewerSchema, LedgerDamaged, LedgerUnusable, and what a database raises.
        """
        with self.explained():
            try:
                self.dialect.require()
            except (NoLedger, DatabaseHasNoLedger):
                with suppress(LedgerExists, DatabaseHoldsLedger):  # somebody else was faster
                    self.dialect.make(lambda unfinished: Database(unfinished).create())
        self.upgrade()

    def holds(self, name: str) -> bool:
        """Whether there is a workspace of this name. Raises as `reading`."""
        with self.explained(), self.dialect.reader().connect() as raw, raw.begin():
            self._require_schema(raw)
            return bool(_workspaces(raw, name))

    def after_others(self) -> None:
        """Wait until what somebody is recording in the workspace just now is recorded, or not."""
        with self.reading() as connection:
            number = connection.workspace
        with self.explained():
            self.dialect.after_others(number)

    def copy_to(self, path: Path) -> None:
        """Copy one consistent state of the workspace to a new SQLite file, while others use it."""
        with self.reading() as connection:
            number = connection.workspace
        with self.explained():
            self.dialect.copy_to(path, number)

    def faults(self) -> list[str]:
        """What the database's own checks say about it, and about the links between tables."""
        with self.reading() as connection:
            return list(self.dialect.faults(connection.raw))

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
    def _transaction(self, engine: Engine) -> Iterator[_Transaction]:
        """A writing transaction on whatever schema there is."""
        with self.explained():
            if not self.dialect.may_write():
                raise LedgerUnusable(self.place, "it may not be written")
            raw = engine.connect().execution_options(**{WRITES: True})
            transaction = _Transaction(raw)
            try:
                with raw.begin():
                    yield transaction
                    # Not at the end of the block, so that an error of the commit shows as one.
                    failure = self.dialect.commit(raw)
            finally:
                with suppress(DBAPIError):
                    raw.close()
        if failure is not None and transaction.has_landed is not None:
            self._look_again(transaction.has_landed, failure)
        elif failure is not None:
            raise self.dialect.meaning(failure) or failure

    @contextmanager
    def _appending(self, transaction: _Transaction, connection: Connection) -> Iterator[None]:
        """Writing to one workspace: its last event tells whether the transaction was kept."""
        connection.lock_chain()
        yield
        event, workspace = connection.last_event, connection.workspace
        if event is not None:
            transaction.has_landed = lambda raw: self._has_event(raw, workspace, event)

    def _has_event(
        self, raw: sqlalchemy.Connection, workspace: int, event: tuple[int, str]
    ) -> bool:
        """Whether an event stands in the chain of a workspace, once nobody else is adding to it."""
        self.dialect.after_others(workspace)
        return events.is_there(Connection(raw, self.dialect, workspace), event)

    def _look_again(
        self, has_landed: Callable[[sqlalchemy.Connection], bool], failure: BaseException
    ) -> None:
        """After a commit that failed: return if it landed all the same, and is on the disk.

        Raises what the failure means where nothing was kept, and CommitUnknown where the disk
        does not tell.
        """
        try:
            # The failed connection is closed: what another process would see now is what counts.
            with self.explained(), self.dialect.engine.connect() as raw, raw.begin():
                landed = has_landed(raw)
            if landed:
                with self.explained():
                    self.dialect.settle()
        except KnEditError as error:
            raise CommitUnknown(self.place, str(failure)) from error
        if not landed:
            raise self.dialect.meaning(failure) or failure

    def _of_workspace(self, raw: sqlalchemy.Connection) -> Connection:
        """The connection to the rows of the workspace. Raises UnknownWorkspace, DamagedRow."""
        numbers = _workspaces(raw, self.workspace, most=2)
        if len(numbers) == 1:
            return Connection(raw, self.dialect, *numbers.values())
        known = _workspaces(raw, most=_MOST_NAMES)
        if not known:
            raise DamagedRow("it holds no workspace")
        raise UnknownWorkspace(self.workspace, self.place, tuple(known))

    def _require_schema(self, connection: sqlalchemy.Connection) -> None:
        """Raise NewerSchema or SchemaChanged where it is not the one that was opened."""
        schema = self._schema_in(connection)
        if schema < SCHEMA:
            raise SchemaChanged(self.place, schema)
        if schema > SCHEMA:
            raise NewerSchema(self.place, schema, SCHEMA)

    def _schema_in(self, connection: sqlalchemy.Connection) -> str:
        self.dialect.refuse_programs(connection)
        return _one_schema(connection.execute(_REVISION).scalars().all())


@dataclass
class _Transaction:
    """A transaction that writes.

    has_landed: whether another connection sees what it did; None while it did nothing
    """

    raw: sqlalchemy.Connection
    has_landed: Callable[[sqlalchemy.Connection], bool] | None = None


def _workspaces(
    connection: sqlalchemy.Connection, name: str | None = None, *, most: int | None = None
) -> dict[str, int]:
    """Numbers of workspaces by their names: of one, or of so many. Raises DamagedRow."""
    query = sqlalchemy.select(workspaces).order_by(workspaces.c.id).limit(most)
    if name is not None:
        query = query.where(workspaces.c.name == name)
    rows = [Row("workspaces", row) for row in connection.execute(query).mappings()]
    return {row.text("name"): row.number("id") for row in rows}


def _one_schema(revisions: Sequence[object]) -> str:
    """The schema of a database that says just one. Raises DamagedRow."""
    if len(revisions) != 1:
        raise DamagedRow("it has no schema" if not revisions else "it has two schemas")
    (schema,) = revisions
    if not isinstance(schema, str) or not _SCHEMA.fullmatch(schema):
        raise DamagedRow("its schema has no name")
    return schema
