"""The same edits give the same version and bytes, whoever calls and wherever the ledger lies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from click.testing import CliRunner
from ledgers import DATABASES, POSTGRES, database_url
from samples import TORTURE
from service_process import serving
from workspaces import contents, new_workspace

from kn_edit.cli.commands import kn_edit as program
from kn_edit.client import RemoteWorkspace
from kn_edit.workspace import Workspace

SECONDS = 240
# Of databases and blobs; `make torture` goes to all four places.
PLACES = [(POSTGRES, "bucket")]  # other tests edit in SQLite and in folders
if TORTURE:
    PLACES = [(database, blobs) for database in DATABASES for blobs in ("folder", "bucket")]
PROMPTS = ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"]
BRANCHES = ("api", "page", "client")  # of the served workspace, one for each caller
Plain = Mapping[str, Any]


class Caller(Protocol):
    """One way to call the verbs of a workspace. branch: that it moves"""

    branch: str

    def edit(self, verb: str, arguments: Plain) -> str:
        """Record an edit, although the gate refuses it; its id."""

    def move(self, verb: str, arguments: Plain) -> None:
        """Move the branch, although edits share slots."""

    def tag(self, name: str) -> None:
        """Name the branch's version."""

    def export(self, name: str) -> Path:
        """The branch's version as a checkpoint."""


def recipe(caller: Caller, folder: Path) -> list[str]:
    """Edit, name, erase, take back and combine; the ids on the way. folder: of the workspace"""

    def version() -> str:
        with Workspace.open(folder) as workspace:
            return workspace.ledger.version_id(caller.branch)

    fact = {"prompts": PROMPTS, "subject": "France", "answer": "Paris", "to": "Rome"}
    first, second = f"{caller.branch}-1", f"{caller.branch}-2"
    edit = caller.edit("update", fact)
    caller.tag(first)
    ids = [edit, version(), caller.edit("erase", {"relation": "symbol"}), version()]
    caller.move("revert", {"edit": edit})
    caller.tag(second)
    ids.append(version())
    caller.move("compose", {"versions": [second, first]})
    return [*ids, version()]


class Command:
    """The command line, in this process."""

    branch = "main"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def edit(self, verb: str, arguments: Plain) -> str:
        words = [word for name, value in arguments.items() for word in option(name, value)]
        return str(json.loads(self.run(verb, *words, "--accept", "--json"))["edit"])

    def move(self, verb: str, arguments: Plain) -> None:
        (value,) = arguments.values()
        names = [value] if isinstance(value, str) else value
        self.run(verb, *names, "--allow-overlap")

    def tag(self, name: str) -> None:
        self.run("tag", name)

    def export(self, name: str) -> Path:
        target = self.folder.parent / name
        self.run("export", str(target))
        return target

    def run(self, *words: str) -> str:
        done = CliRunner().invoke(program, [*words, "--workspace", str(self.folder)])
        assert done.exit_code == 0, done.output
        return done.stdout


def option(name: str, value: str | Sequence[str]) -> list[str]:
    """An argument of a verb as the command line has it."""
    if isinstance(value, str):
        return [f"--{name}", value]
    return [word for each in value for word in (f"--{name.removesuffix('s')}", each)]


class Api:
    """Plain HTTP requests with JSON."""

    branch = "api"

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def edit(self, verb: str, arguments: Plain) -> str:
        return str(self.posted(verb, {**arguments, "accept": True})["edit"])

    def move(self, verb: str, arguments: Plain) -> None:
        self.posted(verb, {**arguments, "allow_overlap": True})

    def tag(self, name: str) -> None:
        self.posted("tags", {"name": name, "version": self.branch}, **{"If-Match": "*"})

    def export(self, name: str) -> Path:
        return Path(self.posted("export", {"target": name, "version": self.branch})["path"])

    def posted(self, route: str, body: Plain, **headers: str) -> Any:
        head = self.http.get(f"/api/v1/branches/{self.branch}").headers["ETag"]
        answer = self.http.post(
            f"/api/v1/{route}",
            params={} if route in ("tags", "export") else {"branch": self.branch},
            json=body,
            headers={"If-Match": head, "Prefer": "wait=60", **headers},
        )
        if answer.status_code != 202:
            assert answer.is_success, answer.text
            return answer.json()
        return finished(self.http, answer.json()["id"])["result"]


