"""One repository on the Hub, through huggingface_hub: what is there, and how to change it.

Whatever goes wrong comes out as one of our errors. Every request has a time limit. Credentials are
those of the Hub's own login: this code never reads, keeps or shows a token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from kn_edit.errors import HubFailed, InvalidRecipe, KnEditError, NoWriteAccess, RepoNotFound
from kn_edit.hub.failures import explained, is_passing
from kn_edit.hub.names import is_commit
from kn_edit.hub.parts import Stored
from kn_edit.hub.session import quiet_session
from kn_edit.models.hub_failures import line
from kn_edit.models.hub_http import MOST, UnrulyHub, sent_token, struck

MOST_SECONDS = 600.0  # that one small file may take
WEIGHTS = ".safetensors"
TRIES = 3
CHUNK = 1 << 20
MOST_NAME = 100  # letters of a user's name
MOST_FILES = 100_000  # of a repository
PAUSE = 1.0  # seconds before the second try, twice that before the third

T = TypeVar("T")


@dataclass(frozen=True)
class Refs:
    """Where branches and tags of a repository stand: commits by name."""

    branches: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Commit:
    """A commit as the Hub lists it."""

    id: str
    title: str
    message: str
    created: datetime


class Hub:
    """A repository. Use it inside `connected`."""

    def __init__(self, repo: str) -> None:
        from huggingface_hub import HfApi

        self.repo = repo
        self.api = HfApi()

    @property
    def address(self) -> str:
        """Where the Hub is, to be shown: without a user's name and password."""
        return re.sub(r"(?<=//)[^/@]*@", "", str(self.api.endpoint))

    # --- looking ---------------------------------------------------------------------------------

    def user(self) -> tuple[str, tuple[str, ...]]:
        """Who is logged in, and their organizations. Raises NotLoggedIn, NoWriteAccess."""
        account = self._patiently(self.api.whoami)
        with self._asking():
            name = line(str(account["name"]), MOST_NAME)
            role = account.get("auth", {}).get("accessToken", {}).get("role")
            organizations = tuple(line(str(org.get("name")), MOST_NAME) for org in account["orgs"])
        if role == "read":
            raise NoWriteAccess(self.repo, f"this token of {name} can only read")
        return name, organizations

    def may_write(self) -> bool:
        """Whether the user may write; False where there is no such repository. NoWriteAccess."""
        # Older clients ask only for the right to read; there the Hub refuses the upload itself.
        knows = "write" in signature(self.api.auth_check).parameters
        arguments: dict[str, Any] = {"write": True} if knows else {}
        try:
            self._patiently(lambda: self.api.auth_check(self.repo, **arguments))
        except RepoNotFound:
            return False
        return True

    def is_private(self) -> bool:
        return bool(
            self._patiently(lambda: self.api.model_info(self.repo, expand=["private"])).private
        )

    def refs(self) -> Refs:
        def request() -> Refs:
            listing = self.api.list_repo_refs(self.repo)
            return Refs(
                {str(ref.name): _commit_id(ref.target_commit) for ref in listing.branches},
                {str(ref.name): _commit_id(ref.target_commit) for ref in listing.tags},
            )

        return self._patiently(request)

    def commit_at(self, revision: str) -> str:
        """The commit that a branch, a tag or a part of a commit stands for."""

        def request() -> str:
            return _commit_id(self.api.model_info(self.repo, revision=revision, expand=["sha"]).sha)

        return self._patiently(request, revision)

    def commits(self, revision: str) -> list[Commit]:
        """The history of a revision, newest first."""
        with self._asking(revision):  # the client itself asks several times, for pages
            entries = self.api.list_repo_commits(self.repo, revision=revision)
            return [
                Commit(
                    _commit_id(entry.commit_id),
                    str(entry.title),
                    str(entry.message),
                    entry.created_at,
                )
                for entry in entries
            ]

    def tree(self, revision: str) -> dict[str, Stored]:
        """Every file of a revision, by path."""
        with self._asking(revision):
            nodes = self.api.list_repo_tree(self.repo, recursive=True, revision=revision)
            files = list(
                islice((node for node in nodes if hasattr(node, "blob_id")), MOST_FILES + 1)
            )
            if len(files) > MOST_FILES:
                raise UnrulyHub(f"lists more than {MOST_FILES:,} files")
            return {str(node.path): _stored(node) for node in files}

    def stored_files(self, paths: Sequence[str], revision: str) -> dict[str, Stored]:
        """These files of a revision, as far as they are there."""

        def request() -> dict[str, Stored]:
            nodes = self.api.get_paths_info(self.repo, list(paths), revision=revision)
            return {str(node.path): _stored(node) for node in nodes if hasattr(node, "blob_id")}

        return self._patiently(request, revision)

    def read(self, path: str, revision: str, most: int) -> bytes:
        """The bytes of a file. They stay in memory, and no more than `most` are taken."""
        return self._patiently(lambda: self._fetched(path, revision, most), revision)

    def pull_requests(self, author: str) -> list[str]:
        """Refs of the user's open pull requests, newest first."""

        def request() -> list[str]:
            discussions = self.api.get_repo_discussions(
                self.repo, author=author, discussion_type="pull_request", discussion_status="open"
            )
            return [
                f"refs/pr/{int(discussion.num)}"
                for discussion in discussions
                if discussion.is_pull_request
            ]

        return self._patiently(request)

    # --- changing --------------------------------------------------------------------------------

    def create(self, *, private: bool) -> None:
        """Make the repository. As one that is there will do, it can be asked for several times."""
        self._patiently(
            lambda: self.api.create_repo(self.repo, private=private or None, exist_ok=True)
        )

    def branch(self, name: str, commit: str) -> None:
        """Make a branch; the same holds."""
        self._patiently(
            lambda: self.api.create_branch(self.repo, branch=name, revision=commit, exist_ok=True),
            name,
        )

    def upload(
        self,
        additions: Sequence[Any],
        branch: str,
        *,
        pull_request: bool,
        moved: Callable[[int], None],
    ) -> None:
        """Send the large files, which changes nothing that anybody sees. moved: counts files.

        Weights go one by one: of several at once the client makes threads, which Ctrl-C does not
        reach.
        """
        weights = [addition for addition in additions if addition.path_in_repo.endswith(WEIGHTS)]
        rest = [addition for addition in additions if not addition.path_in_repo.endswith(WEIGHTS)]
        for group in [*([addition] for addition in weights), rest]:
            with self._asking(branch):
                self.api.preupload_lfs_files(
                    self.repo, group, revision=branch, create_pr=pull_request, free_memory=False
                )
            moved(len(group))

    def commit(
        self,
        operations: Sequence[Any],
        branch: str,
        parent: str,
        title: str,
        note: str,
        *,
        pull_request: bool = False,
    ) -> tuple[str, str | None]:
        """Ask once for a commit on top of `parent`; its id, and the ref of its pull request."""
        with self._asking(branch):
            commit_info = self.api.create_commit(
                self.repo,
                operations,
                commit_message=title,
                commit_description=note,
                revision=branch,
                parent_commit=parent,
                create_pr=pull_request,
            )
            ref = commit_info.pr_revision
            if ref is not None and not re.fullmatch(r"refs/pr/\d{1,9}", ref):
                raise ValueError("no pull request is called so")
            return _commit_id(commit_info.oid), ref

    def tag(self, name: str, commit: str, message: str) -> None:
        with self._asking(commit):
            self.api.create_tag(self.repo, tag=name, tag_message=message, revision=commit)

    # --- inside ----------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[], T], revision: str = "") -> T:
        """Ask for something that does no harm twice, a few times where the Hub stumbles."""
        for tried in range(1, TRIES + 1):
            try:
                with self._asking(revision):
                    return ask()
            except KnEditError as error:
                if tried == TRIES or not is_passing(error):
                    raise
            time.sleep(PAUSE * tried)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def _asking(self, revision: str = "") -> Iterator[None]:
        try:
            yield
        except KnEditError:
            raise
        except Exception as error:
            raise explained(error, self.repo, revision) from struck(error)

    def _fetched(self, path: str, revision: str, most: int) -> bytes:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import hf_raise_for_status

        url = hf_hub_url(self.repo, path, revision=revision, endpoint=self.api.endpoint)
        limits = {MOST: most + CHUNK}  # one chunk more, so that the sentence below is said
        content, started = bytearray(), time.monotonic()
        options: Any = {"headers": build_hf_headers(), "extensions": limits}
        with get_session().stream("GET", url, **options) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > most:
                    problem = f"it is larger than the {most} bytes that it may have"
                    raise InvalidRecipe(Path(self.repo, path), problem)
                if time.monotonic() - started > MOST_SECONDS:
                    raise HubFailed(self.repo, f"sends {path} too slowly")
        self._without_token(path, bytes(content))
        return bytes(content)

    def _without_token(self, path: str, data: bytes) -> None:
        """A Hub that repeats the token in a file would have it written into the ledger."""
        if any(token.encode() in data for token in sent_token()):
            raise InvalidRecipe(Path(self.repo, path), "it holds your own token")


@contextmanager
def connected(repo: str) -> Iterator[Hub]:
    """A repository to work with; inside the block huggingface_hub is quiet and waits no longer."""
    with quiet_session():
        yield Hub(repo)


def _stored(node: Any) -> Stored:
    """What the Hub says of a file. Raises ValueError for what makes no sense."""
    sha256 = node.lfs.sha256 if node.lfs else None
    if type(node.size) is not int or node.size < 0 or not isinstance(node.blob_id, str):
        raise ValueError("a file without size and id")
    if sha256 is not None and not isinstance(sha256, str):
        raise ValueError("a file without sha256")
    return Stored(node.size, node.blob_id, sha256)


def _commit_id(value: object) -> str:
    """The id of a commit, which goes into addresses, sentences and the ledger."""
    if not isinstance(value, str) or not is_commit(value):
        raise ValueError("no commit is called so")
    return value
