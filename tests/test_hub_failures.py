"""What exceptions of huggingface_hub mean: one cause each, for fetching and for publishing."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from huggingface_hub import errors

from kn_edit.errors import (
    CardRefused,
    ExitCode,
    HubFailed,
    HubLoadFailed,
    KnEditError,
    NotLoggedIn,
    NoWriteAccess,
    RepoNotFound,
    RevisionNotFound,
)
from kn_edit.hub.failures import explained, is_passing
from kn_edit.models.hub_failures import WORDS, HubCause, failure_of
from kn_edit.models.hub_http import UnrulyHub
from kn_edit.models.source import _translated

REPO = "org/model"
# The library of HTTP that the client uses has one of two names.
HTTP: Any = importlib.import_module(errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0])


def answer(status: int, kind: type[Any] = errors.HfHubHTTPError, says: str = "") -> Exception:
    response = HTTP.Response(status, request=HTTP.Request("GET", "https://hub.test/x"))
    error: Exception = kind(f"{status} of the client", response=response)
    error.server_message = says  # type: ignore[attr-defined]
    return error


def around(cause: Exception) -> RuntimeError:
    """A failed upload, as the client raises it."""
    error = RuntimeError("Error while uploading")
    error.__cause__ = cause
    return error


def loaded(error: Exception) -> KnEditError:
    with pytest.raises(KnEditError) as caught, _translated(f"{REPO}@v1"):
        raise error
    return caught.value


CASES: dict[str, tuple[Exception, HubCause, type[KnEditError], str]] = {
    "gated": (answer(403, errors.GatedRepoError), HubCause.GATED, HubFailed, "conditions"),
    "missing": (
        answer(404, errors.RepositoryNotFoundError),
        HubCause.NO_REPOSITORY,
        RepoNotFound,
        "no such model",
    ),
    "revision": (
        answer(404, errors.RevisionNotFoundError),
        HubCause.NO_REVISION,
        RevisionNotFound,
        "no such revision",
    ),
    "no token": (
        errors.LocalTokenNotFoundError("none"),
        HubCause.NO_TOKEN,
        NotLoggedIn,
        "does not know who you are",
    ),
    "unauthorized": (answer(401), HubCause.NO_TOKEN, NotLoggedIn, "does not know who you are"),
    "forbidden": (
        answer(403, says="only members\nmay"),
        HubCause.FORBIDDEN,
        NoWriteAccess,
        "only members may",
    ),
    "offline": (
        errors.OfflineModeIsEnabled("offline"),
        HubCause.OFFLINE,
        HubFailed,
        "HF_HUB_OFFLINE",
    ),
    "not cached": (
        errors.LocalEntryNotFoundError("gone"),
        HubCause.NOT_CACHED,
        HubFailed,
        "not in its cache",
    ),
    "no name": (errors.HFValidationError("bad"), HubCause.BAD_NAME, HubFailed, "nor a Hub id"),
    "unruly": (UnrulyHub("lists too much"), HubCause.UNRULY, HubFailed, "lists too much"),
    "teapot": (answer(418, says="short"), HubCause.ANSWER, HubFailed, "answers 418 (short)"),
    "silent": (
        HTTP.ConnectTimeout("late"),
        HubCause.SILENCE,
        HubFailed,
        "did not answer in time",
    ),
    "broken": (
        HTTP.RemoteProtocolError("cut"),
        HubCause.SILENCE,
        HubFailed,
        "broke off the connection",
    ),
    "upload": (around(answer(401)), HubCause.NO_TOKEN, NotLoggedIn, "who you are"),
    "cache": (
        errors.CorruptedCacheException("refs/main\nis odd"),
        HubCause.NONSENSE,
        HubFailed,
        "refs/main is odd",
    ),
}


@pytest.mark.parametrize(("error", "cause", "kind", "words"), CASES.values(), ids=CASES)
def test_every_exception_has_one_cause_and_an_error_of_ours(error, cause, kind, words):
    assert failure_of(error).cause is cause
    published, fetched = explained(error, REPO, "v1"), loaded(error)
    assert type(published) is kind and type(fetched) is HubLoadFailed
    assert words in str(fetched) and "\n" not in str(fetched)
    assert fetched.exit_code == published.exit_code == ExitCode.NETWORK


@pytest.mark.parametrize("status", WORDS)
def test_a_status_is_told_in_the_same_words_to_both(status):
    published, fetched = explained(answer(status), REPO, "v1"), loaded(answer(status))
    assert isinstance(published, HubFailed) and isinstance(fetched, HubLoadFailed)
    assert published.status == status and is_passing(published) == (status != 412)
    assert fetched.problem == f"the Hub {published.problem}" == f"the Hub {WORDS[status]}"


def test_a_model_card_that_the_hub_refuses_is_told_with_its_words():
    error = ValueError('Invalid metadata in README.md.\n- "license" must be one of them')
    assert explained(error, REPO, "v1") == CardRefused(REPO, '"license" must be one of them')


def test_no_token_of_the_user_is_in_what_the_hub_is_quoted_with(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz012345")
    says = "who is hf_abcdefghijklmnopqrstuvwxyz012345?"
    for ours in (explained(answer(418, says=says), REPO, ""), loaded(answer(418, says=says))):
        assert "who is" in str(ours) and "abcdefgh" not in str(ours)
