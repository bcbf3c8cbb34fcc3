"""The database of a ledger: one door to a transaction, and all that is peculiar to SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from kn_edit.errors import KnEditError, LedgerBusy, LedgerDamaged, LedgerUnusable, NewerSchema
from kn_edit.ledger import events
from kn_edit.ledger.tables import SCHEMA

BUSY_SECONDS = 30
WRITES = "kn_edit_writes"  # execution option of a connection that is going to write

_REVISION = "SELECT version_num FROM alembic_version"
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def now() -> str:
    """The time of this moment, UTC, ISO 8601 in seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Database:
    """A ledger's database, by its SQLAlchemy URL.

    Connections are not kept between transactions: commands are short, and with the last
    connection SQLite folds its write-ahead log back, so that the ledger at rest is one file.
    """

    def __init__(self, url: URL | str) -> None:
        self.url = make_url(url)
        self.path = Path(self.url.database or "")
        self.engine = create_engine(self.url, poolclass=NullPool)
        if self.engine.dialect.name == "sqlite":
            _teach_sqlite(self.engine)

    @classmethod
    def at(cls, path: Path) -> Database:
        """The SQLite database in this file."""
        return cls(URL.create("sqlite", database=str(path)))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger."""
        with self._explained(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the only right to write; all of it is kept, or nothing."""
        with (
            self._explained(),
            self.engine.connect().execution_options(**{WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def upgrade(self, moment: Callable[[], str] = now) -> None:
        """Bring the schema to the one of this kn-edit, and note it in the journal.

        moment: gives the time of the event, ISO 8601. Raises NewerSchema, LedgerDamaged.
        """
        found = self._schema()
        if found == SCHEMA:
            return
        if found not in _revisions():
            raise NewerSchema(self.path, found, SCHEMA)
        with self.writing() as connection:
            # Looked at again: another process may have been faster.
            if connection.execute(text(_REVISION)).scalar() == SCHEMA:
                return
            migrate(connection)
            events.note_upgrade(connection, created=moment(), schema=found, to=SCHEMA)

    def create(self) -> None:
        """Make the tables in an empty database."""
        with self.writing() as connection:
            migrate(connection)

    def write_ahead(self) -> None:
        """Let readers and one writer work side by side. SQLite keeps this in the file."""
        with self._explained(), closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    def copy_to(self, path: Path) -> None:
        """Copy one consistent state of the ledger to a new file, while others use it."""
        with (
            self._explained(),
            closing(sqlite3.connect(self.path)) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)

    def faults(self) -> list[str]:
        """What SQLite's own checks say about the file and the links between tables."""
        if self.engine.dialect.name != "sqlite":
            return []
        with self.reading() as connection:
            lines = connection.execute(text("PRAGMA integrity_check")).scalars().all()
            broken = connection.execute(text("PRAGMA foreign_key_check")).all()
        faults = [str(line) for line in lines if line != "ok"]
        return faults + [f"a row of {row[0]} points at a missing row of {row[2]}" for row in broken]

    def _schema(self) -> str:
        """The schema that the ledger has, read without touching a byte of it."""
        with self._explained():
            if self.engine.dialect.name == "sqlite":
                with closing(sqlite3.connect(self._read_only(), uri=True)) as plain:
                    tables = "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
                    row = plain.execute(tables).fetchone() and plain.execute(_REVISION).fetchone()
            else:
                with self.engine.connect() as connection:
                    known = inspect(connection).has_table("alembic_version")
                    row = connection.execute(text(_REVISION)).first() if known else None
        if row is None:
            raise LedgerDamaged(self.path, "it has no schema")
        return str(row[0])

    def _read_only(self) -> str:
        """A SQLite URI that writes nothing, not even the files that go with a write-ahead log.

        Without such a log nobody has the ledger open, and the file alone says all.
        """
        at_rest = not Path(f"{self.path}-wal").exists()
        return f"{self.path.absolute().as_uri()}?{'immutable=1' if at_rest else 'mode=ro'}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a user can meet into errors that say what to do."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            explanation = _explanation(cause, self.path)
            if explanation is None:
                raise
            raise explanation from error


def migrate(connection: Connection, target: str = "head") -> None:
    """Run the migrations inside the transaction of this connection."""
    # Imported late: only new and old ledgers need it, and it takes a while.
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


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


def _teach_sqlite(engine: Engine) -> None:
    """Settings that every connection needs, and transactions that begin when we say so."""

    @event.listens_for(engine, "connect")
    def settings(connection: sqlite3.Connection, _: object) -> None:
        # Without this, Python's driver begins transactions by itself, and not around DDL.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE: a reader that turns writer half-way could find its snapshot outdated.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _explanation(error: BaseException | None, path: Path) -> KnEditError | None:
    """What an error of the driver means to a user; None if it is a mistake of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.DatabaseError) or code is None:
        return None
    primary = code & 0xFF
    if primary in _DAMAGED:
        return LedgerDamaged(path, str(error))
    if primary in _BUSY:
        return LedgerBusy(path)
    if isinstance(error, sqlite3.OperationalError) and primary != sqlite3.SQLITE_ERROR:
        return LedgerUnusable(path, str(error))
    if primary == sqlite3.SQLITE_ERROR:
        return LedgerDamaged(path, str(error))
    return None
