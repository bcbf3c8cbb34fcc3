"""What a ledger asks of its database, as far as kinds of databases differ."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from kn_edit.errors import KnEditError

WRITES = "kn_edit_writes"  # execution option of a connection that is going to write


class Dialect(Protocol):
    """One database that a ledger lies in. `DIALECTS` names the kinds that there are.

    What is the same in all of them is `Database`. Errors of a driver pass through; `meaning` says
    what they mean. A row that cannot be what kn-edit wrote is a DamagedRow.
    """

    engine: Engine  # whose connections may write
    driver_errors: tuple[type[Exception], ...]  # beside those that SQLAlchemy wraps

    @property
    def place(self) -> Path | str:
        """Where the database is, for messages; no password in it."""

    def require(self) -> None:
        """Raise NoLedger where no database is, and what else forbids to open the one that is."""

    def make(self, fill: Callable[[Dialect], None]) -> None:
        """Make a new database, whole and durable or not at all.

        fill: makes tables and first rows in the database that it is given
        Raises LedgerExists, LedgerUnusable, WriteUnknown.
        """

    def may_write(self) -> bool:
        """Whether this process may write to the database at all."""

    def reader(self) -> Engine:
        """The engine that reads; where nothing may be written maybe that of a copy."""

    def keep_connections(self) -> None:
        """Keep connections for reading open from now on, for a process that reads all the time."""

    def state(self) -> Hashable | None:
        """Something that is another one after each commit of anybody; None where that is not told.

        It takes much less than a transaction, and may be asked for beside everything else.
        """

    def upgrader(self) -> Engine:
        """The engine of a migration: links between tables are not looked at meanwhile."""

    def upgrade_copies(self, upgrade: Callable[[Dialect], None]) -> None:
        """Read the older schema of a database that may not be written by upgraded copies.

        upgrade: brings a copy to the present schema
        """

    def schemas(self) -> list[object]:
        """What the database says of its schema, one value a row; nothing is written or locked."""

    def refuse_programs(self, connection: Connection) -> None:
        """Raise DamagedRow where the database holds what would run by itself."""

    def make_tables(self, connection: Connection) -> None:
        """Make the tables of the present schema in a new database."""

    def tables_made(self, connection: Connection) -> None:
        """Finish what a migration made in this transaction, where this kind needs more."""

    def lock_chain(self, connection: Connection, workspace: int) -> None:
        """Let nobody else append to a workspace's chain of events before this transaction ends.

        A transaction may take a lock that it holds already. Raises RuntimeError in one that does
        not write.
        """

    def lock_blobs(self, connection: Connection) -> None:
        """Let nobody else, in any workspace, delete or rely on blobs before this transaction ends.

        It is taken after the lock of a chain, never before. Raises as `lock_chain`.
        """

    def after_others(self, workspace: int) -> None:
        """Wait for a transaction of another connection that may still come to its end.

        Asked before it is told whether a commit landed whose answer was lost.
        """

    def stored(
        self, connection: Connection, query: str, values: Mapping[str, int | str]
    ) -> Iterator[Sequence[Any]]:
        """Rows of a query as they are stored. values: of its parameters, `:name`"""

    def commit(self, connection: Connection) -> BaseException | None:
        """Commit; the error of the driver where that failed, with nothing left open."""

    def settle(self) -> None:
        """Wait until what was committed is on the disk."""

    def meaning(self, error: BaseException | None) -> KnEditError | None:
        """What an error of the driver means to a user; None if it is a mistake of ours."""

    def faults(self, connection: Connection) -> Iterable[str]:
        """What the database's own checks say about it, and about the links between tables."""

    def shape_faults(self, connection: Connection) -> Iterable[str]:
        """Which tables, indexes and the like are not those that kn-edit makes."""

    def remove_unfinished(self, older_than: float) -> list[str]:
        """Remove what killed commands left where the database lies; where each was.

        older_than: seconds; what cannot be told from work under way goes if it is older
        """

    def copy_to(self, path: Path, workspace: int) -> None:
        """Copy one consistent state to a new SQLite file, while others use the database.

        workspace: the one whose rows are copied
        """

    def close(self) -> None:
        """Give back what is held."""
