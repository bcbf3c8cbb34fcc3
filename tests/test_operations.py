"""What whoever runs the service looks at: probes, figures, the log, and how it stops."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from job_work import wait_request
from prometheus_client.parser import text_string_to_metric_families
from service_process import serving
from workspaces import new_workspace

from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.in_folder import SERVICE_DATABASE, FolderPlace
from kn_edit.jobs.queue import Jobs
from kn_edit.service.access.tables import metadata
from kn_edit.service.access.tokens import PREFIX, Tokens
from kn_edit.service.app import make_app
from kn_edit.service.logs import JsonLines, TextLines
from kn_edit.service.operations.health import FRESH, Readiness
from kn_edit.service.operations.metrics import Metrics
from kn_edit.workspace.folder import DATABASE

REMOTE = "http://127.0.0.1:8018"
LABELS = tuple[str, ...]


@dataclass
class Run:
    """A served workspace with its queue, and no worker."""

    client: TestClient
    folder: Path  # of the ledger
    jobs: Jobs

    def figures(self) -> dict[str, dict[LABELS, float]]:
        """The samples of /metrics by name, and by values of labels in the order of their names."""
        answer = self.client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        samples: dict[str, dict[LABELS, float]] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                labels = tuple(value for _, value in sorted(sample.labels.items()))
                samples.setdefault(sample.name, {})[labels] = sample.value
        return samples


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with new_workspace(tmp_path) as workspace:
        folder, ledger = workspace.folder, workspace.ledger_folder
    queues: list[Jobs] = []

    def jobs(workspace: Any) -> Jobs:
        queues.append(Jobs(workspace))
        return queues[0]

    app = make_app(folder, address="127.0.0.1", jobs=jobs)
    with TestClient(app, base_url=REMOTE) as client:
        yield Run(client, ledger, queues[0])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each probe looks again."""
    monkeypatch.setattr("kn_edit.service.operations.health.FRESH", 0.0)


# --- probes --------------------------------------------------------------------------------------


def test_it_is_ready_while_a_worker_lives(run: Run, impatient: None) -> None:
    refusal = run.client.get("/readyz")
    assert refusal.status_code == 503
    assert refusal.headers["Content-Type"] == "application/problem+json"
    assert refusal.json()["error"] == "NotReady"
    assert "kn-edit worker" in refusal.json()["message"]
    with run.jobs.present():
        assert run.client.get("/readyz").json() == {"status": "ready"}
    assert run.client.get("/readyz").status_code == 503


