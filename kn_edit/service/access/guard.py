"""What every request passes: the host, who calls, how much, from which page, and the audit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kn_edit.errors import (
    BodyTooLarge,
    BodyTooSlow,
    HostNotServed,
    KnEditError,
    NotSignedIn,
    TokensNeeded,
    TooManyRequests,
)
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.access.audit import Audit, AuditRow
from kn_edit.service.access.limits import Rate
from kn_edit.service.access.origins import (
    HARMLESS,
    host_named,
    is_foreign,
    is_loopback,
    is_served,
    says_where_from,
)
from kn_edit.service.access.roles import LOCAL, Caller, Role
from kn_edit.service.access.tokens import Tokens
from kn_edit.service.problems import headers_of, problem, problem_answer
from kn_edit.workspace.settings import ServeSettings

COOKIE = "kn_edit_session"
TOKEN, SESSION = "token", "session"  # what says who calls
BAD, BROKEN = 400, 500  # statuses: from which on refuse, and fail
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NAMES_OF_LOOPBACK = ("localhost",)
PROBES = frozenset({"/healthz", "/readyz"})  # which programs without a token ask

log = logging.getLogger("kn_edit.service")


@dataclass(frozen=True, eq=False)
class Access:
    """Who may call a service, and how much.

    needs_token: also before any token was made, as on an address that others reach
    hosts: names by which it is called, beside addresses in numbers; None where any will do
    settings: limits of requests, and origins of pages that may write
    rate: of each caller; complaints: rows of the audit about one address
    """

    tokens: Tokens
    audit: Audit
    rate: Rate
    settings: ServeSettings
    needs_token: bool = False
    hosts: Collection[str] | None = None
    complaints: Rate = field(default_factory=lambda: Rate(per_second=1, at_once=100))


def access_of(database: ServiceDatabase, settings: ServeSettings, address: str | None) -> Access:
    """Who may call a service that listens on an address; None where others answer for that.

    settings: names by which it is called, limits, origins. Raises TokensNeeded for an address that
    others reach, where no token was made.
    """
    access = Access(
        tokens=Tokens(database),
        audit=Audit(database),
        rate=Rate(settings.requests_per_second, settings.requests_at_once),
        settings=settings,
    )
    if address is None:
        return access
    inside = is_loopback(address)
    if not inside and not access.tokens.any():
        raise TokensNeeded(address)
    names = {*NAMES_OF_LOOPBACK, *(name.lower() for name in settings.hosts), address.lower()}
    return replace(access, needs_token=not inside, hosts=names)


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        visit = _Visit(scope, self._access)
        try:
            caller, foreign = await self._admitted(scope)
            state.update(caller=caller, foreign=foreign)
            body = await _body(scope, receive, self._access.settings)
        except KnEditError as error:
            answer = problem_answer(problem(error))
            answer.headers.update(headers_of(error))
            state["refused"] = type(error).__name__
            await answer(scope, receive, visit.telling(send))
            return
        await self._app(scope, _again(body, receive), visit.telling(send))

    async def _admitted(self, scope: Scope) -> tuple[Caller | None, bool]:
        """Who calls, and whether from a page of a stranger. Raises what refuses.

        Nobody, None, may see what needs no role.
        """
        headers, access = Headers(scope=scope), self._access
        host = host_named(headers)
        if host is None or (access.hosts is not None and not is_served(host, access.hosts)):
            raise HostNotServed(host or "")
        address = _address(scope) or ""
        if scope["path"] in PROBES:
            # Nothing is read of who asks, so that an answer comes where nothing can be read.
            caller, way, counted = None, None, f"probes of {address}"
        else:
            caller, way = await self._caller(scope, headers)
            counted = caller.name if caller else address
        seconds = access.rate.take(counted)
        if seconds:
            raise TooManyRequests(seconds)
        origins = access.settings.origins
        foreign = way != TOKEN and is_foreign(scope["method"], headers, host, origins)
        silent = scope["method"] not in HARMLESS and not says_where_from(headers)
        return caller, foreign or (way == SESSION and silent)

    async def _caller(self, scope: Scope, headers: Headers) -> tuple[Caller | None, str | None]:
        """Who calls, and what says so. Raises NotSignedIn for a token that is none.

        Where nobody needs a token, what a client sends in its place is not looked at: some cannot
        do without sending one.
        """
        tokens = self._access.tokens
        needed = self._access.needs_token or tokens.needed
        if not needed and not await run_in_threadpool(tokens.any):
            return LOCAL, None
        named = headers.getlist("authorization")
        if named:
            kind, _, secret = named[0].partition(" ")
            if len(named) > 1 or kind.lower() != "bearer" or not secret.strip():
                raise NotSignedIn()
            caller = await run_in_threadpool(tokens.caller, secret.strip())
            if caller is None:
                raise NotSignedIn()
            return caller, TOKEN
        session = Request(scope).cookies.get(COOKIE)
        if session:
            caller = await run_in_threadpool(tokens.in_session, session)
            return caller, SESSION if caller else None
        return None, None


class _Visit:
    """A request from its arrival to its answer. Its state holds what guard and route found out."""

    def __init__(self, scope: Scope, access: Access) -> None:
        self._scope = scope
        self._access = access
        self._state: dict[str, Any] = scope["state"]

    def telling(self, send: Send) -> Send:
        """Send with the headers that every answer has, after a row of the audit."""

        async def with_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in EVERYWHERE.items():
                    headers.setdefault(name, value)
                if message["status"] == HTTPStatus.UNAUTHORIZED:
                    headers.setdefault("WWW-Authenticate", "Bearer")
                if self._counts(message["status"]):
                    await self._note(message["status"], headers.get("location"))
            await send(message)

        return with_note

    def _counts(self, status: int) -> bool:
        """Whether the audit has a row of it: of what needs more than a reader, and of refusals.

        Who is refused again and again has a row a second.
        """
        needed: Role = self._state.get("role", Role.READER)
        changes = needed > Role.READER and self._scope["method"] not in HARMLESS
        if changes and self._state.get("caller"):
            return True
        refused = BAD <= status < BROKEN
        return refused and not self._access.complaints.take(_address(self._scope) or "")

    async def _note(self, status: int, location: str | None) -> None:
        scope = self._scope
        caller: Caller | None = self._state.get("caller")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        _, is_job, job = (location or "").partition("/api/v1/jobs/")
        row = AuditRow(
            moment=self._access.audit.moment(),
            caller=caller.name if caller else None,
            role=caller.role.word if caller else None,
            address=_address(scope),
            method=scope["method"],
            path=scope["path"],
            branch=next(iter(query.get("branch", [])), None),
            status=status,
            refused=self._why(status),
            job=job if is_job else None,
        )
        try:
            await run_in_threadpool(self._access.audit.note, row)
        except KnEditError as error:  # what was done is done; it has to be told somewhere
            log.error("a row of the audit is lost: %s: %s", error, row)

    def _why(self, status: int) -> str | None:
        """The name of what refused a request; None where it was let through."""
        name: str | None = self._state.get("refused")
        return name or (HTTPStatus(status).name if status >= BAD else None)


async def _body(scope: Scope, receive: Receive, settings: ServeSettings) -> bytes:
    """The whole body of a request. Raises BodyTooLarge, BodyTooSlow."""
    if scope["method"] in HARMLESS:
        return b""
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or int(length) > settings.body_bytes:
        raise BodyTooLarge(settings.body_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_seconds):
            unfinished = True
            while unfinished:
                message = await receive()
                if message["type"] == "http.disconnect":
                    break
                body += message.get("body", b"")
                if len(body) > settings.body_bytes:
                    raise BodyTooLarge(settings.body_bytes)
                unfinished = message.get("more_body", False)
    except TimeoutError:
        raise BodyTooSlow(settings.body_seconds) from None
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A receiver that gives a body that was read, then what comes behind it."""
    read: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return read.pop() if read else await receive()

    return received


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None
