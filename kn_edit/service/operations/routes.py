"""Routes for whoever runs the service: does it answer, can it work, and its figures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response

from kn_edit.service.access import Caller, Role, require
from kn_edit.service.operations.health import Readiness
from kn_edit.service.operations.metrics import Metrics
from kn_edit.service.replies import Json


def operations_router(readiness: Readiness, metrics: Metrics) -> APIRouter:
    """The routes of a service: probes, which anybody may call, and figures for readers."""
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        """The process answers, whatever else may be wrong."""
        return Json({"status": "ok"})

    @router.get("/readyz")
    def readyz() -> Response:
        """The service can do its work. Raises NotReady."""
        readiness.require()
        return Json({"status": "ready"})

    @router.get("/metrics")
    def figures(request: Request, caller: Annotated[Caller, require(Role.READER)]) -> Response:
        """The figures, for Prometheus."""
        content, media_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return router
