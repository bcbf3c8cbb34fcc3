"""The errors of publishing: what a failed request to the Hub means for a repository."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kn_edit.errors import (
    CannotWrite,
    CardRefused,
    HubFailed,
    KnEditError,
    NotLoggedIn,
    NoWriteAccess,
    RepoNotFound,
    RevisionNotFound,
)
from kn_edit.models.hub_failures import HubCause, failure_of

PASSING = (408, 409, 425, 429, 500, 502, 503, 504)


def is_passing(error: KnEditError) -> bool:
    """Whether the same request may do better in a moment."""
    return isinstance(error, HubFailed) and (error.status is None or error.status in PASSING)


def explained(error: Exception, repo: str, revision: str) -> KnEditError:
    """One of our errors for any of theirs."""
    failure = failure_of(error)
    match failure.cause:
        case HubCause.NO_TOKEN:
            return NotLoggedIn(repo)
        case HubCause.OFFLINE:
            return HubFailed(repo, "may not be asked while HF_HUB_OFFLINE is set", 0)
        case HubCause.NO_REVISION:
            return RevisionNotFound(repo, revision)
        case HubCause.NO_REPOSITORY:
            return RepoNotFound(repo)
        case HubCause.GATED:
            problem = "asks you to accept its owner's conditions first"
            return HubFailed(repo, problem, failure.status)
        case HubCause.FORBIDDEN:
            return NoWriteAccess(repo, failure.words)
        case HubCause.CARD:
            return CardRefused(repo, failure.words)
        case HubCause.DISK:
            return CannotWrite(failure.place or Path(tempfile.gettempdir()), failure.words)
        case HubCause.UNRULY:
            return HubFailed(repo, failure.words, 0)
    return HubFailed(repo, failure.words, failure.status)
