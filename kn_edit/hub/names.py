"""Names on the Hub: of repositories, branches and tags. Checked before anything is asked."""

from __future__ import annotations

import re

from kn_edit.errors import BadRepoName, BadRevisionName

MAIN = "main"

_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def check_repo(name: str) -> str:
    """The name, if a repository can be called so. Raises BadRepoName."""
    parts = name.split("/")
    sound = (
        len(parts) == 2
        and len(name) <= 96
        and all(_PART.fullmatch(part) for part in parts)
        and not any(pair in name for pair in ("..", "--"))
        and not name.endswith(".git")
    )
    if not sound:
        raise BadRepoName(name)
    return name


def check_revision(name: str) -> str:
    """The name, if a branch or a tag can be called so. Raises BadRevisionName."""
    if _COMMIT.fullmatch(name):
        raise BadRevisionName(name)
    return check_any_revision(name)


def check_any_revision(name: str) -> str:
    """The name, if it can be a branch, a tag, a commit or refs/pr/N. Raises BadRevisionName."""
    parts = name.split("/")
    sound = (
        len(name) <= 100
        and _REVISION.fullmatch(name)
        and not any(pair in name for pair in ("..", "//"))
        and not any(part.startswith(".") or part.endswith(".lock") for part in parts)
    )
    if not sound:
        raise BadRevisionName(name)
    return name


def split_revision(text: str) -> tuple[str, str]:
    """`owner/name@revision` as its two parts, both checked; main where none is named."""
    repo, separator, revision = text.partition("@")
    return check_repo(repo), check_any_revision(revision) if separator else MAIN


def is_commit(name: str) -> bool:
    """Whether a name can be the first digits of a commit."""
    return bool(_COMMIT.fullmatch(name))
