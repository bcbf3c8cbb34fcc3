"""The route that shows who changed what, and who was refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Response

from kn_edit.service import models
from kn_edit.service.access import Caller, Role, require
from kn_edit.service.access.audit import AuditRow
from kn_edit.service.api.reading import USUAL, Limit, NumberBefore, gives
from kn_edit.service.replies import Json, page
from kn_edit.service.service import TheService

router = APIRouter(tags=["access"])
Publisher = Annotated[Caller, require(Role.PUBLISHER)]


@router.get(
    "/audit",
    response_model=None,
    responses=gives(models.Page[models.AuditRow], changes=False),
)
def list_audit(
    service: TheService, caller: Publisher, limit: Limit = USUAL, before: NumberBefore = None
) -> Response:
    """Requests that changed something or were refused, newest first."""
    rows = service.access.audit.rows(limit + 1, before=before)
    return Json(page(rows, limit, cursor=lambda row: row[0], plain=_plain))


def _plain(row: tuple[int, AuditRow]) -> dict[str, Any]:
    return {"number": row[0]} | asdict(row[1])
