"""What the many exceptions of huggingface_hub mean to a user.

They share no base: HTTP libraries raise their own, a failed upload is a RuntimeError around one,
and what the Hub answers can be anything.
"""

from __future__ import annotations

import os
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
from kn_edit.models.failing_system import is_of_disk, network_words
from kn_edit.models.hub_http import UnrulyHub, tokens_in_use
from kn_edit.safetext import escaped, shortened, without_secrets

PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
WORDS = {
    408: "gave up waiting for us (408)",
    409: "is busy with another change of this repository (409)",
    412: "says that the branch moved (412)",
    429: "asks us to slow down (429)",
    500: "made a mistake of its own (500)",
    502: "cannot be reached behind its gateway (502)",
    503: "is down for a while (503)",
    504: "took too long behind its gateway (504)",
}
MOST_WORDS = 200  # letters of the Hub's own words in a sentence of ours


def is_passing(error: KnEditError) -> bool:
    """Whether the same request may do better in a moment."""
    return isinstance(error, HubFailed) and (error.status is None or error.status in PASSING)


def explained(error: Exception, repo: str, revision: str) -> KnEditError:
    """One of our errors for any of theirs."""
    from huggingface_hub import errors

    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, UnrulyHub):
        return HubFailed(repo, str(error), 0)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return NotLoggedIn(repo)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubFailed(repo, "may not be asked while HF_HUB_OFFLINE is set", 0)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return _answered(error, status, repo, revision)
    if isinstance(error, ValueError) and "README.md" in str(error):
        return CardRefused(repo, line(str(error).partition("\n")[2]) or "no reason given")
    if isinstance(error, OSError) and is_of_disk(error):
        place = Path(os.fsdecode(error.filename or tempfile.gettempdir()))
        return CannotWrite(place, error.strerror or "no reason given")
    return HubFailed(repo, _silence(error))


def _answered(error: Exception, status: int, repo: str, revision: str) -> KnEditError:
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return RevisionNotFound(repo, revision)
    if isinstance(error, errors.GatedRepoError):
        return HubFailed(repo, "asks you to accept its owner's conditions first", status)
    if isinstance(error, errors.RepositoryNotFoundError):
        return RepoNotFound(repo)
    if status == 401:
        return NotLoggedIn(repo)
    answer = line(str(getattr(error, "server_message", None) or ""))
    if status == 403:
        return NoWriteAccess(repo, answer or "the Hub forbids it")
    if status in WORDS:
        return HubFailed(repo, WORDS[status], status)
    return HubFailed(repo, f"answers {status}{f' ({answer})' if answer else ''}", status)


def _silence(error: Exception) -> str:
    """Why there was no answer. The library of HTTP has one of two names, by the client's age."""
    words = network_words(error)
    if words is not None:
        return words
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "TimeoutException" in kinds:
        return "did not answer in time"
    if "ConnectError" in kinds:
        return "cannot be reached"
    if "TransportError" in kinds:
        return "broke off the connection"
    return f"gave an answer that makes no sense ({type(error).__name__})"


def line(text: str, most: int = MOST_WORDS) -> str:
    """What the Hub says, on one line, without tokens and what could steer a terminal."""
    words = " ".join(text[: 100 * most].replace("- ", " ").split())
    return shortened(escaped(without_secrets(words, *tokens_in_use())), most)
