"""What a write names beside its arguments: the head that it builds on, and its key."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Query

from kn_edit.errors import BadArguments, HeadMoved, HeadNotNamed
from kn_edit.service.arguments import Name
from kn_edit.workspace import Workspace

LONGEST_WAIT = 60  # seconds
ANY = "*"

OnBranch = Annotated[
    Name | None, Query(description="The branch to work on; by default the current one.")
]
IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="The version that the branch is at, in quotes, as the ETag of "
        "/api/v1/branches/{name} gives it; * for any.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        max_length=200,
        description=f"`wait=N`: wait up to N seconds ({LONGEST_WAIT} at most) for the result.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="A text that no other request has. Sent again within a day, it gives the "
        "answer of the first time.",
    ),
]
_VERSION = re.compile(r'"[0-9a-f]{64}"')
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|[,;])")


def expected_head(workspace: Workspace, branch: str, if_match: str | None) -> str | None:
    """The version that a write builds on; None where the caller takes any.

    Raises HeadNotNamed without a header, BadArguments for one that names no version, HeadMoved
    where the branch is at another one, UnknownBranch.
    """
    actual = workspace.ledger.branch_named(branch).version
    named = named_head(if_match)
    if if_match is None or not if_match.strip():
        raise HeadNotNamed(branch, actual)
    if named is not None and named != actual:
        raise HeadMoved(named, actual)
    return named


def named_head(if_match: str | None) -> str | None:
    """The version that a header `If-Match` names; None for any. Raises BadArguments."""
    text = (if_match or ANY).strip()
    if text == ANY:
        return None
    if not _VERSION.fullmatch(text):
        problem = "the whole id of one version is needed, in quotes, or * for any"
        raise BadArguments("a write", (("header If-Match", problem),))
    return text.strip('"')


def seconds_to_wait(prefer: str | None) -> float:
    """How long a caller prefers to wait for the result (RFC 7240); 0 where it says nothing."""
    named = _WAIT.search(prefer or "")
    return min(float(named[1]), LONGEST_WAIT) if named else 0.0
