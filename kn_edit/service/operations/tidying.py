"""The service removes old jobs by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi.concurrency import run_in_threadpool

from kn_edit.errors import KnEditError
from kn_edit.jobs.job import JobQueue
from kn_edit.workspace.settings import ServeSettings

PAUSE = 3600.0  # seconds between two looks

log = logging.getLogger("kn_edit.service")


@asynccontextmanager
async def tidied(queue: JobQueue | None, settings: ServeSettings) -> AsyncIterator[None]:
    """Remove old jobs each hour as long as the block runs."""
    if queue is None:
        yield
        return
    task = asyncio.create_task(prune_jobs(queue, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def prune_jobs(queue: JobQueue, settings: ServeSettings, pause: float = PAUSE) -> None:
    """Remove jobs that ended long ago, now and after each pause, until it is cancelled."""
    while True:
        try:
            count = await run_in_threadpool(
                queue.prune, settings.keep_jobs, settings.keep_jobs_days
            )
        except KnEditError as error:
            log.warning("old jobs could not be removed: %s", error)
        else:
            if count:
                log.info("%d old jobs removed", count)
        await asyncio.sleep(pause)
