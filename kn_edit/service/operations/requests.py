"""Each request has an id, a line of the log, and its place in the figures."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kn_edit.errors import ServiceStopping
from kn_edit.service.access.roles import Caller
from kn_edit.service.operations.metrics import Metrics
from kn_edit.service.problems import headers_of, problem, problem_answer
from kn_edit.service.waiting import CLOSED

REQUEST_ID = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a method or a path that is none of ours: strangers choose no names of series
ASKED_OFTEN = frozenset({"/healthz", "/readyz", "/metrics"})
STATIC = "/static"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("kn_edit.service.requests")


class Requests:
    """ASGI middleware around everything else, so that refusals are told too."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, id, statuses = self._clock(), _request_id(Headers(scope=scope)), list[int]()

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                MutableHeaders(scope=message)[REQUEST_ID] = id
            await send(message)

        status = CLOSED
        self._metrics.open_requests.inc()
        try:
            await self._app(scope, receive, with_id)
        except asyncio.CancelledError:  # the time of grace is over
            await _cut_off(scope, receive, with_id, begun=bool(statuses))
        except Exception:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            self._metrics.open_requests.dec()
            status = statuses[0] if statuses else status
            self._tell(scope, id, status, self._clock() - began)

    def _tell(self, scope: Scope, id: str, status: int, seconds: float) -> None:
        """Count a request, and log it, without its query."""
        method, route = scope["method"], route_of(scope)
        label = method if method in METHODS else OTHER
        self._metrics.observe(label, route, status, seconds)
        caller: Caller | None = scope.get("state", {}).get("caller")
        client = scope.get("client")
        fields: dict[str, Any] = {
            "request": id,
            "client": client[0] if client else None,
            "caller": caller.name if caller else None,
            "method": method,
            "path": scope["path"],
            "route": route,
            "status": int(status),
            "ms": round(1000 * seconds, 1),
        }
        usual = route in ASKED_OFTEN and status < HTTPStatus.BAD_REQUEST
        log.log(logging.DEBUG if usual else logging.INFO, "request", extra={"request": fields})


def route_of(scope: Scope) -> str:
    """The route that answered a request, with names in place of what stands in its path.

    Of a router inside another one, newer FastAPI names the inner part alone, so the part before
    it is read from the path.
    """
    path, route = scope["path"], scope.get("route")
    if route is None or not hasattr(route, "path_regex"):
        return STATIC if path.startswith(f"{STATIC}/") else OTHER
    for start in (place for place, letter in enumerate(path) if letter == "/"):
        if route.path_regex.match(path[start:]):
            return f"{path[:start]}{route.path_format}"
    return str(route.path_format)


async def _cut_off(scope: Scope, receive: Receive, send: Send, *, begun: bool) -> None:
    """End the answer to a request that the service has no time left for.

    begun: whether some of it was sent; then it ends there
    """
    if begun:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    error = ServiceStopping()
    answer = problem_answer(problem(error))
    answer.headers.update(headers_of(error))
    await answer(scope, receive, send)


def _request_id(headers: Headers) -> str:
    """The id that a proxy gave a request, else a new one."""
    header = headers.get(REQUEST_ID, "")
    return header if _ID.fullmatch(header) else secrets.token_hex(8)
