"""Routes on jobs: list them, follow one, cancel one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from kn_edit.canonical import finite
from kn_edit.jobs.job import Job, JobState
from kn_edit.service import models
from kn_edit.service.access import Caller, Role, require
from kn_edit.service.api.reading import USUAL, Before, Limit, Reader, gives
from kn_edit.service.arguments import Name
from kn_edit.service.event_stream import MEDIA_TYPE, event, streaming
from kn_edit.service.problems import Declared, declared, problem_of_job
from kn_edit.service.replies import Json, page
from kn_edit.service.service import Service, TheService

router = APIRouter(tags=["jobs"])
Editor = Annotated[Caller, require(Role.EDITOR)]

EVENTS: Declared = {
    200: {
        "description": "Events `state`, `progress`, `log` (a line each), and last `end` (the job).",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}
PAUSE = 0.2  # seconds between two looks at a job
QUIET = 15.0  # seconds without an event, until a comment keeps the connection open


@router.get(
    "/jobs", response_model=None, responses=gives(models.Page[models.Job], 404, 503, changes=False)
)
def list_jobs(
    service: TheService, caller: Reader, limit: Limit = USUAL, before: Before = None
) -> Response:
    """The jobs, newest first."""
    jobs = service.queue.jobs(limit + 1, before=before)
    return Json(page(jobs, limit, cursor=lambda job: job.id, plain=job_json))


@router.get("/jobs/{id}", response_model=None, responses=gives(models.Job, 404, 503, changes=False))
def show_job(service: TheService, caller: Reader, id: Name) -> Response:
    """A job as it stands now."""
    return Json(job_json(service.queue.get(id)))


@router.delete(
    "/jobs/{id}", response_model=None, responses=gives(models.Job, 404, 409, 503, changes=False)
)
def cancel_job(service: TheService, caller: Editor, id: Name) -> Response:
    """Take a queued job out, or ask a running one to stop."""
    return Json(job_json(service.queue.cancel(id)))


@router.get(
    "/jobs/{id}/events",
    response_model=None,
    responses=EVENTS | declared(404, 503),
)
async def follow_job(request: Request, service: TheService, caller: Reader, id: Name) -> Response:
    """A job as it goes on, as server-sent events, until it has ended."""
    await run_in_threadpool(service.queue.get, id)  # raises UnknownJob before the stream begins
    return streaming(job_events(service, id, _lines_seen(request)))


def job_json(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    progress = job.progress
    return {
        "id": job.id,
        "verb": job.request.verb,
        "arguments": dict(job.request.arguments),
        "branch": job.request.branch,
        "by": job.request.by,
        "state": str(job.state),
        "created": job.created,
        "started": job.started,
        "ended": job.ended,
        "progress": None
        if progress is None
        else {"task": progress.task, "done": progress.done, "total": progress.total},
        "log": list(job.log),
        "cancelling": job.cancelling,
        "result": None if job.result is None else dict(job.result),
        "error": None if job.error is None else problem_of_job(job.error),
    }


async def ended_job(service: Service, id: str, seconds: float) -> Job:
    """A job once it has ended, or as it stands after so many seconds. No thread waits with it.

    Where the service stops, nobody waits for a job that has not begun.
    """
    clock = asyncio.get_running_loop().time
    until, pause = clock() + seconds, PAUSE / 10
    job = await run_in_threadpool(service.queue.get, id)
    while not _stands(service, job) and (seconds_left := until - clock()) > 0:
        await asyncio.sleep(min(pause, seconds_left))
        pause = min(2 * pause, PAUSE)
        job = await run_in_threadpool(service.queue.get, id)
    return job


async def job_events(service: Service, id: str, lines: int = 0) -> AsyncGenerator[str, None]:
    """The events of a job until it has ended. lines: of its log that the caller has already"""
    last: tuple[Any, Any] = (None, None)
    quiet = 0.0
    while True:
        job = await run_in_threadpool(service.queue.get, id)
        plain = job_json(job)
        events = [
            f"id: {number}\n{event({'line': line}, 'log')}"
            for number, line in enumerate(job.log[lines:], start=lines + 1)
        ]
        lines = max(lines, len(job.log))
        now = (plain["state"], plain["progress"])
        if now[0] != last[0]:
            events.append(event(finite({"state": now[0]}), "state"))
        if now[1] is not None and now[1] != last[1]:
            events.append(event(finite(now[1]), "progress"))
        last = now
        if job.state.final:
            events.append(event(finite(plain), "end"))
        quiet = 0.0 if events else quiet + PAUSE
        if quiet >= QUIET:
            quiet, events = 0.0, [": still at work\n\n"]
        for text in events:
            yield text
        if _stands(service, job):
            return
        await asyncio.sleep(PAUSE)


def _stands(service: Service, job: Job) -> bool:
    """Whether nothing comes of a job any more as long as this service runs."""
    return job.state.final or (service.stopping.is_set() and job.state is JobState.QUEUED)


def _lines_seen(request: Request) -> int:
    """How many lines of the log a caller has, who connects again."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
