"""Workers and servers that are killed in the middle of jobs: no job is lost, none runs twice."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from job_work import begun, wait_request
from ledgers import DATABASES, SQLITE
from workspaces import new_workspace

from kn_edit.jobs.job import JobState
from kn_edit.jobs.queue import Jobs
from kn_edit.workspace import Workspace

TESTS = Path(__file__).parent
FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
ROUNDS, FURTHER = (20, 200) if FULL else (3, 20)
MOST_GROWTH = 8.0  # MB
PATIENCE = 60.0  # seconds
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS)))}


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database", DATABASES, indirect=True)
def test_edits_of_workers_that_are_killed_are_whole_or_not_there_and_memory_stays_flat(
    tmp_path, database, record_property
):
    """In PostgreSQL it is the server that is killed, and started again."""
    record_property("kills", ROUNDS)
    killed = "worker" if database == SQLITE else "postgres"
    script = TESTS / "torture" / "job_kills.py"
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(ROUNDS), "0", str(FURTHER), killed],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report = json.loads(ran.stdout)
    lost, recorded = report.pop("lost"), report.pop("recorded before the kill")
    assert report.pop("MB") < MOST_GROWTH
    assert 1 <= recorded <= ROUNDS + 1  # among them the one that killed itself
    assert (database == SQLITE) <= lost <= 2 * ROUNDS
    failures = {*report.pop("failures")}
    assert failures <= {"WorkerLost"} | ({"DatabaseUnreachable"} if database != SQLITE else set())
    assert len(failures) >= (database == SQLITE)
    assert report == {
        "jobs": 2 + 2 * ROUNDS + 1,
        "states": ["done", "failed"],
        "most runs of a job": 1,
        "never begun": 0,
        "results are the edits": True,
        "problems": [],
        "codes": [signal.SIGKILL, 0],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a workspace."""
    with new_workspace(tmp_path) as workspace:
        return workspace.folder


@contextmanager
def server(folder: Path, workers: int) -> Iterator[subprocess.Popen[str]]:
    """A process that has workers as children."""
    script = TESTS / "torture" / "job_server.py"
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder), str(workers)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def worker_ids(process: subprocess.Popen[str]) -> list[int]:
    """The next process ids of workers that a server tells."""
    return [int(word) for word in process.stdout.readline().split()]


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def is_gone(process_id: int) -> bool:
    """Whether a process has ended, though nobody may have waited for it yet."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.timeout(1800)
def test_workers_end_with_a_server_that_is_killed_and_the_next_one_runs_what_waits(folder):
    draws = random.Random(0)
    names = [f"{number}{letter}" for number in range(ROUNDS) for letter in "ab"]
    with Workspace.open(folder) as workspace, closing(Jobs(workspace)) as jobs:
        for first, second in zip(names[::2], names[1::2], strict=True):
            running = jobs.submit(wait_request(first, 30, "main"))
            waiting = jobs.submit(wait_request(second, 0, "main"))
            kill_a_server(folder, first, draws.random() * 0.3)
            assert jobs.get(running.id).state is JobState.CANCELLED
            assert jobs.get(waiting.id).state is JobState.QUEUED
            with server(folder, 1):
                assert jobs.wait(waiting.id, PATIENCE).state is JobState.DONE
        assert begun(folder) == dict.fromkeys(names, 1)
        assert jobs.restore() == []


def kill_a_server(folder: Path, name: str, seconds: float) -> None:
    """Kill a server so many seconds after a job has begun, and see its worker end."""
    with server(folder, 1) as process:
        (worker,) = worker_ids(process)
        until("the job has begun", lambda: begun(folder)[name])
        time.sleep(seconds)
        process.kill()
        until("the worker has ended", lambda: is_gone(worker))


def test_a_worker_that_is_killed_is_started_again_and_its_job_is_not(folder):
    with Workspace.open(folder) as workspace, closing(Jobs(workspace)) as jobs:
        lost = jobs.submit(wait_request("a", 30, "main"))
        waiting = jobs.submit(wait_request("b", 0, "main"))
        with server(folder, 1) as process:
            (first,) = worker_ids(process)
            until("the job has begun", lambda: begun(folder)["a"])
            os.kill(first, signal.SIGKILL)
            assert jobs.wait(waiting.id, PATIENCE).state is JobState.DONE
            assert worker_ids(process) == []
            (second,) = worker_ids(process)
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
            assert is_gone(first)
            assert is_gone(second)
        assert jobs.get(lost.id).error["error"] == "WorkerLost"
        assert begun(folder) == {"a": 1, "b": 1}


UPDATE = {
    "prompts": ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"],
    "subject": "France",
    "answer": "Paris",
    "to": "Rome",
    "rule": "activation",
    "method": "closed-form",
    "neurons": "L0.3",
    "accept": True,
}


def test_a_served_workspace_runs_its_jobs_and_ends_its_worker(folder, tmp_path):
    command = [sys.executable, "-m", "kn_edit.cli", "serve", "--port", "0"]
    log = tmp_path / "log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            [*command, "--workspace", str(folder)], env=ENVIRONMENT, stderr=stream
        ) as process,
    ):
        try:
            until("the server tells its address", lambda: ADDRESS.search(log.read_text()))
            with httpx.Client(base_url=ADDRESS.search(log.read_text())[0]) as client:
                head = client.get("/api/v1/status").json()["head"]
                headers = {"If-Match": f'"{head}"', "Prefer": f"wait={PATIENCE:.0f}"}
                answer = client.post(
                    "/api/v1/update", json=UPDATE, headers=headers, timeout=2 * PATIENCE
                )
                assert answer.status_code == 200, answer.text
                job = client.get(answer.headers["location"]).json()
                head = client.get("/api/v1/status").json()["head"]
            (worker,) = (file.name for file in (folder / ".kn-edit" / "workers").iterdir())
        finally:
            process.terminate()
            process.wait(PATIENCE)
    assert (job["state"], job["result"]) == ("done", answer.json())
    assert answer.json()["version"] == head
    assert is_gone(int(worker.split("-")[0]))
    assert list((folder / ".kn-edit" / "workers").iterdir()) == []
