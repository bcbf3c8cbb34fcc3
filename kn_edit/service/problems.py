"""Errors as `application/problem+json` (RFC 9457), with the command line's names and remedies."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from kn_edit.errors import (
    AnsweringStopped,
    ExitCode,
    HeadMoved,
    KnEditError,
    TooManyWaiting,
    UnknownBranch,
    UnknownId,
    UnknownJob,
)
from kn_edit.errors.remedies import PLAIN

MEDIA_TYPE = "application/problem+json"
_STATUS = {
    ExitCode.ERROR: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.USAGE: HTTPStatus.UNPROCESSABLE_ENTITY,
    ExitCode.CONFLICT: HTTPStatus.CONFLICT,
    ExitCode.INTEGRITY: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExitCode.NETWORK: HTTPStatus.BAD_GATEWAY,
    ExitCode.NEWER_SCHEMA: HTTPStatus.INTERNAL_SERVER_ERROR,
    ExitCode.DISK: HTTPStatus.INSUFFICIENT_STORAGE,
    ExitCode.QUALITY_GATE: HTTPStatus.UNPROCESSABLE_ENTITY,
}
_NOT_FOUND = (UnknownId, UnknownBranch, UnknownJob)


def status_of(error: KnEditError) -> HTTPStatus:
    """The HTTP status that says what kind of error it is."""
    if isinstance(error, _NOT_FOUND):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, HeadMoved):
        return HTTPStatus.CONFLICT
    if isinstance(error, TooManyWaiting):
        return HTTPStatus.TOO_MANY_REQUESTS
    if isinstance(error, AnsweringStopped):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return _STATUS[error.exit_code]


def headers_of(error: KnEditError) -> dict[str, str]:
    """What is told of an error beside its document: when to try again."""
    return {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyWaiting) else {}


def problem(error: KnEditError) -> dict[str, Any]:
    """An error as a problem document: `error`, `code`, `detail`, `remedies` as with --json."""
    document = error.document(PLAIN)
    status = status_of(error)
    return {
        "type": f"urn:kn-edit:error:{document['error']}",
        "title": document["message"],
        "status": int(status),
        **document,
    }


def tell_problems(app: FastAPI) -> None:
    """Answer errors of kn-edit by problem documents."""

    @app.exception_handler(KnEditError)
    def tell(request: Request, error: KnEditError) -> JSONResponse:
        document = problem(error)
        return JSONResponse(
            document,
            status_code=document["status"],
            media_type=MEDIA_TYPE,
            headers=headers_of(error),
        )
