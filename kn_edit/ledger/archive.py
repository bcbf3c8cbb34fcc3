"""A ledger as one tar file: written whole or not at all, read with nothing taken on trust."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kn_edit.atomic import place, scratch_folder, sync, taken_back
from kn_edit.canonical import short
from kn_edit.errors import BackupDamaged, BackupExists, LedgerUnusable
from kn_edit.ledger import set_members
from kn_edit.ledger.blob_store import MAX_BYTES, BlobStore
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.database import Database
from kn_edit.ledger.disk import disk_errors, refuse_inside
from kn_edit.ledger.folder_blobs import digest_at, relative_path
from kn_edit.ledger.tables import edits
from kn_edit.untrusted import open_regular

MAX_DATABASE = 4 << 30  # bytes; what a hostile backup may fill the disk with, at most
MAX_HEADER = 64 << 10  # bytes of what older backups note beside a member: its time
CHUNK = 1 << 20
BLOBS = "blobs/"  # begins the names of deltas, which lie in a backup as in a ledger's folder
_SQLITE = b"SQLite format 3\0"
_BLOCK = tarfile.BLOCKSIZE
_NO_OVERRIDES = (b" path=", b" size=", b" linkpath=", b" GNU.sparse")


@dataclass(frozen=True)
class Member:
    """A regular file of a backup."""

    name: str
    size: int


# --- writing -------------------------------------------------------------------------------------


def backup(database: Database, blobs: BlobStore, file: Path, notes: Path | None = None) -> None:
    """Write database and deltas to one new tar file: complete and on disk, or not there.

    notes: the folder where places of work under way are noted
    Raises BackupExists, TargetInsideLedger, LedgerUnusable, WriteUnknown, and what a damaged delta
    raises.
    """
    with disk_errors(file):
        if os.path.lexists(file):
            raise BackupExists(file)
        refuse_inside(file)
        with scratch_folder(file.parent, file.name, notes) as scratch:
            packed = scratch / "backup.tar"
            _pack(database, blobs, scratch / "ledger.db", packed)
            try:
                place(packed, file)
            except FileExistsError:
                raise BackupExists(file) from None
            # Where it may not survive a power cut it is not there.
            with taken_back(file, lambda: file.unlink(missing_ok=True)):
                sync(file.parent)


def _pack(database: Database, blobs: BlobStore, copy: Path, packed: Path) -> None:
    # The database first: every edit in it has its delta on disk already.
    database.copy_to(copy)
    with Database.in_file(copy).reading() as connection:
        ids = [*edit_ids(connection), *set_members.stored(connection, blobs)]
    with packed.open("xb") as output:
        with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as archive:
            with copy.open("rb") as content:
                archive.addfile(_described(copy.name, copy.stat().st_size), content)
            # Empties the log that a plain `tar -xf` would otherwise leave to be replayed.
            archive.addfile(_described(f"{copy.name}-wal", 0))
            for edit in ids:
                data = blobs.get(edit)
                info = _described(f"{BLOBS}{relative_path(edit)}", len(data))
                archive.addfile(info, io.BytesIO(data))
        output.flush()
        os.fsync(output.fileno())


def edit_ids(connection: Connection) -> list[str]:
    """The ids of all edits, in the order in which they were recorded."""
    return list(connection.execute(select(edits.c.id).order_by(edits.c.seq)).scalars())


def _described(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(time.time()), 0o644
    return info


# --- reading -------------------------------------------------------------------------------------


def unpack(file: Path, folder: Path, database: str) -> set[str]:
    """Unpack a backup into an empty folder, on disk; the sha256 of its deltas.

    Only a ledger's own files are taken, each regular, of a bounded size, at its own place and once;
    every delta has the sha256 of its name. Raises BackupDamaged, LedgerUnusable.
    """
    digests: set[str] = set()
    names: set[str] = set()
    with disk_errors(file), open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        free = shutil.disk_usage(folder).free
        if size > free:
            needed = f"it takes {size / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
            raise LedgerUnusable(folder.parent, needed)
        for member in _members(stream, file, size):
            if member.name in names:
                raise BackupDamaged(file, f"it holds {member.name} twice")
            names.add(member.name)
            if member.name == database:
                _take_database(stream, member, file, folder / database)
            elif member.name != f"{database}-wal" or member.size:
                digests.add(_take_delta(stream, member, file, folder))
    if database not in names:
        raise BackupDamaged(file, "it holds no ledger")
    for path in (*folder.glob("*/*"), *folder.glob("*"), folder):
        if path.is_dir():
            sync(path)
    return digests


def _members(stream: IO[bytes], file: Path, size: int) -> Iterator[Member]:
    """The regular files of a tar, the stream standing at the bytes of each. Raises BackupDamaged.

    Read here and not by tarfile, which believes the sizes of headers, and recurses into them.
    """
    while True:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise BackupDamaged(file, "it is cut off")
        if not block.strip(b"\0"):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError):
            raise BackupDamaged(file, "it is not a tar file") from None
        start = stream.tell()
        if info.size < 0 or start + info.size > size:
            raise BackupDamaged(file, "it is cut off")
        if info.type == tarfile.XHDTYPE:  # older backups note fractions of seconds so
            _check_header(stream, info, file)
        elif info.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            yield Member(info.name, info.size)
        else:
            raise BackupDamaged(file, f"{info.name!r} in it is not a regular file")
        stream.seek(start + -(-info.size // _BLOCK) * _BLOCK)


def _check_header(stream: IO[bytes], info: tarfile.TarInfo, file: Path) -> None:
    if info.size > MAX_HEADER:
        raise BackupDamaged(file, f"a header in it has {info.size:,} bytes")
    text = stream.read(info.size)
    if any(word in text for word in _NO_OVERRIDES):
        raise BackupDamaged(file, "a header in it renames or resizes a file")


def _take_database(stream: IO[bytes], member: Member, file: Path, target: Path) -> None:
    start = stream.tell()
    header = stream.read(min(100, member.size))
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    if not header.startswith(_SQLITE) or member.size > MAX_DATABASE:
        raise BackupDamaged(file, f"{member.name} in it is not a database of kn-edit")
    if member.size != (65536 if page == 1 else page) * pages:
        raise BackupDamaged(file, f"{member.name} in it has another size than it says")
    stream.seek(start)
    _copy(stream, member.size, target)


def _take_delta(stream: IO[bytes], member: Member, file: Path, folder: Path) -> str:
    digest = digest_at(member.name.removeprefix(BLOBS))
    if digest is None or not member.name.startswith(BLOBS):
        raise BackupDamaged(file, f"{member.name!r} in it is no file of a ledger")
    if member.size > MAX_BYTES:
        raise BackupDamaged(file, f"{member.name!r} in it is no delta of a ledger")
    target = folder / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if _copy(stream, member.size, target) != digest:
        raise BackupDamaged(file, f"the delta of edit {short(digest)} in it has other bytes")
    return digest


def _copy(stream: IO[bytes], size: int, target: Path) -> str:
    """Copy so many bytes to a new file, on disk; their sha256."""
    sha, remaining = hashlib.sha256(), size
    with target.open("xb") as output:
        while remaining and (chunk := stream.read(min(CHUNK, remaining))):
            output.write(chunk)
            sha.update(chunk)
            remaining -= len(chunk)
        output.flush()
        os.fsync(output.fileno())
    return sha.hexdigest()
