"""What the many exceptions of huggingface_hub mean, in one table.

They share no base: HTTP libraries raise their own, a failed upload is a RuntimeError around one,
and what the Hub answers can be anything. Who fetches a model and who publishes a version make
errors of their own of a HubFailure.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from kn_edit.models.failing_system import is_of_disk, network_words
from kn_edit.models.hub_http import UnrulyHub, tokens_in_use
from kn_edit.safetext import escaped, shortened, without_secrets

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


class HubCause(Enum):
    """Why a request to the Hub failed."""

    BAD_NAME = auto()  # no repository can be called so
    GATED = auto()  # its owner asks to accept conditions
    NO_REPOSITORY = auto()  # or one that this user may not see
    NO_REVISION = auto()
    NOT_CACHED = auto()  # nobody answered, and the cache does not hold it
    OFFLINE = auto()  # HF_HUB_OFFLINE is set
    NO_TOKEN = auto()  # or one that the Hub does not accept
    FORBIDDEN = auto()
    CARD = auto()  # the metadata of a model card
    ANSWER = auto()  # an answer with another status
    UNRULY = auto()  # an answer that no Hub should give
    SILENCE = auto()  # no answer
    NONSENSE = auto()  # everything else
    DISK = auto()  # files of this machine


@dataclass(frozen=True, kw_only=True)
class HubFailure:
    """A failed request.

    words: the end of a sentence that begins with `the Hub`; of FORBIDDEN, CARD and DISK the reason
    status: of the answer, where there was one; place: the file or folder of DISK, where it is named
    """

    cause: HubCause
    words: str = ""
    status: int | None = None
    place: Path | None = None


# By the name of the exception in huggingface_hub.errors; the first that fits counts.
_CAUSES = {
    "LocalTokenNotFoundError": HubCause.NO_TOKEN,
    "OfflineModeIsEnabled": HubCause.OFFLINE,
    "HFValidationError": HubCause.BAD_NAME,
    "RevisionNotFoundError": HubCause.NO_REVISION,
    "GatedRepoError": HubCause.GATED,
    "RepositoryNotFoundError": HubCause.NO_REPOSITORY,
    "LocalEntryNotFoundError": HubCause.NOT_CACHED,
}
# The library of HTTP has one of two names, by the client's age.
_SILENT = {
    "TimeoutException": "did not answer in time",
    "ConnectError": "cannot be reached",
    "TransportError": "broke off the connection",
}


def failure_of(error: Exception) -> HubFailure:
    """Why a request failed, by the exception that came of it."""
    while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    status = _status(error)
    if isinstance(error, UnrulyHub):
        return HubFailure(cause=HubCause.UNRULY, words=str(error))
    cause = _named_cause(error)
    if cause is not None:
        return HubFailure(cause=cause, words=_nonsense(error), status=status)
    if status is not None:
        return _answered(error, status)
    if isinstance(error, ValueError) and "README.md" in str(error):
        reason = line(str(error).partition("\n")[2]) or "no reason given"
        return HubFailure(cause=HubCause.CARD, words=reason)
    if isinstance(error, OSError) and is_of_disk(error):
        place = Path(os.fsdecode(error.filename)) if error.filename else None
        reason = error.strerror or "no reason given"
        return HubFailure(cause=HubCause.DISK, words=reason, place=place)
    silence = _silence(error)
    if silence is not None:
        return HubFailure(cause=HubCause.SILENCE, words=silence)
    return HubFailure(cause=HubCause.NONSENSE, words=_nonsense(error))


def line(text: str, most: int = MOST_WORDS) -> str:
    """What the Hub says, on one line, without tokens and what could steer a terminal."""
    words = " ".join(text[: 100 * most].replace("- ", " ").split())
    return shortened(escaped(without_secrets(words, *tokens_in_use())), most)


def _named_cause(error: Exception) -> HubCause | None:
    from huggingface_hub import errors

    for name, cause in _CAUSES.items():
        if isinstance(error, getattr(errors, name)):
            return cause
    return None


def _status(error: Exception) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _answered(error: Exception, status: int) -> HubFailure:
    answer = line(str(getattr(error, "server_message", None) or ""))
    if status == 401:
        return HubFailure(cause=HubCause.NO_TOKEN, status=status)
    if status == 403:
        words = answer or "the Hub forbids it"
        return HubFailure(cause=HubCause.FORBIDDEN, words=words, status=status)
    words = WORDS.get(status, f"answers {status}{f' ({answer})' if answer else ''}")
    return HubFailure(cause=HubCause.ANSWER, words=words, status=status)


def _silence(error: Exception) -> str | None:
    """Why there was no answer; None where the error is about something else."""
    words = network_words(error)
    if words is not None:
        return words
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return next((words for kind, words in _SILENT.items() if kind in kinds), None)


def _nonsense(error: Exception) -> str:
    return f"gave an answer that makes no sense ({type(error).__name__})"
