"""Answers that are kept until somebody commits: so many readers cost little more than one.

The answer of a route marked by `keeps_answer` is made of the ledger, of who asked for its moves,
and of path and query. It is made once for each state of these, and then sent as it is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from kn_edit.jobs.callers import callers_known
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.replies import tags_in
from kn_edit.workspace import Workspace

MOST_BYTES = 4_000_000  # of all answers that are kept
LARGEST = 500_000  # bytes of one of them
_KEPT = "kept"  # the mark of an endpoint

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Key = tuple[str, bytes]  # path and query


def keeps_answer(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint for readers whose answer depends on nothing but the ledger and the moves'
    callers, so that it is the same for every reader until somebody commits."""
    setattr(endpoint, _KEPT, True)
    return endpoint


@dataclass(frozen=True)
class Reply:
    """An answer of status 200, and the state that it was made of, or an older one."""

    state: Hashable
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    def response(self, request: Request) -> Response:
        """The answer; 304 where the caller has its bytes already, as `replies.tagged` says it."""
        response = Response(self.body)
        response.raw_headers = [*self.headers]
        etag = response.headers.get("ETag")
        if etag and etag in tags_in(request.headers.get("If-None-Match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
        return response


class KeptAnswers:
    """The answers that a service keeps, the newest of each path and query."""

    def __init__(self, workspace: Workspace, database: ServiceDatabase) -> None:
        self._ledger = workspace.ledger
        self._database = database
        self._answers: OrderedDict[Key, Reply] = OrderedDict()
        self._bytes = 0
        self._making: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._callers: tuple[Hashable, int] | None = None  # how many are known, at which state

    async def answer(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """The answer to a request: the one that is kept, or a new one that is made.

        Of several callers who wait for the same one, the first makes it. Raises what `make` raises.
        """
        key = request.url.path, bytes(request.scope.get("query_string", b""))
        reply = self._answers.get(key)
        if reply is not None and reply.state == await self._state():
            self._answers.move_to_end(key)
            return reply.response(request)
        async with self._making.setdefault(key, asyncio.Lock()):
            state = await self._state()
            reply = self._answers.get(key)
            if reply is not None and reply.state == state:
                return reply.response(request)
            response = await make()
        if state is not None and response.status_code == HTTPStatus.OK:
            self._keep(key, Reply(state, bytes(response.body), tuple(response.raw_headers)))
        return response

    async def _state(self) -> Hashable | None:
        """What answers are made of, told by something that differs; None where it is not told."""
        ledger, service = self._ledger.state(), self._database.place.state()
        if ledger is None or service is None:
            return None
        if self._callers is None or self._callers[0] != service:
            self._callers = service, await run_in_threadpool(callers_known, self._database)
        return ledger, self._callers[1]

    def _keep(self, key: Key, reply: Reply) -> None:
        former = self._answers.pop(key, None)
        self._bytes -= len(former.body) if former else 0
        if len(reply.body) > LARGEST:
            return
        self._answers[key] = reply
        self._bytes += len(reply.body)
        while self._bytes > MOST_BYTES:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest.body)


class KeptRoute(APIRoute):
    """A route whose answers are kept, where its endpoint is marked by `keeps_answer`."""

    def get_route_handler(self) -> Handler:
        handler: Handler = super().get_route_handler()
        if not getattr(self.endpoint, _KEPT, False):
            return handler

        async def handled(request: Request) -> Response:
            state = request.state
            if getattr(state, "caller", None) is None or getattr(state, "foreign", False):
                return await handler(request)  # which refuses it
            answers: KeptAnswers = request.app.state.service.answers
            return await answers.answer(request, lambda: handler(request))

        return handled
