"""The database of the service: what it keeps beside the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, MetaData
from sqlalchemy.exc import DBAPIError

from kn_edit.jobs.place import Place, place_of
from kn_edit.ledger.dialect import WRITES


class ServiceDatabase:
    """The tables of a service, wherever they lie; made when somebody first opens them."""

    def __init__(self, place: Place, *tables: MetaData) -> None:
        """tables: those that are needed, others stay as they are.

        Raises LedgerUnusable, LedgerBusy, LedgerDamaged, and what a database raises.
        """
        self.place = place
        with self.explained():
            place.prepare()
        if tables:
            with self.writing() as connection:
                for needed in tables:
                    needed.create_all(connection)

    @classmethod
    def of(cls, folder: Path, *tables: MetaData) -> ServiceDatabase:
        """The tables of the service of the workspace in a folder. Raises as `place_of`, too."""
        return cls(place_of(folder), *tables)

    def close(self) -> None:
        """Give back what is held."""
        self.place.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state. Raises LedgerUnusable, LedgerBusy, LedgerDamaged."""
        with (
            self.explained(),
            self.place.reader.connect() as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that nobody else writes beside; all of it is kept, or nothing.

        Raises LedgerUnusable, LedgerBusy, LedgerDamaged, and what a database raises.
        """
        with self.explained(), self.place.engine.connect() as raw:
            connection = raw.execution_options(**{WRITES: True})
            with connection.begin():
                self.place.lock(connection)
                yield connection

    def explained(self) -> AbstractContextManager[None]:
        """Turn what a user can meet into errors that say what to do."""
        return _explained(self.place)


def is_made(place: Place) -> bool:
    """Whether a service ever kept anything in a place. Raises what a database raises."""
    with _explained(place):
        return place.is_made()


@contextmanager
def _explained(place: Place) -> Iterator[None]:
    driver_errors: tuple[type[Exception], ...] = (DBAPIError, *place.driver_errors)
    try:
        yield
    except driver_errors as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        meaning = place.meaning(cause)
        if meaning is None:
            raise
        raise meaning from error
