"""Making a new ledger: whole and durable, or not at all."""

from __future__ import annotations

from kn_edit.ledger import writing
from kn_edit.ledger.database import Database
from kn_edit.ledger.dialect import Dialect
from kn_edit.ledger.history import version_id
from kn_edit.ledger.records import BaseRecord


def create_database(dialect: Dialect, base: BaseRecord, now: str) -> Database:
    """Make a database with the tables and first rows of a ledger.

    Raises LedgerExists, LinkInLedger, LedgerUnusable, WriteUnknown.
    """

    def fill(unfinished: Dialect) -> None:
        _fill(Database(unfinished), base, now)

    database = Database(dialect)
    with database.explained():
        dialect.make(fill)
    return database


def _fill(database: Database, base: BaseRecord, now: str) -> None:
    database.create()
    with database.writing() as connection:
        writing.first_rows(connection, base, version_id(base.fingerprint, ()), now)
