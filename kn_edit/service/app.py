"""The application: routes, errors, and what they work with, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from fastapi import FastAPI

from kn_edit import __version__
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.job import JobQueue
from kn_edit.service.access.guard import Guard, access_of
from kn_edit.service.access.tables import metadata as access_tables
from kn_edit.service.answering import Answering
from kn_edit.service.api import router as api
from kn_edit.service.kept_answers import KeptAnswers
from kn_edit.service.keys import Keys
from kn_edit.service.keys import metadata as key_tables
from kn_edit.service.openai import router as openai
from kn_edit.service.operations.health import Readiness
from kn_edit.service.operations.metrics import Metrics
from kn_edit.service.operations.requests import Requests
from kn_edit.service.operations.routes import operations_router
from kn_edit.service.operations.tidying import tidied
from kn_edit.service.pages.site import add_pages, unknown_page
from kn_edit.service.problems import tell_problems
from kn_edit.service.service import Service
from kn_edit.workspace import Workspace
from kn_edit.workspace.settings import serve_settings


def make_app(
    folder: Path | None = None,
    *,
    address: str | None = None,
    warm: bool = False,
    jobs: Callable[[Workspace], JobQueue] | None = None,
) -> FastAPI:
    """The application that serves the workspace in a folder.

    address: that it listens on; None where something else answers for who may reach it
    warm: load the model at once, in the background, and not with the first question
    jobs: makes the queue of long work; without it there are no jobs
    Raises TokensNeeded, and what opening the workspace raises.
    """
    workspace = Workspace.open(folder)
    workspace.ledger.keep_connections()
    settings = serve_settings(workspace.folder)
    database = ServiceDatabase.of(workspace.folder, access_tables, key_tables)
    access = access_of(database, settings, address)
    queue = jobs(workspace) if jobs else None
    service = Service(
        workspace=workspace,
        answering=Answering(workspace),
        access=access,
        database=database,
        keys=Keys(database),
        answers=KeptAnswers(workspace, database),
        jobs=queue,
    )
    readiness = Readiness(service)
    metrics = Metrics(service, readiness)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with workspace, closing(database), closing(service):
            if warm:
                service.answering.warm()
            async with tidied(queue, settings):
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
    app.add_middleware(Guard, access=access)
    app.add_middleware(Requests, metrics=metrics)  # the outermost
    tell_problems(app, elsewhere=unknown_page)
    app.include_router(api)
    app.include_router(openai)
    app.include_router(operations_router(readiness, metrics))
    add_pages(app)
    return app
