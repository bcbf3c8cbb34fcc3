"""Where the ledger lies in PostgreSQL, several servers and workers are one service."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from job_work import begun, perform, wait_request
from ledgers import database_url, only_postgres
from tiny_models import tiny_folder

from kn_edit.jobs.job import JobState
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.worker import Worker
from kn_edit.service.access.tokens import tokens_in
from kn_edit.service.app import make_app
from kn_edit.workspace import Workspace

pytestmark = only_postgres


@pytest.fixture
def folders(tmp_path: Path, database: str) -> dict[str, Path]:
    """Two workspaces in one database, and a copy of the folder of the first, as elsewhere."""
    model = str(tiny_folder("llama", tmp_path / "model"))
    url = database_url(tmp_path / "shared")
    for name in ("one", "two"):
        Workspace.init(model, tmp_path / name, database=url, name=name).close()
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    return {name: tmp_path / name for name in ("one", "two", "copy")}


def test_a_worker_runs_what_was_submitted_elsewhere(folders):
    with ExitStack() as stack:
        workspaces = {name: stack.enter_context(Workspace.open(f)) for name, f in folders.items()}
        queues = {n: stack.enter_context(closing(Jobs(w))) for n, w in workspaces.items()}
        job = queues["one"].submit(wait_request("a", branch="main"))
        other = queues["two"].submit(wait_request("b", branch="main"))
        assert Worker(workspaces["copy"], queues["copy"], perform).run(once=True) == 1
        assert queues["one"].get(job.id).state is JobState.DONE
        assert queues["two"].get(other.id).state is JobState.QUEUED
        assert [each.id for each in queues["two"].jobs()] == [other.id]
    assert begun(folders["copy"]) == {"a": 1}
    assert not any((folder / ".kn-edit" / "service.db").exists() for folder in folders.values())


def test_tokens_keys_and_the_audit_are_those_of_the_workspace_and_of_no_other(folders):
    secrets = {}
    for name in ("one", "two"):
        with tokens_in(folders[name]) as tokens:
            secrets[name] = tokens.create("ann", "publisher", seconds=None)
    headers = {"Authorization": f"Bearer {secrets['one']}"}
    tag = {"json": {"name": "v1", "version": "base"}}
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(TestClient(make_app(folder)))
            for name, folder in folders.items()
        }
        answers = {n: c.get("/api/v1/status", headers=headers) for n, c in clients.items()}
        assert {n: a.status_code for n, a in answers.items()} == {
            "one": 200,
            "two": 401,
            "copy": 200,
        }
        keyed = headers | {"Idempotency-Key": "k", "If-Match": "*"}
        first, again = (
            clients[n].post("/api/v1/tags", headers=keyed, **tag) for n in ("one", "copy")
        )
        assert (first.status_code, first.json()) == (again.status_code, again.json())
        assert first.status_code == 201
        audit = clients["copy"].get("/api/v1/audit", headers=headers).json()["items"]
        assert [row["path"] for row in audit].count("/api/v1/tags") == 2
        assert "/api/v1/status" not in [row["path"] for row in audit]
        with tokens_in(folders["one"]) as tokens:
            tokens.revoke("ann")
        assert clients["copy"].get("/api/v1/status", headers=headers).status_code == 401
        two = {"Authorization": f"Bearer {secrets['two']}"}
        assert clients["two"].get("/api/v1/status", headers=two).status_code == 200
