"""A served workspace from Python, and `kn-edit serve` itself: a real process with a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_process import COMMAND, Server, serving
from workspaces import new_workspace

import kn_edit.errors as errors
from kn_edit.client import RemoteWorkspace
from kn_edit.client.connection import path_of
from kn_edit.client.rebuilding import error_of
from kn_edit.errors import (
    BadArguments,
    BadSetting,
    BranchExists,
    EditNotApplied,
    FactsDiffer,
    GateFailed,
    HeadMoved,
    KnEditError,
    ServiceProblem,
    ServiceUnreachable,
    SlotOverlap,
    TagExists,
    UnknownId,
)
from kn_edit.workspace import Workspace, to_json

PROMPTS = ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"]
HOW: dict[str, Any] = {"rule": "activation", "method": "closed-form", "accept": True}
FRANCE = {"prompts": PROMPTS, "subject": "France", "answer": "Paris", "to": "Rome"}
EGYPT = {"prompts": PROMPTS, "subject": "Egypt", "answer": "Cairo", "to": "Oslo"}
JAPAN = {"prompts": PROMPTS, "subject": "Japan", "answer": "Tokyo", "to": "Oslo"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a branch `other`."""
    place = tmp_path_factory.mktemp("client")
    with new_workspace(place) as workspace:
        workspace.branch("other")
    return workspace.folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KN_EDIT_CACHE", str(folder.parent / "cache"))
        with serving(folder, "--log-format", "json") as running:
            yield running


@pytest.fixture
def remote(server: Server) -> Iterator[RemoteWorkspace]:
    with RemoteWorkspace(server.url) as connected:
        yield connected


def test_updates_of_a_branch_tell_their_progress_and_leave_the_current_one(server: Server) -> None:
    tasks: list[str] = []
    with RemoteWorkspace(
        server.url, branch="other", progress=lambda task, done, total: tasks.append(task)
    ) as remote:
        for fact, neurons in ((FRANCE, "L0.3"), (JAPAN, "L1.4")):
            remote.update(**fact, **HOW, neurons=neurons)
        assert len(remote.head["edits"]) == 2
        assert remote.status()["edits"] == []
    assert tasks


def test_errors_are_those_of_a_workspace(remote: RemoteWorkspace) -> None:
    with pytest.raises(UnknownId) as unknown:
        remote.show("ffffffffff")
    assert unknown.value.name == "ffffffffff"
    base = remote.version("base")["version"]
    edit = remote.edits(1)[0]["edit"]
    remote.revert(edit, branch="other")
    with pytest.raises(EditNotApplied):
        remote.revert(edit, branch="other")
    with pytest.raises(GateFailed) as refused:
        remote.update(**EGYPT, **(HOW | {"accept": False}), neurons="L1.5", scale=[0.0, 0.0])
    assert refused.value.result["subject"] == "Egypt"
    moved_to = remote.rewind("other")["version"]
    with pytest.raises(HeadMoved) as moved:
        remote.rewind("base", expected_head=base)
    assert (moved.value.expected, moved.value.actual) == (base, moved_to)
    with pytest.raises(BadArguments) as bad:
        remote.update(**FRANCE, colour="red")
    assert dict(bad.value.problems).keys() == {"colour"}
    with pytest.raises(BranchExists):
        remote.branch("other")
    remote.tag("v1")
    with pytest.raises(TagExists):
        remote.tag("v1", "base")


def test_reads_are_those_of_the_workspace(remote: RemoteWorkspace, folder: Path) -> None:
    with Workspace.open(folder) as workspace:
        assert remote.status() == to_json.status(workspace)
        assert len(remote.log()) == len(workspace.log())
        assert [step["step"] for step in remote.graph(3)] == [
            step.seq for step in workspace.graph(3)
        ]
        assert [edit["edit"] for edit in remote.edits()] == [
            edit.id for edit in reversed(workspace.ledger.edits())
        ]
        assert remote.branches() == [*map(to_json.branch, workspace.branches())]
    assert len(remote.versions(1)) == 1
    assert remote.diff("base")["a"] == remote.version("base")["version"]
    assert remote.blame("L0.3") == remote.blame("L0.3")
    assert all(job["ended"] for job in remote.jobs())
    assert remote.verify()["ok"]


def test_the_log_is_json_and_tells_no_query(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/api/v1/status?token=hf_abcdefghijklmnop"):
        pass
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    requests = [line for line in lines if line.get("path") == "/api/v1/status"]
    assert requests and requests[-1]["status"] == 200
    assert "hf_abc" not in server.log.read_text()


# --- kn-edit serve -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_and_its_workers(tmp_path: Path, number: int) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with serving(folder) as server:
        children = children_of(server.process.pid)
        assert len(children) == 1
        assert server.stop(number) == 0, server.log.read_text()
        assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert "Traceback" not in server.log.read_text()


def children_of(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]


def test_a_port_that_is_taken_is_told_with_the_next_step(server: Server, folder: Path) -> None:
    port = server.url.rpartition(":")[2]
    command = [*COMMAND, "serve", "--port", port, "--workers", "0", "--workspace", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == errors.ExitCode.CONFLICT
    assert f"another program listens on port {port} of 127.0.0.1" in done.stderr
    assert "another port" in done.stderr


def test_an_address_that_is_not_of_this_machine_is_told(folder: Path) -> None:
    command = [*COMMAND, "serve", "--host", "192.0.2.1", "--workspace", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == errors.ExitCode.USAGE
    assert "address of this machine" in done.stderr


# --- the client alone ----------------------------------------------------------------------------


def test_a_service_that_is_not_there_is_told() -> None:
    with (
        RemoteWorkspace("http://127.0.0.1:9", timeout=5) as nobody,
        pytest.raises(ServiceUnreachable),
    ):
        nobody.status()
    for address in ("127.0.0.1:8018", "ftp://127.0.0.1", ""):
        with pytest.raises(BadSetting):
            RemoteWorkspace(address)


def test_names_stay_names_in_a_path() -> None:
    assert path_of("versions", "owner/name@v 1?#") == "/versions/owner/name%40v%201%3F%23"


def test_a_problem_of_another_release_is_told_as_it_is() -> None:
    unknown = error_of({"error": "Novelty", "status": 418, "title": "it is new", "detail": {}})
    assert isinstance(unknown, ServiceProblem)
    assert "it is new" in str(unknown) and "418" in str(unknown)
    lacking = error_of({"error": "HeadMoved", "status": 409, "title": "moved", "detail": {}})
    assert isinstance(lacking, ServiceProblem)


@pytest.mark.parametrize(
    "error",
    [
        HeadMoved("a" * 64, "b" * 64),
        BadArguments("update", (("to", "is missing"), ("facts.3.to", "is too long"))),
        FactsDiffer("main", "other", (("r", "s", "A", "e1", "2026", "B", "e2", "2027"),)),
        SlotOverlap((("e1", "e2"),), ("L0.3",)),
        UnknownId("version", "none"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_it_was(error: KnEditError) -> None:
    document = json.loads(json.dumps(error.document(errors.PYTHON)))
    assert error_of(document) == error
    assert str(error_of(document)) == str(error)


def test_the_client_loads_neither_torch_nor_a_ledger() -> None:
    heavy = "{'torch', 'sqlalchemy', 'click'}"
    script = f"import sys, kn_edit.client; print(*({heavy} & {{*sys.modules}}))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == ""