@pytest.mark.parametrize(("name", "part"), [(DATABASE, "ledger"), (SERVICE_DATABASE, "jobs")])
def test_what_cannot_be_read_is_told_without_where_it_lies(
    run: Run, impatient: None, caplog: pytest.LogCaptureFixture, name: str, part: str
) -> None:
    with run.jobs.present():
        assert run.client.get("/readyz").status_code == 200
        path = run.folder / name
        for ending in ("-wal", "-shm"):
            path.with_name(name + ending).unlink(missing_ok=True)
        path.write_bytes(b"no database" * 1000)
        refusals = [run.client.get("/readyz") for _ in range(3)]
        assert [refusal.status_code for refusal in refusals] == [503] * 3
        document = refusals[0].json()
        assert document["detail"]["part"] == part
        assert document["detail"]["cause"] in document["message"]
        assert str(run.folder) not in refusals[0].text
        assert run.client.get("/healthz").json() == {"status": "ok"}
    told = [record for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(told) == 1 and str(run.folder) in told[0].getMessage()


def test_a_ledger_of_a_later_schema_is_not_served_on(run: Run, impatient: None) -> None:
    with run.jobs.present(), closing(sqlite3.connect(run.folder / DATABASE)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()
        document = run.client.get("/readyz").json()
    assert (document["status"], document["detail"]["cause"]) == (503, "NewerSchema")


def test_who_asks_often_is_told_what_was_seen_a_moment_ago(run: Run) -> None:
    moment = [100.0]
    readiness = Readiness(run.client.app.state.service, lambda: moment[0])
    before = readiness.problems()
    with run.jobs.present():
        assert readiness.problems() is before
        moment[0] += FRESH
        assert readiness.problems()["workers"] is None


def test_programs_without_a_token_may_ask_the_probes_and_nothing_else(run: Run) -> None:
    with closing(ServiceDatabase(FolderPlace(run.folder), metadata)) as database:
        secret = Tokens(database).create("prometheus", "reader", seconds=None)
    assert run.client.get("/healthz").status_code == 200
    assert run.client.get("/readyz").status_code == 503
    assert run.client.get("/metrics").status_code == 401
    bearer = {"Authorization": f"Bearer {secret}"}
    assert run.client.get("/metrics", headers=bearer).status_code == 200


# --- figures -------------------------------------------------------------------------------------


def test_requests_are_counted_by_route_and_status(run: Run) -> None:
    run.client.get("/api/v1/status")
    run.client.get("/api/v1/jobs/abc?secret=1")
    run.client.get("/api/v1/edits/00000000")
    run.client.get("/static/style.css")
    run.client.get("/.env")
    run.client.request("PROPFIND", "/")
    figures = run.figures()
    requests = figures["kn_edit_requests_total"]
    assert requests == {
        ("GET", "/api/v1/status", "200"): 1,
        ("GET", "/api/v1/jobs/{id}", "404"): 1,
        ("GET", "/api/v1/edits/{id}", "404"): 1,
        ("GET", "/static", "200"): 1,
        ("GET", "other", "404"): 1,
        ("other", "/", "405"): 1,
    }
    counts = figures["kn_edit_request_seconds_count"]
    assert counts[("GET", "/api/v1/status")] == 1
    buckets = figures["kn_edit_request_seconds_bucket"]
    assert buckets[("+Inf", "GET", "/api/v1/status")] == 1
    assert figures["kn_edit_open_requests"][()] == 1  # the one that asks


def test_jobs_are_told_by_verb_and_state(run: Run) -> None:
    for name in ("a", "b"):
        run.jobs.submit(wait_request(name))
    cancelled = run.jobs.submit(wait_request("c", branch="main"))
    run.jobs.cancel(cancelled.id)
    with run.jobs.present():
        figures = run.figures()
        assert figures["kn_edit_workers"] == {(): 1}
        memory = figures["kn_edit_worker_resident_memory_bytes"][()]
        assert 10e6 < memory < 100e9  # of this process
    assert figures["kn_edit_jobs"] == {("queued", "wait"): 2, ("cancelled", "wait"): 1}
    assert figures["kn_edit_queue_length"] == {(): 2}
    assert figures["process_resident_memory_bytes"][()] > 10e6
    assert figures["kn_edit_ready"] == {("ledger",): 1, ("jobs",): 1, ("workers",): 1}


def test_tokens_are_counted_as_they_are_said(run: Run) -> None:
    assert run.figures()["kn_edit_tokens_generated_total"] == {(): 0}
    question = {"prompt": "The capital of France is", "max_tokens": 5}
    answer = run.client.post("/api/v1/ask", json=question)
    assert answer.status_code == 200, answer.text
    said = len(answer.json()["tokens"])
    assert 1 <= said <= 5
    assert run.figures()["kn_edit_tokens_generated_total"][()] == pytest.approx(said, abs=1)


def test_figures_come_where_jobs_cannot_be_read(run: Run) -> None:
    service = run.client.app.state.service
    metrics = Metrics(service, Readiness(service))
    (run.folder / SERVICE_DATABASE).write_bytes(b"no database" * 1000)
    text = metrics.exposition("")[0].decode()
    assert 'kn_edit_ready{part="jobs"} 0.0' in text
    assert 'kn_edit_ready{part="ledger"} 1.0' in text
    assert "kn_edit_queue_length" not in text


# --- the log of requests -------------------------------------------------------------------------


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged of requests, probes among them."""
    with caplog.at_level(logging.DEBUG, logger="kn_edit.service.requests"):
        yield caplog


def requests_in(lines: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [record for record in lines.records if record.name == "kn_edit.service.requests"]
    return [json.loads(JsonLines().format(record)) for record in records]


def test_a_line_says_who_asked_for_what_and_how_it_went(
    run: Run, lines: pytest.LogCaptureFixture
) -> None:
    with closing(ServiceDatabase(FolderPlace(run.folder), metadata)) as database:
        secret = Tokens(database).create("ana", "reader", seconds=None)
    headers = {"Authorization": f"Bearer {secret}", "X-Request-ID": "of-a-proxy.1"}
    answer = run.client.get("/api/v1/jobs/0123?token=hf_abcdefghijklmnop", headers=headers)
    assert answer.headers["X-Request-ID"] == "of-a-proxy.1"
    (line,) = requests_in(lines)
    assert line.pop("ms") >= 0
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "kn_edit.service.requests",
        "message": line["message"],
        "request": "of-a-proxy.1",
        "client": "testclient",
        "caller": "ana",
        "method": "GET",
        "path": "/api/v1/jobs/0123",
        "route": "/api/v1/jobs/{id}",
        "status": 404,
    }
    text = TextLines().format(lines.records[-1])
    assert "testclient ana GET /api/v1/jobs/0123 404" in text and text.endswith("of-a-proxy.1")
    assert secret not in text and "hf_" not in text


def test_an_id_that_could_steer_a_log_is_replaced(
    run: Run, lines: pytest.LogCaptureFixture
) -> None:
    for id in ("a b", "x" * 65, 'a"b', ""):
        answer = run.client.get("/api/v1/status", headers={"X-Request-ID": id})
        assert answer.headers["X-Request-ID"] != id
        assert re.fullmatch(r"[0-9a-f]{16}", requests_in(lines)[-1]["request"])


def test_a_path_that_steers_a_terminal_or_holds_a_token_is_made_safe(
    run: Run, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-own-token")
    ours = PREFIX + "b-3_" * 10
    run.client.get(f"/%1b[2J/hf_abcdefghijklmnopqrst/very-own-token/{ours}")
    (line,) = requests_in(lines)
    text = TextLines().format(lines.records[-1])
    assert text.isprintable()
    assert "hf_abcdef" not in text + json.dumps(line)
    assert "very-own" not in text + json.dumps(line)
    assert "b-3_b" not in text + json.dumps(line)


def test_refusals_and_failures_are_lines_too_and_probes_are_quiet(
    run: Run, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.client.get("/api/v1/status", headers={"Host": "elsewhere.example"})
    run.client.get("/healthz")
    run.client.get("/readyz")
    service = run.client.app.state.service
    monkeypatch.setattr(type(service.workspace), "current_branch", property(lambda self: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run.client.post("/api/v1/update", json={}, headers={"If-Match": "*"})
    told = [(line["path"], line["status"], line["level"]) for line in requests_in(lines)]
    assert told == [
        ("/api/v1/status", 421, "info"),
        ("/healthz", 200, "debug"),
        ("/readyz", 503, "info"),
        ("/api/v1/update", 500, "info"),
    ]


# --- how it stops --------------------------------------------------------------------------------

LOCATE = {  # it lasts as long as a new worker takes to load the model
    "prompts": ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"],
    "subject": "France",
    "answer": "Paris",
    "rule": "activation",
}


@dataclass
class Stopped:
    """What callers were answered while a service stopped: whose job ran, and whose waited."""

    running: httpx.Response
    waiting: httpx.Response
    code: int


def stopped(tmp_path: Path, grace: int) -> Stopped:
    """Stop a service while one job runs and one waits for it, and two callers wait for these."""
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with (
        serving(folder, "--grace", str(grace)) as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=120) as client,
        ThreadPoolExecutor() as callers,
    ):

        def locate() -> httpx.Response:
            return client.post("/locate", json=LOCATE, headers={"Prefer": "wait=60"})

        def states() -> list[str]:
            return [job["state"] for job in client.get("/jobs").json()["items"]]

        def until(wanted: list[str]) -> None:
            end = time.monotonic() + 60
            while states() != wanted:
                assert time.monotonic() < end, (states(), server.log.read_text())
                time.sleep(0.01)

        running = callers.submit(locate)
        until(["running"])
        waiting = callers.submit(locate)
        until(["queued", "running"])
        server.process.terminate()
        code = server.process.wait(grace + 60)
        answers = Stopped(running.result(), waiting.result(), code)
    assert "Traceback" not in server.log.read_text()
    return answers


def test_what_runs_is_finished_and_answered_and_what_waits_stays_in_the_queue(
    tmp_path: Path,
) -> None:
    answers = stopped(tmp_path, grace=100)
    assert (answers.running.status_code, answers.code) == (200, 0)
    assert answers.running.json()["neurons"]
    assert answers.waiting.status_code == 202
    assert answers.waiting.json()["state"] == "queued"


def test_what_does_not_finish_in_the_time_of_grace_is_cancelled_and_told(tmp_path: Path) -> None:
    answers = stopped(tmp_path, grace=0)
    told = {"Cancelled": 409, "ServiceStopping": 503}  # the latter where the worker is too slow
    assert told[answers.running.json()["error"]] == answers.running.status_code
    assert answers.code == 0
    assert answers.waiting.status_code == 202
