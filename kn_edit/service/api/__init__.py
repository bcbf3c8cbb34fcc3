"""The routes of /api/v1, by subject. The JSON is that of `--json`."""

from __future__ import annotations

from fastapi import APIRouter

from kn_edit.service.api import answers, history

router = APIRouter(prefix="/api/v1")
router.include_router(history.router)
router.include_router(answers.router)
