"""The routes of /api/v1, by subject. The JSON is that of `--json`."""

from __future__ import annotations

from fastapi import APIRouter

from kn_edit.service.api import answers, audit, branches, facts, history, jobs, verbs

router = APIRouter(prefix="/api/v1")
for part in (history, facts, branches, jobs, verbs, answers, audit):
    router.include_router(part.router)
