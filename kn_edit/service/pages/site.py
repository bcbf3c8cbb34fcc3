"""The pages, put onto the application."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from kn_edit.service.pages import access, asking, compare, history, jobs, moves, propose
from kn_edit.service.pages.rendering import FOLDER, page

FOR_PROGRAMS = ("/v1", "/static/")  # beside the API


def add_pages(app: FastAPI) -> None:
    """Serve the pages at the root, and what they load under /static."""
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for pages in (
        access.pages,
        history.pages,
        compare.pages,
        propose.pages,
        asking.pages,
        jobs.pages,
        moves.pages,
    ):
        app.include_router(pages)


async def unknown_page(request: Request, error: HTTPException) -> Response:
    """A page for a browser that asks for one that is not there; for others JSON.

    Who has to sign in first is shown none: it names the model.
    """
    is_page = not request.url.path.startswith(FOR_PROGRAMS)
    by_browser = "text/html" in request.headers.get("accept", "")
    caller = getattr(request.state, "caller", None)
    if error.status_code == HTTPStatus.NOT_FOUND and is_page and by_browser and caller:
        return page(request, "not_found.html", HTTPStatus.NOT_FOUND, path=request.url.path)
    return await http_exception_handler(request, error)
