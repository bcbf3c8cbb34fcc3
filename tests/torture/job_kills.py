"""Workers, or their database, killed in the middle of edits:
`job_kills.py FOLDER ROUNDS SEED JOBS worker|postgres`.

Prints what became of the jobs, what the ledger holds, and by how many MB a worker has grown after
so many further jobs, as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from job_work import begun, edit_request, perform
from postgres_server import Server
from workspaces import new_workspace

from kn_edit.errors import KnEditError
from kn_edit.jobs.job import Job, JobRequest, JobState
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.worker import Worker
from kn_edit.workspace import Workspace
from kn_edit.workspace.storage import DATABASE_URL

MOST = 1000  # jobs
POSTGRES = "postgres"
SURVIVING = 2.0  # seconds that a worker has after its database was killed


def main(folder: Path, rounds: int, seed: int, further: int, killed: str) -> None:
    """Kill a worker in each round, let a last one run what waits, and report.

    further: jobs that one worker runs afterwards; killed: worker, or postgres
    """
    database = own_postgres() if killed == POSTGRES else None
    torch.set_num_threads(1)  # a fork keeps only the thread that makes it
    draws = random.Random(seed)
    with new_workspace(folder) as workspace, closing(Jobs(workspace)) as jobs:
        workspace.branch("side")
        seconds = warm(workspace, jobs)
        work = workspace.folder
    for number in range(1, rounds + 1):
        names = [f"{number}-{branch}" for branch in ("main", "side")]
        with Workspace.open(work) as workspace, closing(Jobs(workspace)) as jobs:
            for name, branch in zip(names, ("main", "side"), strict=True):
                jobs.submit(edit_request(name, number, branch))
        child = worker(work)
        until_begun(work, names)
        time.sleep(draws.random() * 2 * seconds)
        if database is not None:
            database.kill()
            database.start()
        end(child, SURVIVING if database else 0.0)
    with Workspace.open(work) as workspace, closing(Jobs(workspace)) as jobs:
        jobs.submit(edit_request("dies", rounds + 1, "main", die=True))
    codes = [os.waitpid(worker(work, once=True), 0)[1] for _ in range(2)]
    with Workspace.open(work) as workspace, closing(Jobs(workspace)) as jobs:
        summary = report(workspace, jobs) | {"codes": codes}
        summary["MB"] = growth(workspace, jobs, further)
    sys.stdout.write(json.dumps(summary))


def warm(workspace: Workspace, jobs: Jobs) -> float:
    """Make two edits, so that what is forked has imported everything; seconds of the second."""
    for branch in ("side", "main"):
        jobs.submit(edit_request(f"warm-{branch}", 0, branch))
        began = time.monotonic()
        Worker(workspace, jobs, perform).run(once=True)
    return time.monotonic() - began


def worker(folder: Path, *, once: bool = False) -> int:
    """Fork a worker; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with Workspace.open(folder) as workspace, closing(Jobs(workspace)) as jobs:
                Worker(workspace, jobs, perform).run(once=once)
            code = 0
        except KnEditError:  # its database was killed
            pass
        finally:
            os._exit(code)
    return child


def own_postgres() -> Server:
    """A server that waits for the disk, in which the next workspace is made."""
    server = Server(durable=True)
    server.start()
    server.execute("CREATE SCHEMA jobs")
    os.environ[DATABASE_URL] = server.url("jobs")
    return server


def end(child: int, seconds: float) -> None:
    """Kill a worker, unless it ends by itself within so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def until_begun(folder: Path, names: list[str]) -> None:
    """Wait until one of these jobs has begun."""
    until = time.monotonic() + 60
    while not any(begun(folder)[name] for name in names):
        if time.monotonic() > until:
            raise TimeoutError(f"none of {names} has begun")
        time.sleep(0.01)


def report(workspace: Workspace, jobs: Jobs) -> dict[str, object]:
    """What became of the jobs, beside what the ledger holds."""
    every = jobs.jobs(MOST)
    done = [job for job in every if job.state is JobState.DONE]
    return {
        "jobs": len(every),
        "states": sorted({job.state for job in every}),
        "failures": sorted({str(job.error["error"]) for job in every if job.error}),
        "lost": sum(job.state is JobState.FAILED for job in every),
        "recorded before the kill": sum("worker_lost" in result(job) for job in done),
        "most runs of a job": max(begun(workspace.folder).values()),
        "never begun": sum(not begun(workspace.folder)[str(name_of(job))] for job in every),
        "results are the edits": sorted(str(result(job)["edit"]) for job in done)
        == sorted(edit.id for edit in workspace.ledger.edits()),
        "problems": [str(problem) for problem in workspace.ledger.check()],
    }


def growth(workspace: Workspace, jobs: Jobs, count: int) -> float:
    """By how many MB a worker grows from a quarter of so many jobs to all of them."""
    sizes: list[float] = []

    def measured(*arguments: Any, **named: Any) -> dict[str, Any]:
        outcome = perform(*arguments, **named)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        return outcome

    for number in range(count):
        jobs.submit(JobRequest("assess", {"name": f"further-{number}"}, None))
    Worker(workspace, jobs, measured).run(once=True)
    return sizes[-1] - sizes[count // 4]


def result(job: Job) -> dict[str, object]:
    return dict(job.result or {})


def name_of(job: Job) -> object:
    return job.request.arguments["name"]


if __name__ == "__main__":
    place, rounds, seed, further, killed = sys.argv[1:]
    main(Path(place), int(rounds), int(seed), int(further), killed)
