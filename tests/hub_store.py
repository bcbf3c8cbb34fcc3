"""What a Hub keeps: bytes under their hash, commits that never change, refs that name commits."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path, PurePosixPath

MAIN = "refs/heads/main"
ATTRIBUTES = "".join(
    f"*.{kind} filter=lfs diff=lfs merge=lfs -text\n" for kind in ("bin", "gguf", "safetensors")
)
LARGEST_REGULAR = 10_000_000  # bytes; what is larger goes to LFS whatever its name


class Refused(Exception):
    """The Hub says no; of status and code the client makes one of its errors."""

    def __init__(
        self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message.encode("ascii", "replace").decode()}
        self.headers |= {"X-Error-Code": code} if code else {}
        self.headers |= headers or {}


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()


@dataclass(frozen=True)
class File:
    """A file of a commit.

    oid: git's, of the content; where that is in LFS, of the pointer that git keeps instead
    """

    sha256: str
    size: int
    oid: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


def lfs_pointer(sha256: str, size: int) -> bytes:
    spec = "https://git-lfs.github.com/spec/v1"
    return f"version {spec}\noid sha256:{sha256}\nsize {size}\n".encode()


class Objects:
    """Bytes on disk, each under its sha256."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def add(self, chunks: Iterable[bytes]) -> tuple[str, int]:
        """Keep what comes, once it has come whole; its sha256 and size."""
        digest, size = hashlib.sha256(), 0
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix="partial-")
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
            Path(temporary).replace(self.path(digest.hexdigest()))
        finally:
            Path(temporary).unlink(missing_ok=True)
        return digest.hexdigest(), size

    def regular(self, content: bytes) -> File:
        return File(*self.add([content]), git_oid(content), lfs=False)

    def large(self, sha256: str) -> File:
        size = self.path(sha256).stat().st_size
        return File(sha256, size, git_oid(lfs_pointer(sha256, size)), lfs=True)


@dataclass(frozen=True)
class Commit:
    parent: str | None
    files: Mapping[str, File]
    author: str
    title: str
    message: str
    date: str

    @cached_property
    def id(self) -> str:
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha1(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Pull:
    num: int
    base: str
    first: Commit

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


class Repo:
    """A model's history. `uploaded` are the LFS objects that were sent to this repo."""

    def __init__(self, name: str, objects: Objects, *, private: bool, gated: bool) -> None:
        self.name, self.private, self.gated = name, private, gated
        self.objects = objects
        self.uploaded: set[str] = set()
        self.commits: dict[str, Commit] = {}
        self.refs: dict[str, str] = {}
        self.tag_messages: dict[str, str] = {}
        self.pulls: list[Pull] = []
        files = {".gitattributes": objects.regular(ATTRIBUTES.encode())}
        self._keep(Commit(None, files, "system", "initial commit", "", self._now()), MAIN)

    def find(self, revision: str) -> Commit:
        """What a branch, a tag, a full ref, or a commit's id or its first 7 digits stand for."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if len(revision) >= 7:
            found = [commit for id, commit in self.commits.items() if id.startswith(revision)]
            if len(found) == 1:
                return found[0]
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def history(self, revision: str) -> Iterator[Commit]:
        id: str | None = self.find(revision).id
        while id is not None:
            yield self.commits[id]
            id = self.commits[id].parent

    def commit(
        self,
        revision: str,
        changes: Iterable[tuple[str, File | None]],
        *,
        author: str,
        title: str,
        message: str = "",
        parent: str | None = None,
        pull: bool = False,
    ) -> Commit:
        """Put a commit on a branch, or on a new pull request to it.

        changes: None deletes the file, or the folder where the path ends in a slash
        parent: the head that the branch must have; the start of a pull request
        """
        ref = revision if revision.startswith("refs/pr/") else f"refs/heads/{revision}"
        if ref not in self.refs:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        head = self.commits[self.refs[ref]]
        if pull and parent:
            head = self.find(parent)
        elif parent and not head.id.startswith(parent):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for path, file in changes:
            if file is not None:
                files[path] = file
            elif gone := [name for name in files if name == path or _inside(name, path)]:
                for name in gone:
                    del files[name]
            else:
                raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        made = Commit(head.id, files, author, title, message, self._now())
        if pull:
            self.pulls.append(Pull(len(self.pulls) + 1, ref, made))
            ref = self.pulls[-1].ref
        self._keep(made, ref)
        return made

    def add_ref(self, ref: str, commit: Commit, taken: str) -> None:
        if ref in self.refs:
            raise Refused(409, taken)
        self.refs[ref] = commit.id

    def stored(self, path: str, content: bytes, revision: str) -> File:
        """A file as an upload would leave it."""
        file = self.objects.regular(content)
        if not self.is_large(path, len(content), revision):
            return file
        self.uploaded.add(file.sha256)
        return self.objects.large(file.sha256)

    def is_large(self, path: str, size: int, revision: str) -> bool:
        """Whether a new file belongs to LFS, by the attributes of the revision and by its size."""
        attributes = self.text(".gitattributes", revision)
        globs = [line.split()[0] for line in attributes if "filter=lfs" in line]
        return size > LARGEST_REGULAR or _matches(path, globs)

    def is_ignored(self, path: str, revision: str, ignore: str | None = None) -> bool:
        lines = self.text(".gitignore", revision) if ignore is None else ignore.splitlines()
        globs = [line.strip("/") for line in lines if line and not line.startswith("#")]
        return any(_matches(str(part), globs) for part in (path, *PurePosixPath(path).parents))

    def text(self, path: str, revision: str) -> list[str]:
        file = self.find(revision).files.get(path)
        return self.objects.path(file.sha256).read_text().splitlines() if file else []

    def _keep(self, commit: Commit, ref: str) -> None:
        self.commits[commit.id] = commit
        self.refs[ref] = commit.id

    def _now(self) -> str:
        moment = datetime(2024, 1, 1) + timedelta(seconds=len(self.commits))
        return moment.isoformat(timespec="milliseconds") + "Z"


def _inside(name: str, folder: str) -> bool:
    return folder.endswith("/") and name.startswith(folder)


def _matches(path: str, globs: Iterable[str]) -> bool:
    return any(fnmatch(path, glob) or fnmatch(path.rpartition("/")[2], glob) for glob in globs)
