"""A queue of jobs for tests: one thread of this process runs them, and nothing outlives it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from kn_edit.errors import Cancelled, JobEnded, KnEditError, UnknownJob
from kn_edit.errors.remedies import PLAIN
from kn_edit.jobs.job import Job, JobProgress, JobRequest, JobState
from kn_edit.service.work import perform
from kn_edit.workspace import Workspace


def now() -> str:
    return datetime.now(UTC).isoformat()


class ThreadQueue:
    """Jobs of the workspace in a folder. before: called before each runs"""

    def __init__(self, folder: Path, before: Callable[[JobRequest], None] | None = None) -> None:
        self._folder, self._before = folder, before
        self._jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._workspace: Workspace | None = None

    def submit(self, request: JobRequest) -> Job:
        with self._lock:
            if request.key in self._keys:
                return self._jobs[self._keys[request.key]]
            job = Job(uuid.uuid4().hex, request, JobState.QUEUED, now())
            self._jobs[job.id] = job
            if request.key is not None:
                self._keys[request.key] = job.id
        self._worker.submit(self._run, job.id)
        return job

    def get(self, id: str) -> Job:
        with self._lock:
            if id not in self._jobs:
                raise UnknownJob(id)
            return self._jobs[id]

    def wait(self, id: str, seconds: float) -> Job:
        until = time.monotonic() + seconds
        while not (job := self.get(id)).state.final and time.monotonic() < until:
            time.sleep(0.01)
        return job

    def jobs(self, most: int = 50, *, before: str | None = None) -> list[Job]:
        with self._lock:
            ids = [*self._jobs][::-1]
            if before is not None:
                if before not in ids:
                    raise UnknownJob(before)
                ids = ids[ids.index(before) + 1 :]
            return [self._jobs[id] for id in ids[:most]]

    def counts(self) -> Counter[tuple[str, JobState]]:
        with self._lock:
            return Counter((job.request.verb, job.state) for job in self._jobs.values())

    def living_workers(self) -> list[int]:
        return [os.getpid()]

    def prune(self, most: int, days: float) -> int:
        return 0

    def cancel(self, id: str) -> Job:
        job = self.get(id)
        if job.state.final:
            raise JobEnded(id, job.state)
        if job.state is JobState.QUEUED:
            return self._change(id, state=JobState.CANCELLED, ended=now())
        return self._change(id, cancelling=True)

    def close(self) -> None:
        self._worker.submit(self._close)
        self._worker.shutdown(cancel_futures=False)

    def _close(self) -> None:
        if self._workspace is not None:
            self._workspace.close()

    def _change(self, id: str, **fields: object) -> Job:
        with self._lock:
            self._jobs[id] = replace(self._jobs[id], **fields)  # type: ignore[arg-type]
            return self._jobs[id]

    def _run(self, id: str) -> None:
        if self.get(id).state.final:
            return
        request = self._change(id, state=JobState.RUNNING, started=now()).request
        try:
            if self._before is not None:
                self._before(request)
            result = self._performed(id, request)
            self._change(id, state=JobState.DONE, result=result, ended=now())
        except Cancelled:
            self._change(id, state=JobState.CANCELLED, ended=now())
        except KnEditError as error:
            document = error.document(PLAIN)
            self._change(id, state=JobState.FAILED, error=document, ended=now())

    def _performed(self, id: str, request: JobRequest) -> dict[str, object]:
        def progress(task: str, done: int, total: int) -> None:
            log = self.get(id).log
            if not log or log[-1] != task:
                log = (*log, task)
            self._change(id, progress=JobProgress(task, done, total), log=log)

        if self._workspace is None:
            self._workspace = Workspace.open(self._folder)
        with self._workspace.call(progress=progress, cancelled=lambda: self.get(id).cancelling):
            return perform(
                self._workspace,
                request.verb,
                request.arguments,
                branch=request.branch,
                expected_head=request.expected_head,
            )
