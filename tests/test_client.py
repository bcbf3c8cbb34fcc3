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
from click.testing import CliRunner
from service_process import COMMAND, Server, serving
from workspaces import new_workspace

import kn_edit.errors as errors
from kn_edit.cli.commands import kn_edit as program
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
    """A workspace with a branch `other`, whose exports go to the folder `exported`."""
    place = tmp_path_factory.mktemp("client")
    with new_workspace(place) as workspace:
        workspace.branch("other")
    (workspace.folder / "kn-edit.toml").write_text('[serve]\nexports = "exported"\n')
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


def test_the_same_recipe_through_every_door_gives_the_same_version_and_bytes(
    server: Server, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    tasks: list[str] = []
    with RemoteWorkspace(
        server.url, branch="other", progress=lambda task, done, total: tasks.append(task)
    ) as remote:
        steps = [remote.update(**FRANCE, **HOW, neurons="L0.3")]
        steps += [remote.update(**JAPAN, **HOW, neurons="L1.4")]
        client = remote.head["version"]
        bytes_of_client = weights(Path(remote.export("by-client")["path"]))
        assert remote.status()["edits"] == []  # the current branch is another one
    assert tasks
    body = json.dumps(FRANCE | HOW | {"neurons": "L0.3"}).encode()
    assert posted(server, "update", body, steps[0]["version"])["status"] == 409
    root = steps_root(server)
    first = posted(server, "update", body, root)["result"]
    body = json.dumps(JAPAN | HOW | {"neurons": "L1.4"}).encode()
    second = posted(server, "update", body, first["version"])["result"]
    by_command = tmp_path / "command"
    with Workspace.init(str(folder.parent / "model"), by_command):
        pass
    for fact, neurons in ((FRANCE, "L0.3"), (JAPAN, "L1.4")):
        prompts = [word for text in PROMPTS for word in ("--prompt", text)]
        named = ["--subject", fact["subject"], "--answer", fact["answer"], "--to", fact["to"]]
        how = ["--rule", "activation", "--method", "closed-form", "--neurons", neurons]
        words = ["update", *prompts, *named, *how, "--accept", "--json"]
        done = run_command(words, by_command)
    command = json.loads(done)
    assert client == second["version"] == command["version"]
    assert command["metrics"] == steps[1]["metrics"] == second["metrics"]
    run_command(["export", str(tmp_path / "by-command")], by_command)
    assert weights(tmp_path / "by-command") == bytes_of_client


def weights(exported: Path) -> bytes:
    return (exported / "model.safetensors").read_bytes()


def run_command(words: list[str], folder: Path) -> str:
    """What a command prints, in this process."""
    done = CliRunner().invoke(program, [*words, "--workspace", str(folder)])
    assert done.exit_code == 0, done.output
    return done.stdout


def steps_root(server: Server) -> str:
    with urllib.request.urlopen(f"{server.url}/api/v1/versions/base") as answer:
        return str(json.load(answer)["version"])


def posted(server: Server, verb: str, body: bytes, head: str) -> dict[str, Any]:
    """What a plain HTTP request gets, without the client."""
    headers = {
        "Content-Type": "application/json",
        "If-Match": f'"{head}"',
        "Prefer": "wait=60",
    }
    request = urllib.request.Request(f"{server.url}/api/v1/{verb}", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return {"status": answer.status, "result": json.load(answer)}
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)  # type: ignore[no-any-return]


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
