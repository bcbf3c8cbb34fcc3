"""A disk that loses power: what a trace of operations may leave, by what POSIX promises.

A file keeps what was written before its last fsync, a folder the names that it had at its own;
of what came later any part may be there. SQLite's shared memory is not in a trace: it does not
outlive the processes that map it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar


@dataclass(frozen=True)
class Operation:
    """One record of a trace; faults.c says what each kind carries."""

    kind: str
    inode: int
    offset: int
    path: str
    other: str
    data: bytes


def read_trace(path: Path) -> Iterator[Operation]:
    """The operations of a trace that faults.c wrote, in order."""
    raw, at = path.read_bytes(), 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        kind, *numbers = raw[at:end].split()
        inode, offset, size, first, second = map(int, numbers)
        size = size if kind == b"write" else 0
        at = end + 1
        paths = raw[at : at + first].decode(), raw[at + first : at + first + second].decode()
        at += first + second
        yield Operation(kind.decode(), inode, offset, *paths, raw[at : at + size])
        at += size


@dataclass(eq=False)
class File:
    """A file: what is on disk, and the writes and truncations since its last fsync."""

    data: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut here

    def sync(self) -> None:
        self.data = self.after(self.pending)
        self.pending = []

    def after(self, changes: list[tuple[int, bytes | None]]) -> bytes:
        """The contents with some of what is pending."""
        data = bytearray(self.data)
        for offset, written in changes:
            end = offset + len(written or b"")
            data.extend(bytes(max(0, end - len(data))))
            if written is None:
                del data[offset:]
            else:
                data[offset:end] = written
        return bytes(data)


@dataclass(eq=False)
class Folder:
    """A folder: the names on disk, those that processes see, and the steps between the two.

    A step is a mapping from names to what they stand for from then on, None for nothing.
    """

    durable: dict[str, File | Folder] = field(default_factory=dict)
    names: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def step(self, changes: dict[str, File | Folder | None]) -> None:
        self.pending.append(changes)
        _apply(self.names, changes)

    def sync(self) -> None:
        self.durable = dict(self.names)
        self.pending = []


def _apply(names: dict[str, File | Folder], changes: dict[str, File | Folder | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """All files below a root as they are now, in memory and on disk."""

    def __init__(self, root: Path) -> None:
        """The disk with what stands below the root, all of it synced."""
        self._prefix = str(root.resolve())
        self._inodes: dict[int, File] = {}
        self.root = self._loaded(root)

    def _loaded(self, path: Path) -> Folder:
        folder = Folder()
        for child in sorted(path.iterdir()):
            if child.is_dir():
                folder.names[child.name] = self._loaded(child)
            else:
                file = File(child.read_bytes())
                folder.names[child.name] = self._inodes[child.stat().st_ino] = file
        folder.sync()
        return folder

    def do(self, one: Operation) -> None:
        """Carry out an operation of the trace."""
        if one.kind in ("write", "truncate", "sync"):
            file = self._inodes.setdefault(one.inode, File())  # or it lost its name already
            if one.kind == "sync":
                file.sync()
            else:
                file.pending.append((one.offset, one.data if one.kind == "write" else None))
        elif one.kind == "syncdir":
            self._folder(one.path).sync()
        else:
            self._name(one)

    def _name(self, one: Operation) -> None:
        folder, name = self._place(one.path)
        if one.kind == "create":
            self._inodes[one.inode] = file = File()
            folder.step({name: file})
        elif one.kind == "mkdir":
            folder.step({name: Folder()})
        elif one.kind in ("unlink", "rmdir"):
            folder.step({name: None})
        elif one.kind in ("rename", "link", "exchange"):
            target, new = self._place(one.other)
            node = folder.names[name]
            if one.kind == "exchange":
                assert target is folder
                folder.step({name: folder.names[new], new: node})
                return
            gone: dict[str, File | Folder | None] = {name: None} if one.kind == "rename" else {}
            if target is folder:
                folder.step({**gone, new: node})
            else:
                target.step({new: node})
                folder.step(gone)

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return self._folder(parent), name

    def _folder(self, path: str) -> Folder:
        node: File | Folder = self.root
        for name in path.removeprefix(self._prefix).split("/"):
            if name:
                assert isinstance(node, Folder)
                node = node.names[name]
        assert isinstance(node, Folder)
        return node


LONG_AGO = 1_700_000_000  # a machine that lost power starts again much later
LOSSES = ("all", "data", "names", "suffixes", "parts")


def write_after_power_cut(disk: Disk, place: Path, loss: str, chance: random.Random) -> None:
    """Write one state that a power cut may leave to a new folder.

    loss: which unsynced operations are gone: all; those on data, or on names; those after a point,
    another one in each file and folder, where a write may stop half-way; or any of them
    """
    contents: dict[int, bytes] = {}
    _write(disk.root, place, loss, chance, contents)


def _write(
    folder: Folder, place: Path, loss: str, chance: random.Random, contents: dict[int, bytes]
) -> None:
    place.mkdir(parents=True)
    names = dict(folder.durable)
    for changes in _kept(folder.pending, loss, "names", chance):
        _apply(names, changes)
    for name, node in names.items():
        if isinstance(node, Folder):
            _write(node, place / name, loss, chance, contents)
            continue
        if id(node) not in contents:  # a file of two names has one content
            changes = _kept(node.pending, loss, "data", chance)
            if loss == "suffixes" and changes and changes[-1][1]:
                offset, data = changes[-1]
                changes[-1] = (offset, data[: chance.randint(1, len(data))])
            contents[id(node)] = node.after(changes)
        (place / name).write_bytes(contents[id(node)])
        os.utime(place / name, (LONG_AGO, LONG_AGO))


T = TypeVar("T")


def _kept(pending: list[T], loss: str, own: str, chance: random.Random) -> list[T]:
    if loss in ("all", own):
        return []
    if loss == "suffixes":
        return pending[: chance.randint(0, len(pending))]
    if loss == "parts":
        return [one for one in pending if chance.random() < 0.5]
    return list(pending)
