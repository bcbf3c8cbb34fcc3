"""Who asked for the moves that came through the service: told where the history is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from workspaces import about, new_workspace, quick

from kn_edit.cli.commands import kn_edit as program
from kn_edit.jobs.callers import callers_of, metadata
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.in_folder import SERVICE_DATABASE
from kn_edit.jobs.job import Job, JobRequest, JobState
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.worker import Worker
from kn_edit.service.access.audit import Audit, AuditRow
from kn_edit.service.app import make_app
from kn_edit.service.work import perform
from kn_edit.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with a local edit, on `main`."""
    with new_workspace(tmp_path) as workspace:
        how = quick((0, 3), closed_form=True)
        workspace.update(about("France"), "Rome", how=how, accept=True)
        yield workspace


def asked(workspace: Workspace, verb: str, by: str, address: str, **arguments: Any) -> Job:
    """A job that somebody asked the service for, once it has ended."""
    with closing(Jobs(workspace)) as jobs:
        job = jobs.submit(JobRequest(verb, arguments, branch="main", by=by))
        audited(workspace, job, by, address)
        Worker(workspace, jobs, perform).run(once=True)
        return jobs.get(job.id)


def audited(workspace: Workspace, job: Job, by: str, address: str) -> None:
    """The row of the audit that the request of a job has."""
    with closing(ServiceDatabase.of(workspace.folder, metadata)) as database:
        row = AuditRow(
            moment="2026-01-01T00:00:00+00:00",
            caller=by,
            role="editor",
            address=address,
            method="POST",
            path="/api/v1/revert",
            branch=None,
            status=202,
            refused=None,
            job=job.id,
        )
        Audit(database).note(row)


def written(workspace: Workspace, *statements: str) -> None:
    """Change the service's database."""
    path = workspace.ledger_folder / SERVICE_DATABASE
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def output(workspace: Workspace, *arguments: str) -> str:
    command = ["log", "--workspace", str(workspace.folder), *arguments]
    ran = CliRunner().invoke(program, command, env={"COLUMNS": "160"})
    assert ran.exit_code == 0, ran.output
    return ran.output


def test_a_log_tells_who_asked_and_from_where_and_nothing_more_of_local_moves(
    workspace: Workspace,
) -> None:
    before = output(workspace), output(workspace, "--json"), output(workspace, "--all")
    (edit,) = workspace.head.edits
    assert asked(workspace, "revert", "ana", "10.0.0.7", edit=edit).state is JobState.DONE
    back = workspace.ledger.log(2)[1].version
    assert asked(workspace, "rewind", "ben", "10.0.0.8", version=back).state is JobState.DONE

    moves = json.loads(output(workspace, "--json"))
    assert [(move.get("by"), move.get("address")) for move in moves[:2]] == [
        ("ben", "10.0.0.8"),
        ("ana", "10.0.0.7"),
    ]
    local = json.loads(before[1])
    assert [move | {"refs": []} for move in moves[2:]] == [move | {"refs": []} for move in local]
    text = " ".join(output(workspace).split())  # a long message is wrapped
    assert "by ana from 10.0.0.7" in text and "by ben from 10.0.0.8" in text
    assert text.count("from 10.0.0.") == 2
    assert "by ben from 10.0.0.8" in output(workspace, "--all")
    assert "by ben" not in before[0] + before[2]


def test_the_api_and_the_page_of_the_history_tell_it_too(workspace: Workspace) -> None:
    asked(workspace, "revert", "ana", "10.0.0.7", edit=workspace.head.edits[0])
    with TestClient(make_app(workspace.folder)) as client:
        for path in ("log", "graph"):
            newest, *older = client.get(f"/api/v1/{path}").json()["items"]
            assert (newest["by"], newest["address"]) == ("ana", "10.0.0.7")
            assert all("by" not in move for move in older)
        page = client.get("/").text
    assert page.count("by ana from 10.0.0.7") == 1


def test_who_asked_outlives_the_job(workspace: Workspace) -> None:
    asked(workspace, "revert", "ana", "10.0.0.7", edit=workspace.head.edits[0])
    written(workspace, "DELETE FROM job_log", "DELETE FROM jobs")
    (caller,) = callers_of(workspace.folder, workspace.log()).values()
    assert str(caller) == "by ana from 10.0.0.7"


def test_a_move_of_a_worker_that_died_has_its_caller(workspace: Workspace) -> None:
    (edit,) = workspace.head.edits
    with closing(Jobs(workspace)) as jobs:
        job = jobs.submit(JobRequest("revert", {"edit": edit}, branch="main", by="ana"))
        assert jobs.take("1-dead") is not None
        move = {"branch": "main", "version": workspace.ledger.log(2)[1].version, "edit": None}
        jobs.note_move(job.id, "1-dead", move)
        workspace.revert(edit)
        assert jobs.settle() == [job.id]
        assert jobs.get(job.id).state is JobState.DONE
    (caller,) = callers_of(workspace.folder, workspace.log()).values()
    assert (caller.by, caller.address) == ("ana", None)


def test_what_is_known_of_another_ledger_is_not_told_of_this_one(workspace: Workspace) -> None:
    asked(workspace, "revert", "ana", "10.0.0.7", edit=workspace.head.edits[0])
    written(workspace, "UPDATE callers SET version = 'another'")
    assert callers_of(workspace.folder, workspace.log()) == {}
    (workspace.ledger_folder / SERVICE_DATABASE).write_bytes(b"no database")
    assert callers_of(workspace.folder, workspace.log()) == {}
