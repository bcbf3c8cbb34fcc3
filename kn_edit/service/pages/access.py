"""Pages to sign in by a token, and to sign out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import Cookie, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kn_edit.service.access import from_our_page
from kn_edit.service.access.guard import COOKIE
from kn_edit.service.access.tokens import SESSION_SECONDS
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import router
from kn_edit.service.service import TheService

SIGN_IN = "/sign-in"
Next = Annotated[str, Query(max_length=1000)]

pages = router()


@pages.get(SIGN_IN, name="sign in")
def sign_in(request: Request, service: TheService, next: Next = "/") -> HTMLResponse:
    """Ask for a token."""
    return page(request, "sign_in.html", next=_inside(next), wrong=False)


@pages.post(SIGN_IN, dependencies=[Depends(from_our_page)])
def signed_in(
    request: Request,
    service: TheService,
    token: Annotated[str, Form(max_length=200)],
    next: Annotated[str, Form(max_length=1000)] = "/",
) -> Response:
    """Open a session by a token, and go on to where the caller wanted to go."""
    session = service.access.tokens.sign_in(token.strip())
    if session is None:
        status = HTTPStatus.FORBIDDEN
        return page(request, "sign_in.html", status, next=_inside(next), wrong=True)
    answer = RedirectResponse(_inside(next), HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        COOKIE,
        session,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=_by_tls(request),
    )
    return answer


@pages.post("/sign-out", name="sign out", dependencies=[Depends(from_our_page)])
def signed_out(
    service: TheService, session: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> Response:
    """End the session of this browser."""
    if session:
        service.access.tokens.sign_out(session)
    answer = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _by_tls(request: Request) -> bool:
    """Whether a browser reaches the service by TLS, maybe through a proxy that speaks it."""
    origin = request.headers.get("origin", "")
    return request.url.scheme == "https" or origin.lower().startswith("https://")


def _inside(path: str) -> str:
    """A path of this service as it is; the first page for what would lead elsewhere."""
    leads_away = path[:1] != "/" or path[1:2] in ("/", "\\") or not path.isprintable()
    return "/" if leads_away else path
