"""Where the parts of a workspace's ledger lie that are not in its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kn_edit.atomic import make_folders
from kn_edit.errors import (
    BadObjectAddress,
    BadSetting,
    BadWorkspaceName,
    BlobsTaken,
    DatabaseHasNoLedger,
    DatabaseHoldsLedger,
    KnEditError,
    LedgerExists,
    NoLedger,
    UnknownWorkspace,
    UnsupportedDatabase,
    WorkspaceExists,
)
from kn_edit.ledger import BaseRecord, Ledger
from kn_edit.ledger.blob_store import BlobStore
from kn_edit.ledger.dialects import is_same_database, public_url, with_login_of
from kn_edit.ledger.disk import disk_errors
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.in_folder import (
    BLOBS,
    DATABASE,
    create_in_folder,
    open_in_folder,
    restore_in_database,
    restore_in_folder,
)
from kn_edit.ledger.names import check_workspace
from kn_edit.ledger.object_blobs import ObjectBlobs
from kn_edit.ledger.opened import DEFAULT
from kn_edit.ledger.restoring import Replaced
from kn_edit.objects.address import ObjectAddress

BLOBS_URL = "KN_EDIT_BLOBS_URL"
DATABASE_URL = "KN_EDIT_DATABASE_URL"

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Storage:
    """Where a ledger lies; what is None lies in the folder of its workspace. Raises BadSetting.

    blobs: of the deltas, s3://bucket/prefix
    database: postgresql://user@host/database, without a password
    name: of the workspace in that database
    """

    blobs: str | None = None
    database: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.blobs is not None:
            _address(self.blobs)
        if self.database is not None:
            _without_password(self.database)
        if self.name is not None:
            _checked_name(self.name)

    @property
    def blob_store(self) -> ObjectBlobs | None:
        """The store of the deltas; None for the folder."""
        return None if self.blobs is None else ObjectBlobs(_address(self.blobs))

    @property
    def database_url(self) -> str | None:
        """The URL of the database, with a login where the environment has it; None: the folder."""
        return None if self.database is None else _with_login(self.database)

    @property
    def workspace(self) -> str:
        """The name of the workspace in its database."""
        return self.name or DEFAULT

    def create(self, folder: Path, base: BaseRecord, clock: Clock) -> Ledger:
        """Make the ledger: in `folder`, the `.kn-edit` one, or in its database.

        Raises LedgerExists, WorkspaceExists, LinkInLedger, LedgerUnusable, WriteUnknown, and what
        a database raises.
        """
        if self.database is None:
            return create_in_folder(folder, base, clock=clock, blobs=self.blob_store)
        url, blobs, name = _with_login(self.database), self._blobs(folder), self.workspace
        self._require_no_file(folder)
        with disk_errors(folder):
            make_folders(folder)
        try:
            return Ledger.add(url, blobs, base, workspace=name, clock=clock)
        except (DatabaseHasNoLedger, NoLedger):
            pass
        try:
            return Ledger.create(url, blobs, base, workspace=name, clock=clock)
        except (DatabaseHoldsLedger, LedgerExists):  # somebody else made the first one meanwhile
            return Ledger.add(url, blobs, base, workspace=name, clock=clock)

    def open(self, folder: Path, clock: Clock) -> Ledger:
        """Open the ledger in `folder`, the `.kn-edit` one, or in its database.

        Raises NoLedger, UnknownWorkspace, NewerSchema, LedgerDamaged, LinkInLedger, LedgerUnusable,
        and what a database raises.
        """
        if self.database is None:
            return open_in_folder(folder, clock=clock, blobs=self.blob_store)
        url, blobs = _with_login(self.database), self._blobs(folder)
        return Ledger.open(url, blobs, workspace=self.workspace, clock=clock)

    def existing(self, folder: Path, clock: Clock) -> Ledger | None:
        """The ledger, if it is there. Raises as `open`."""
        if self.database is None:
            there = os.path.lexists(folder / DATABASE)
            return self.open(folder, clock) if there else None
        try:
            return self.open(folder, clock)
        except (DatabaseHasNoLedger, NoLedger, UnknownWorkspace):
            return None

    def taken(self, folder: Path) -> KnEditError:
        """The error that a ledger is there already."""
        if self.database is None:
            return LedgerExists(folder)
        return WorkspaceExists(self.workspace, public_url(self.database))

    def restore(self, file: Path, folder: Path, clock: Clock, *, replace: bool) -> Replaced:
        """Put the ledger of a backup where the storage says. Raises as `restore_in_folder`."""
        if self.database is None:
            blobs = self.blob_store
            return restore_in_folder(file, folder, clock=clock, replace=replace, blobs=blobs)
        self._require_no_file(folder)
        return restore_in_database(
            file,
            _with_login(self.database),
            self._blobs(folder),
            workspace=self.workspace,
            clock=clock,
            replace=replace,
        )

    def _require_no_file(self, folder: Path) -> None:
        """Raise LedgerExists for a ledger in the folder, which would not be found any more."""
        if os.path.lexists(folder / DATABASE):
            raise LedgerExists(folder)

    def _blobs(self, folder: Path) -> BlobStore:
        return self.blob_store or FolderBlobs(folder / BLOBS)


@contextmanager
def tried(storage: Storage, *, new: bool) -> Iterator[None]:
    """Try a storage before a ledger is made there; a bucket that is new to it is claimed.

    It is left to others again where the block fails. Raises BlobsTaken, and what a bucket raises.
    """
    store = storage.blob_store
    if store is None or not new:
        if store is not None:
            store.now()
        yield
        return
    if not store.claim():
        raise BlobsTaken(store.place)
    try:
        store.now()
        yield
    except BaseException:
        with suppress(KnEditError):
            store.release()
        raise


def storage_named(
    blobs: str | None = None, database: str | None = None, name: str | None = None
) -> dict[str, str]:
    """The settings of a storage that a call names, or else the environment. Raises BadSetting.

    name: of the workspace in its database
    """
    named: dict[str, str] = {}
    store = blobs or os.environ.get(BLOBS_URL)
    if store:
        named["blobs"] = str(_address(store))
    if database:
        named["database"] = _without_password(database)
    elif os.environ.get(DATABASE_URL):
        named["database"] = public_url(os.environ[DATABASE_URL], options=True)
    if name is not None and "database" not in named:
        raise BadSetting("the name of a workspace", name, "it is of use with a database only")
    if name is not None:
        named["name"] = _checked_name(name)
    return named


def completed(named: Mapping[str, str], present: Storage, folder: Path) -> dict[str, str]:
    """Settings that a call names, with the name that its workspace has in the database.

    present: what kn-edit.toml says; a login to the very same database changes nothing of it
    folder: of the workspace, which gives its name to what has none
    """
    settings = dict(named)
    url = settings.get("database")
    if url is None:
        return settings
    if present.database is not None and is_same_database(present.database, url):
        settings["database"] = present.database
    if "name" not in settings:
        settings["name"] = present.name or _name_of(folder)
    return settings


def _name_of(folder: Path) -> str:
    """The name of a folder, where a workspace may be called so too."""
    name = folder.absolute().name
    try:
        check_workspace(name)
    except BadWorkspaceName:
        return DEFAULT
    return name


def _checked_name(name: object) -> str:
    try:
        check_workspace(str(name))
    except BadWorkspaceName as error:
        raise BadSetting("the name of a workspace", name, error.reason) from None
    return str(name)


def _without_password(url: object) -> str:
    """A URL for a file that others may read. Raises BadSetting for one with a password in it."""
    try:
        plain = public_url(str(url), options=True)
    except UnsupportedDatabase as error:
        raise BadSetting("the database", error.url, error.reason) from None
    if not is_same_database(plain, str(url), exactly=True):
        reason = f"without its password, which {DATABASE_URL}, PGPASSWORD or ~/.pgpass tells"
        raise BadSetting("the database", public_url(str(url)), reason)
    return plain


def _with_login(url: str) -> str:
    """A URL with the user and password of KN_EDIT_DATABASE_URL, where that is the same database."""
    return with_login_of(url, os.environ.get(DATABASE_URL))


def _address(url: object) -> ObjectAddress:
    try:
        return ObjectAddress.parse(url if isinstance(url, str) else "")
    except BadObjectAddress as error:
        raise BadSetting(
            "the store of deltas", url, f"s3://bucket/prefix: {error.reason}"
        ) from None
