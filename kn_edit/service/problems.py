"""Errors as `application/problem+json` (RFC 9457), with the command line's names and remedies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import kn_edit.errors as errors
from kn_edit.client.rebuilding import error_of
from kn_edit.errors import ExitCode, KnEditError, Wording
from kn_edit.service.models import Problem
from kn_edit.service.replies import Json
from kn_edit.service.wording import HTTP

MEDIA_TYPE = "application/problem+json"
API = "/api/"
_BY_CODE = {
    ExitCode.ERROR: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.USAGE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.CONFLICT: HTTPStatus.CONFLICT,
    ExitCode.INTEGRITY: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExitCode.NETWORK: HTTPStatus.BAD_GATEWAY,
    ExitCode.NEWER_SCHEMA: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExitCode.DISK: HTTPStatus.INSUFFICIENT_STORAGE,
    ExitCode.QUALITY_GATE: HTTPStatus.UNPROCESSABLE_ENTITY,
}
_BY_NAME = {
    "UnknownId": HTTPStatus.NOT_FOUND,
    "UnknownBranch": HTTPStatus.NOT_FOUND,
    "UnknownJob": HTTPStatus.NOT_FOUND,
    "UnknownProposal": HTTPStatus.NOT_FOUND,
    "HeadMoved": HTTPStatus.CONFLICT,
    "CommitUnknown": HTTPStatus.INTERNAL_SERVER_ERROR,
    "HeadNotNamed": HTTPStatus.PRECONDITION_REQUIRED,
    "Cancelled": HTTPStatus.CONFLICT,
    "WorkerLost": HTTPStatus.INTERNAL_SERVER_ERROR,
    "JobBroke": HTTPStatus.INTERNAL_SERVER_ERROR,
    "LedgerBusy": HTTPStatus.SERVICE_UNAVAILABLE,
    "NoQueue": HTTPStatus.SERVICE_UNAVAILABLE,
    "NotReady": HTTPStatus.SERVICE_UNAVAILABLE,
    "ServiceStopping": HTTPStatus.SERVICE_UNAVAILABLE,
    "ExportsNotAllowed": HTTPStatus.FORBIDDEN,
    "RepositoryNotAllowed": HTTPStatus.FORBIDDEN,
    "TooManyWaiting": HTTPStatus.TOO_MANY_REQUESTS,
    "TooManyRequests": HTTPStatus.TOO_MANY_REQUESTS,
    "NotSignedIn": HTTPStatus.UNAUTHORIZED,
    "RoleTooLow": HTTPStatus.FORBIDDEN,
    "ForeignPage": HTTPStatus.FORBIDDEN,
    "HostNotServed": HTTPStatus.MISDIRECTED_REQUEST,
    "BodyTooLarge": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "BodyTooSlow": HTTPStatus.REQUEST_TIMEOUT,
    "AnsweringStopped": HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: KnEditError) -> HTTPStatus:
    """The HTTP status that says what kind of error it is."""
    return _status(type(error).__name__, error.exit_code)


def _status(name: str, code: int) -> HTTPStatus:
    return _BY_NAME.get(name) or _BY_CODE[ExitCode(code)]


def headers_of(error: KnEditError) -> dict[str, str]:
    """What is told of an error beside its document: when to try again."""
    seconds = getattr(error, "retry_after", None)
    return {} if seconds is None else {"Retry-After": str(seconds)}


def problem(error: KnEditError, wording: Wording = HTTP) -> dict[str, Any]:
    """An error as a problem document: `error`, `code`, `detail`, `remedies` as with --json."""
    return problem_of(error.document(wording))


def problem_of_job(document: Mapping[str, Any]) -> dict[str, Any]:
    """The problem document of an error that a worker kept: what to do in the words of HTTP.

    A worker keeps it in the words of no front end. So it stays where its facts do not tell the
    whole error, or another release wrote them.
    """
    error = error_of(document)
    is_whole = (error.summary, [*error.remedies]) == (document["message"], document["remedies"])
    return problem_of({**document, "message": error.sentence(HTTP)} if is_whole else document)


def problem_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The problem document of an error's document, such as a job keeps."""
    status = _status(document["error"], document["code"])
    return {
        "type": f"urn:kn-edit:error:{document['error']}",
        "title": document["message"],
        "status": int(status),
        **document,
    }


def problem_answer(document: Mapping[str, Any]) -> Response:
    """A problem document as an answer, in its own status."""
    return Json(document, status_code=document["status"], media_type=MEDIA_TYPE)


Declared = dict[int | str, dict[str, Any]]


# What any route may answer, whatever it does: who asks is refused, or how, or what is sent.
EVERYWHERE = frozenset({401, 403, 408, 413, 421, 422, 429})


def declared(*statuses: int) -> Declared:
    """The problems that a route declares beside those of every route, for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "model": Problem,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*statuses, *EVERYWHERE})
    }


Elsewhere = Callable[[Request, HTTPException], Awaitable[Response]]


def tell_problems(app: FastAPI, elsewhere: Elsewhere = http_exception_handler) -> None:
    """Answer errors by problem documents. elsewhere: what tells them outside of the API"""

    @app.exception_handler(KnEditError)
    def tell(request: Request, error: KnEditError) -> Response:
        answer = problem_answer(problem(error))
        answer.headers.update(headers_of(error))
        return answer

    @app.exception_handler(RequestValidationError)
    def tell_invalid(request: Request, error: RequestValidationError) -> Response:
        problems = tuple((_place(each["loc"]), str(each["msg"])) for each in error.errors())
        return problem_answer(problem(errors.BadArguments(request.url.path, problems)))

    @app.exception_handler(HTTPException)
    async def tell_http(request: Request, error: HTTPException) -> Response:
        if not request.url.path.startswith(API):
            return await elsewhere(request, error)
        phrase = HTTPStatus(error.status_code).phrase
        document = {
            "type": "about:blank",
            "title": phrase,
            "status": error.status_code,
            "error": phrase.replace(" ", ""),
            "code": int(ExitCode.USAGE),
            "message": f"{phrase}: {request.method} {request.url.path}; see /api/v1/openapi.json",
            "detail": {},
            "remedies": [],
        }
        answer = problem_answer(document)
        answer.headers.update(error.headers or {})
        return answer


def _place(location: tuple[int | str, ...]) -> str:
    """Where in a request something is wrong: `to`, `facts.3.subject`, `query limit`."""
    source, *keys = location
    path = ".".join(map(str, keys))
    return path or str(source) if source == "body" else f"{source} {path}".strip()
