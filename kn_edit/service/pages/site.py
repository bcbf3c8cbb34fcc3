"""The pages, put onto the application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from kn_edit.service.pages import access, compare, history, jobs, moves, propose
from kn_edit.service.pages.rendering import FOLDER


def add_pages(app: FastAPI) -> None:
    """Serve the pages at the root, and what they load under /static."""
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for pages in (
        access.pages,
        history.pages,
        compare.pages,
        propose.pages,
        jobs.pages,
        moves.pages,
    ):
        app.include_router(pages)
