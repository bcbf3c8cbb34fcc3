"""Routes that look at the history."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter

from kn_edit.service.access import Caller, Role, require
from kn_edit.service.service import TheService
from kn_edit.workspace import to_json

router = APIRouter(tags=["history"])
Reader = Annotated[Caller, require(Role.READER)]


@router.get("/status")
def status(service: TheService, caller: Reader) -> dict[str, Any]:
    """The model, where the head is, which edits it holds."""
    return to_json.status(service.workspace)
