"""Errors in the form that OpenAI's clients read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from kn_edit.errors import KnEditError, NoChatTemplate, PromptTooLong, TooManyWaiting
from kn_edit.errors.remedies import PLAIN
from kn_edit.service.problems import headers_of, status_of

_LOG = logging.getLogger(__name__)
_CODES: dict[type[KnEditError], tuple[str, str | None]] = {
    PromptTooLong: ("context_length_exceeded", None),
    NoChatTemplate: ("chat_not_supported", "messages"),
    TooManyWaiting: ("rate_limit_exceeded", None),
}
_TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
}


class RequestRefused(Exception):
    """A request that is understood, and not served. param: what of it"""

    def __init__(
        self, message: str, *, param: str | None, code: str, status: int = HTTPStatus.BAD_REQUEST
    ) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


def document(error: Exception) -> tuple[int, dict[str, Any]]:
    """An error as its status and OpenAI's document."""
    status, message, param, code = _parts(error)
    kind = _TYPES.get(HTTPStatus(status), "invalid_request_error")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "server_error"
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _parts(error: Exception) -> tuple[int, str, str | None, str | None]:
    """Status, message, parameter, code."""
    if isinstance(error, RequestRefused):
        return error.status, str(error), error.param, error.code
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        path = _path(first)
        message = f"{path}: {first['msg']}" if path else str(first["msg"])
        return HTTPStatus.BAD_REQUEST, message, path or None, "invalid_value"
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail), None, None
    if isinstance(error, KnEditError):
        status = status_of(error)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:  # which OpenAI's servers do not send
            status = HTTPStatus.BAD_REQUEST
        code, param = _CODES.get(type(error), (type(error).__name__, None))
        return status, error.sentence(PLAIN), param, code
    _LOG.error("a request failed", exc_info=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed", None, None


def _path(error: Mapping[str, Any]) -> str:
    """Where in the body something is wrong; empty where it is no JSON.

    pydantic names the kinds that it tried as steps, such as `list[TextPart]`; they are left out.
    """
    steps = error["loc"][1:] if error["type"] != "json_invalid" else ()
    return ".".join(
        str(step)
        for step in steps
        if isinstance(step, int) or (step.isidentifier() and step.islower())
    )


class OpenAIRoute(APIRoute):
    """A route whose errors are answered in OpenAI's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                status, plain = document(error)
                headers = headers_of(error) if isinstance(error, KnEditError) else None
                if isinstance(error, HTTPException):
                    headers = dict(error.headers or {})
                return JSONResponse(plain, status_code=status, headers=headers)

        return handled
