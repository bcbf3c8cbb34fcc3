"""Publishing by a page: the form, a worker of a real service, and a Hub on the loopback."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub import Hub, hub_env
from service_process import serving
from workspaces import about, new_workspace, quick

from kn_edit.client import RemoteWorkspace
from kn_edit.workspace import Workspace

REPO = "ann/model"
SECONDS = 240  # of a job on a busy machine


def test_a_version_is_published_and_rolled_back_and_taken_in_by_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_workspace(tmp_path) as workspace:
        first = workspace.head.id
        how = quick((0, 3), closed_form=True)
        edited = workspace.update(about("France"), "Rome", how=how, accept=True)
    (workspace.folder / "kn-edit.toml").write_text(f'[serve]\npush = ["{REPO}"]\n')
    with Hub() as hub:
        home = tmp_path / "home"
        for name, value in hub_env(hub.url, home, hub.token("ann")).items():
            monkeypatch.setenv(name, value)
        with serving(workspace.folder) as server, RemoteWorkspace(server.url) as remote:
            pages = httpx.Client(base_url=server.url, timeout=60)
            with pages:
                push = {"repo": REPO, "as": "delta", "version": "head"}
                pushed = sent(pages, remote, "/leaving/push", push)
                assert pushed["version"] == edited.version
                assert hub.read(REPO, "README.md").startswith(b"---")
                sent(pages, remote, "/leaving/push", push | {"version": first})
                rolled = sent(
                    pages, remote, "/leaving/rollback", {"repo": REPO, "to": edited.version}
                )
                assert rolled["commit"] not in (None, pushed["commit"])
                remote.rewind(first)
                pulled = sent(pages, remote, "/moves/pull", {"source": REPO, "branch": "main"})
                assert pulled["version"] == edited.version and pulled["moved"]
    with Workspace.open(workspace.folder) as reopened:
        assert reopened.head.id == edited.version


def sent(
    pages: httpx.Client, remote: RemoteWorkspace, action: str, typed: dict[str, str]
) -> dict[str, Any]:
    """What the job of a form came to, which its page tells as done."""
    html = pages.get("/branches").text
    form = re.search(rf'<form action="{action}".*?</form>', html, re.DOTALL)
    assert form is not None
    hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[0]))
    answer = pages.post(action, data=hidden | typed)
    assert answer.status_code == 303, answer.text
    id_ = answer.headers["location"].removeprefix("/jobs/")
    for _ in range(SECONDS):
        job = remote.job(id_)
        if job["ended"]:
            break
        time.sleep(1)
    assert job["state"] == "done", job["error"]
    assert "It is done." in pages.get(f"/jobs/{id_}").text
    return job["result"]
