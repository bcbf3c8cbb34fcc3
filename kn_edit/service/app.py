"""The application: routes, errors, and what they work with, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from fastapi import FastAPI

from kn_edit import __version__
from kn_edit.jobs.job import JobQueue
from kn_edit.service.answering import Answering
from kn_edit.service.api import router as api
from kn_edit.service.openai import router as openai
from kn_edit.service.pages.site import add_pages
from kn_edit.service.problems import tell_problems
from kn_edit.service.service import Service
from kn_edit.workspace import Workspace


def make_app(
    folder: Path | None = None,
    *,
    warm: bool = False,
    jobs: Callable[[Workspace], JobQueue] | None = None,
) -> FastAPI:
    """The application that serves the workspace in a folder. Raises what opening it raises.

    warm: load the model at once, in the background, and not with the first question
    jobs: makes the queue of long work; without it there are no jobs
    """
    workspace = Workspace.open(folder)
    service = Service(workspace, Answering(workspace), jobs(workspace) if jobs else None)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with workspace, closing(service):
            if warm:
                service.answering.warm()
            yield

    app = FastAPI(
        title="kn-edit",
        summary="A model-editing service with versioned checkpoints",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    tell_problems(app)
    app.include_router(api)
    app.include_router(openai)
    add_pages(app)
    return app