class Page:
    """Forms of the pages, as a browser without scripts sends them."""

    branch = "page"

    def __init__(self, http: httpx.Client, exports: Path) -> None:
        self.http = http
        self.exports = exports

    def edit(self, verb: str, arguments: Plain) -> str:
        address = "/propose" if verb == "update" else "/erase"
        text = {**arguments, "prompts": "\n".join(arguments.get("prompts", ()))}
        tried = self.sent(address, address, {**text, "way": "prompts", "branch": self.branch})
        recorded = self.sent(tried, f"{tried}/record", {})
        page = self.http.get(recorded).text
        assert "It is recorded." in page
        (edit,) = set(re.findall(r'href="/edits/([0-9a-f]{64})"', page))
        return str(edit)

    def move(self, verb: str, arguments: Plain) -> None:
        (value,) = arguments.values()
        words = value if isinstance(value, str) else " ".join(value)
        shown = f"/edits/{value}" if verb == "revert" else "/branches"
        fields = dict.fromkeys(arguments, words)
        job = self.sent(shown, f"/moves/{verb}", {**fields, "branch": self.branch})
        if "It is done." not in self.http.get(job).text:
            job = self.sent(job, f"{job}/again", {"allow_overlap": "true"})
        assert "It is done." in self.http.get(job).text

    def tag(self, name: str) -> None:
        self.http.post("/tags", data={"name": name, "version": self.branch}).raise_for_status()

    def export(self, name: str) -> Path:
        self.sent("/branches", "/leaving/export", {"target": name, "version": self.branch})
        return self.exports / name

    def sent(self, shown: str, action: str, fields: Plain) -> str:
        """The page of the job that a form led to. shown: the page with the form"""
        page = self.http.get(shown).text
        form = re.search(rf'<form action="{re.escape(action)}".*?</form>', page, re.DOTALL)
        assert form is not None, page
        hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[0])
        values = {name: unescape(value) for name, value in hidden}
        answer = self.http.post(action, data={**values, "as": "checkpoint", **fields})
        assert answer.url.path.startswith("/jobs/"), answer.text
        finished(self.http, answer.url.path.removeprefix("/jobs/"))
        return answer.url.path


class Client:
    """`kn_edit.client`."""

    branch = "client"

    def __init__(self, remote: RemoteWorkspace) -> None:
        self.remote = remote

    def edit(self, verb: str, arguments: Plain) -> str:
        return str(getattr(self.remote, verb)(**arguments, accept=True)["edit"])

    def move(self, verb: str, arguments: Plain) -> None:
        getattr(self.remote, verb)(*arguments.values(), allow_overlap=True)

    def tag(self, name: str) -> None:
        self.remote.tag(name)

    def export(self, name: str) -> Path:
        return Path(self.remote.export(name)["path"])


def finished(http: httpx.Client, job: str) -> Any:
    """A job once it has ended."""
    answer = http.get(f"/api/v1/jobs/{job}/events", timeout=SECONDS)
    assert "event: end" in answer.text
    return http.get(f"/api/v1/jobs/{job}").json()


@pytest.fixture
def workspaces(tmp_path: Path, bucket: str, database: str, blobs: str) -> Iterator[list[Path]]:
    """Two workspaces on one model, whose ledgers lie where the test says."""
    folders = [tmp_path / "commanded", tmp_path / "served"]
    with new_workspace(tmp_path):
        pass
    for folder in folders:
        url = database_url(folder / ".kn-edit") if database == POSTGRES else None
        store = f"{bucket}/{folder.name}" if blobs == "bucket" else None
        with Workspace.init(str(tmp_path / "model"), folder, database=url, blobs=store) as made:
            for branch in BRANCHES:
                made.branch(branch)
    with (folders[1] / "kn-edit.toml").open("a") as settings:
        settings.write('\n[serve]\nexports = "exported"\n')
    yield folders


@pytest.mark.parametrize(("database", "blobs"), PLACES, indirect=["database"])
def test_one_recipe_has_one_version_and_the_same_bytes(
    workspaces: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    commanded, served = workspaces
    with (
        serving(served) as server,
        httpx.Client(base_url=server.url, timeout=SECONDS, follow_redirects=True) as http,
        RemoteWorkspace(server.url, branch="client") as remote,
    ):
        callers: list[Caller] = [
            Command(commanded),
            Api(http),
            Page(http, served / "exported"),
            Client(remote),
        ]
        ids, files = [], []
        for caller in callers:
            folder = commanded if isinstance(caller, Command) else served
            ids.append(recipe(caller, folder))
            files.append(contents(caller.export(f"of-{caller.branch}")))
    assert ids == [ids[0]] * len(callers)
    assert len({*ids[0]}) == len(ids[0])
    assert files == [files[0]] * len(callers)
    assert files[0]["model.safetensors"] != (tmp_path / "model/model.safetensors").read_bytes()
    metrics = []
    for folder in workspaces:
        with Workspace.open(folder) as workspace:
            assert workspace.verify() == []
            metrics.append([edit.metrics for edit in workspace.ledger.edits()])
    assert metrics[0] == metrics[1]
