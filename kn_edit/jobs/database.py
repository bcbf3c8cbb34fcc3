"""The database of the service: what it keeps beside the ledger, in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from kn_edit.ledger.dialect import WRITES
from kn_edit.ledger.sqlite_file import SQLiteFile

SERVICE_DATABASE = "service.db"


class ServiceDatabase:
    """The database beside a ledger. Its tables are made when somebody first opens it."""

    def __init__(self, folder: Path, *tables: MetaData) -> None:
        """folder: of the ledger; tables: those that are needed, others in the file stay.

        Raises LedgerUnusable, LedgerBusy, LedgerDamaged.
        """
        self._dialect = SQLiteFile(folder / SERVICE_DATABASE)
        with self._explained():
            self._dialect.write_ahead()
        with self.writing() as connection:
            for needed in tables:
                needed.create_all(connection)

    def close(self) -> None:
        """Give back what is held."""
        self._dialect.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. Raises LedgerUnusable, LedgerBusy, LedgerDamaged."""
        with (
            self._explained(),
            self._dialect.engine.connect() as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else writes beside; all of it is kept, or nothing.

        Raises LedgerUnusable, LedgerBusy, LedgerDamaged.
        """
        with self._explained(), self._dialect.engine.connect() as raw:
            connection = raw.execution_options(**{WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a user can meet into errors that say what to do."""
        driver_errors: tuple[type[Exception], ...] = (DBAPIError, *self._dialect.driver_errors)
        try:
            yield
        except driver_errors as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            meaning = self._dialect.meaning(cause)
            if meaning is None:
                raise
            raise meaning from error
