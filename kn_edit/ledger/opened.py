"""What every verb of a ledger works with: its database, its deltas, its clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import URL

from kn_edit.errors import DeltaDigestDiffers, DeltaMissing
from kn_edit.ledger import branches, lists, names, reading
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.creation import add_workspace, create_database
from kn_edit.ledger.database import Database
from kn_edit.ledger.dialects import dialect_of
from kn_edit.ledger.membership import members
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import BaseRecord, Ref
from kn_edit.ledger.shelf import Shelf

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta

Clock = Callable[[], datetime]
DEFAULT = "default"  # the workspace of a database that holds one, where nobody names it


class OpenLedger:
    """A ledger from `create` or `open` to `close`, without its verbs."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock) -> None:
        self.blobs = blobs
        self._shelf = Shelf(blobs)
        self._database = database
        self._clock = clock

    @cached_property
    def base(self) -> BaseRecord:
        """The model that this ledger is about. Raises LedgerDamaged."""
        with self._database.reading() as connection:
            return reading.base(connection)

    @classmethod
    def create(
        cls,
        url: str | URL,
        blobs: BlobStore,
        base: BaseRecord,
        *,
        workspace: str = DEFAULT,
        clock: Clock,
    ) -> Self:
        """Make a ledger in a new database. It exists whole, or not at all.

        url: a SQLAlchemy URL of the database, such as sqlite:////folder/ledger.db
        blobs: where the deltas of its edits go; workspace: its name, of use where others follow
        Raises UnsupportedDatabase, BadWorkspaceName, LedgerExists, LinkInLedger, LedgerUnusable,
        WriteUnknown.
        """
        names.check_workspace(workspace)
        database = create_database(dialect_of(url), base, moment(clock), workspace)
        ledger = cls(database, blobs, clock)
        ledger.base = base  # nothing is read here: it is made, so nothing may fail any more
        return ledger

    @classmethod
    def add(
        cls, url: str | URL, blobs: BlobStore, base: BaseRecord, *, workspace: str, clock: Clock
    ) -> Self:
        """Make a ledger in a database that holds others, as a workspace of its own.

        workspace: its name, for `open`; blobs: where the deltas of all workspaces lie
        Raises BadWorkspaceName, WorkspaceExists, NoLedger, and what `open` raises.
        """
        names.check_workspace(workspace)
        database = _opened(url, workspace, clock)
        add_workspace(database, base, moment(clock), workspace)
        return cls(database, blobs, clock)

    @classmethod
    def open(
        cls, url: str | URL, blobs: BlobStore, *, workspace: str | None = None, clock: Clock
    ) -> Self:
        """Open a ledger, after bringing an older one to the present schema.

        url: a SQLAlchemy URL of its database; blobs: where the deltas of its edits lie
        workspace: its name, where the database holds several; by default the only one
        Raises UnsupportedDatabase, NoLedger, UnknownWorkspace, NewerSchema, LedgerDamaged,
        LinkInLedger, LedgerUnusable.
        """
        database = _opened(url, workspace, clock)
        if workspace is not None:
            with database.reading():  # which looks whether it is there
                pass
        return cls(database, blobs, clock)

    def close(self) -> None:
        """Give the database's resources back."""
        self._database.close()

    def after_others(self) -> None:
        """Wait until what somebody is recording just now is recorded, or not. Raises LedgerBusy."""
        self._database.after_others()

    def keep_connections(self) -> None:
        """Keep connections to the database open between reads until `close`.

        For a process that reads all the time: to open one takes as long as a query.
        """
        self._database.dialect.keep_connections()

    def state(self) -> Hashable | None:
        """Something that is another one after each commit of anybody, for whoever keeps what was
        read. None where it is not told: without `keep_connections`, and in PostgreSQL."""
        return self._database.dialect.state()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def delta(self, edit: str) -> Delta:
        """The numbers of an edit, by its full id. Raises DeltaMissing, DeltaDigestDiffers."""
        from kn_edit.edits.delta import Delta

        return self._shelf.delta(edit, Delta.from_bytes)

    def deltas(self, edits: Iterable[str]) -> list[Delta]:
        """The numbers of these edits, in order: of a version's, or of a plan's recipe."""
        return [self.delta(edit) for edit in edits]

    def member(self, id_: str) -> bytes | None:
        """The file of a member of a joint edit; None where it is not here, or damaged."""
        try:
            return self.blobs.get(id_)
        except (DeltaMissing, DeltaDigestDiffers):
            return None

    def delta_size(self, edit: str) -> int:
        """The bytes of the delta file of an edit, by its full id; its numbers are not looked at.

        Raises DeltaMissing, DeltaDigestDiffers.
        """
        return self._shelf.size(edit)

    def keeping_deltas(self) -> AbstractContextManager[None]:
        """Read each delta once inside of a block, as far as 256 MB hold them."""
        return self._shelf.keeping()

    # --- for the verbs ---------------------------------------------------------------------------

    def _now(self) -> str:
        """The time of this moment, UTC, ISO 8601 in seconds."""
        return moment(self._clock)

    def _tip(self, connection: Connection, branch: str) -> tuple[Ref, Recipe]:
        """A branch and its list. Raises UnknownBranch."""
        on = branches.find(connection, branch)
        return on, self._recipe(connection, on.version)

    def _recipe(self, connection: Connection, version: str) -> Recipe:
        """The list of a version. Rows are read unless this process compared it with its id lately;
        an id never gets another list.
        """
        recipe = lists.proven_before(self.base.fingerprint, version)
        return reading.recipe(connection, version) if recipe is None else recipe

    def _members(
        self, connection: Connection, version: str, edits: Collection[str]
    ) -> tuple[str, ...]:
        """Those of these edits that stand in the list of a version, in its order."""
        return members(connection, self.base.fingerprint, version, edits)


def _opened(url: str | URL, workspace: str | None, clock: Clock) -> Database:
    """A database that is there, at the present schema."""
    database = Database.from_url(url, workspace)
    with database.explained():
        database.dialect.require()
    database.upgrade(lambda: moment(clock))
    return database


def moment(clock: Clock) -> str:
    """The time that a clock tells, UTC, ISO 8601 in seconds."""
    return clock().astimezone(UTC).isoformat(timespec="seconds")
