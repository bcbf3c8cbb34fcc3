"""Making a new ledger: whole and durable, or not at all."""

from __future__ import annotations

from kn_edit.ledger import writing
from kn_edit.ledger.database import Database
from kn_edit.ledger.dialect import Dialect
from kn_edit.ledger.history import version_id
from kn_edit.ledger.records import BaseRecord


def create_database(dialect: Dialect, base: BaseRecord, now: str, name: str) -> Database:
    """Make a database with the tables and first rows of a ledger. name: of its workspace

    Raises LedgerExists, LinkInLedger, LedgerUnusable, WriteUnknown.
    """

    def fill(unfinished: Dialect) -> None:
        _fill(Database(unfinished), base, now, name)

    database = Database(dialect, name)
    with database.explained():
        dialect.make(fill)
    return database


def add_workspace(database: Database, base: BaseRecord, now: str, name: str) -> None:
    """Add a ledger to a database that may hold others, in one transaction.

    name: of its workspace. Raises WorkspaceExists, LedgerBusy, LedgerDamaged, LedgerUnusable.
    """
    with database.adding_workspace(name) as connection:
        writing.first_rows(connection, base, version_id(base.fingerprint, ()), now)


def _fill(database: Database, base: BaseRecord, now: str, name: str) -> None:
    database.create()
    add_workspace(database, base, now, name)
