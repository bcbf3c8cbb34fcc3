"""A backup of a ledger whose service goes on writing is whole, and restores to a sound ledger."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_process import COMMAND, serving
from workspaces import CAPITALS, TEMPLATES, new_workspace

from kn_edit.workspace import Workspace

EDITS, TAGS = 8, 42  # 50 writes


def update(number: int) -> dict[str, Any]:
    """An update that differs from all others."""
    subjects, answers = [*CAPITALS], [*CAPITALS.values()]
    place, turn = number % len(subjects), number // len(subjects)
    return {
        "prompts": [template.text for template in TEMPLATES[:2]],
        "subject": subjects[place],
        "answer": answers[place],
        "to": answers[(place + 1 + turn) % len(answers)],
        "rule": "activation",
        "method": "closed-form",
        "neurons": f"L0.{number}",
        "accept": True,
    }


@pytest.mark.timeout(900)
def test_backups_during_fifty_writes_hold_what_was_recorded_before_them(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with (
        serving(folder) as server,
        httpx.Client(base_url=f"{server.url}/api/v1", timeout=60) as client,
    ):

        def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            answer = client.post(path, json=body, headers={"If-Match": "*"})
            assert answer.status_code in (200, 201, 202), answer.text
            document: dict[str, Any] = answer.json()
            return document

        def edits() -> list[str]:
            """The edits of jobs that are done, oldest first."""
            jobs = client.get("/jobs", params={"limit": 100}).json()["items"]
            assert all(job["error"] is None for job in jobs), jobs
            return [job["result"]["edit"] for job in reversed(jobs) if job["state"] == "done"]

        for number in range(EDITS):
            post("/update", update(number))
        until = time.monotonic() + 120
        while not edits():
            assert time.monotonic() < until, server.log.read_text()
            time.sleep(0.05)
        before: list[list[str]] = []
        tags = 0
        while tags < TAGS or (len(edits()) < EDITS and len(before) < 3):
            before.append(edits())
            file = tmp_path / f"{len(before)}.tar"
            command = [*COMMAND, "backup", str(file), "--workspace", str(folder)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as backup:
                while backup.poll() is None:
                    if tags < TAGS:
                        post("/tags", {"name": f"t{tags}", "version": "head"})
                        tags += 1
                    time.sleep(0.02)
            assert backup.returncode == 0
        while len(edits()) < EDITS:
            time.sleep(0.05)
        recorded = edits()
    assert any(len(edits) < EDITS for edits in before)  # some were written meanwhile
    for number, acknowledged in enumerate(before, start=1):
        Workspace.restore(tmp_path / f"{number}.tar", tmp_path / f"restored-{number}")
        with Workspace.open(tmp_path / f"restored-{number}") as restored:
            assert restored.verify() == []
            held = [edit.id for edit in restored.ledger.edits()]
            assert held == recorded[: len(held)]
            assert len(held) >= len(acknowledged)
