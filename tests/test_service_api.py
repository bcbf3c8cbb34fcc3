"""The routes of the service: reads, verbs as jobs, what a write names, and problems."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from thread_queue import ThreadQueue
from workspaces import about, new_workspace, quick

import kn_edit.errors as errors
from kn_edit.errors import ExitCode, Remedy
from kn_edit.service import models, preconditions
from kn_edit.service.app import make_app
from kn_edit.service.problems import _BY_CODE, _BY_NAME
from kn_edit.service.wording import HTTP
from kn_edit.service.work import VERBS
from kn_edit.workspace import Workspace, to_json

API = "/api/v1"
FRANCE = {
    "prompts": ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"],
    "subject": "France",
    "answer": "Paris",
    "to": "Rome",
    "rule": "activation",
    "method": "closed-form",
    "neurons": "L0.3",
    "accept": True,
}
JAPAN = FRANCE | {"subject": "Japan", "answer": "Tokyo", "to": "Oslo", "neurons": "L1.4"}


@dataclass
class Served:
    """A workspace that is served, with the gate that its jobs wait for."""

    client: TestClient
    workspace: Workspace
    may_run: threading.Event = field(default_factory=threading.Event)

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(API + path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def head(self, branch: str = "main") -> str:
        return str(self.client.get(f"{API}/branches/{branch}").headers["ETag"])

    def post(self, verb: str, body: Any, *, branch: str | None = None, **headers: str) -> Response:
        """A write on the head as it is now, whose result is waited for, unless told otherwise."""
        usual = {"Prefer": "wait=60"}
        if VERBS[verb].moves:
            usual["If-Match"] = self.head(branch or "main")
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {key: value for key, value in (usual | names).items() if value}
        query = {} if branch is None else {"branch": branch}
        return self.client.post(f"{API}/{verb}", json=body, headers=sent, params=query)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """France on main, Japan too on the branch other; for tests that only look."""
    folder = tmp_path_factory.mktemp("service")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KN_EDIT_CACHE", str(folder / "cache"))
        with new_workspace(folder) as workspace:
            workspace.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
            workspace.branch("other")
            with workspace.call(branch="other"):
                workspace.update(about("Japan"), "Oslo", how=quick((1, 4)), accept=True)
            workspace.tag("v1")
        yield from served(workspace.folder)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    with new_workspace(tmp_path) as workspace:
        workspace.branch("other")
    yield from served(workspace.folder)


def served(folder: Path) -> Iterator[Served]:
    may_run = threading.Event()
    may_run.set()
    queue = ThreadQueue(folder, before=lambda request: may_run.wait() and None)
    app = make_app(folder, jobs=lambda workspace: queue)
    with TestClient(app) as client:
        yield Served(client, app.state.service.workspace, may_run)
        may_run.set()


# --- reads ---------------------------------------------------------------------------------------


def test_reads_give_the_json_of_the_command_line(shared: Served) -> None:
    workspace = shared.workspace
    head, refs = workspace.head, workspace.ledger.refs()
    edit = workspace.ledger.edit(head.edits[0])
    assert shared.get("/status") == to_json.status(workspace)
    assert shared.get(f"/edits/{edit.id[:8]}") == json.loads(json.dumps(to_json.edit(edit)))
    version = shared.get("/versions/v1")
    assert version | to_json.version(head, refs) == version
    assert [move["kind"] for move in version["moves"]] == ["branch", "update"]
    assert shared.get("/branches")["items"] == [*map(to_json.branch, workspace.branches())]
    assert shared.get("/tags")["items"] == [{"tag": "v1", "version": head.id}]
    log = [step | {"step": number} for number, step in numbered(workspace.log())]
    assert shared.get("/log")["items"] == log
    graph = shared.get("/graph")["items"]
    assert graph == [*map(to_json.drawn_step, workspace.graph())]
    difference = shared.get("/diff", a="v1", b="other")
    assert len(difference["only_b"]) == 1 and difference["only_a"] == []
    assert shared.get("/blame", neuron="L0.3")["items"][0]["edit"] == edit.id


def numbered(steps: list[Any]) -> list[tuple[int, Any]]:
    return [(step.seq, to_json.step(step)) for step in steps]


def test_the_facts_of_a_version_are_those_that_its_edits_changed(shared: Served) -> None:
    facts = shared.get("/facts", version="other")["items"]
    assert [(fact["subject"], fact["target"]) for fact in facts] == [
        ("Japan", "Oslo"),
        ("France", "Rome"),
    ]
    assert [fact["subject"] for fact in shared.get("/facts")["items"]] == ["France"]
    assert shared.get("/facts", version="base")["items"] == []


def test_lists_come_in_parts(shared: Served) -> None:
    for path, key in (("/edits", "edit"), ("/versions", "version"), ("/graph", "step")):
        whole = [entry[key] for entry in shared.get(path)["items"]]
        parts, before = [], {}
        while True:
            part = shared.get(path, limit=1, **before)
            parts += [entry[key] for entry in part["items"]]
            if part["next"] is None:
                break
            before = {"before": part["next"]}
        assert parts == whole and len(whole) > 1, path


def test_what_has_not_changed_is_not_sent_again(shared: Served) -> None:
    first = shared.client.get(f"{API}/versions/v1")
    headers = {"If-None-Match": first.headers["ETag"]}
    again = shared.client.get(f"{API}/versions/v1", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    other = shared.client.get(f"{API}/versions/other", headers=headers)
    assert other.status_code == 200
    assert other.headers["ETag"] != first.headers["ETag"]


def test_bundled_relations_are_listed_with_their_subjects(shared: Served) -> None:
    assert "capital" in shared.get("/relations")["items"]
    capital = shared.get("/relations/capital")
    assert {"relation": "capital", "subject": "France", "answer": "Paris"} in capital["facts"]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/edits/ffffffff", 404, "UnknownId"),
        ("/edits/ff", 422, "ShortPrefix"),
        ("/edits?before=none", 404, "UnknownId"),
        ("/versions/nothing-like-it", 404, "UnknownId"),
        ("/branches/none", 404, "UnknownBranch"),
        ("/log?branch=none", 404, "UnknownBranch"),
        ("/jobs/none", 404, "UnknownJob"),
        ("/jobs/none/events", 404, "UnknownJob"),
        ("/log?limit=0", 422, "BadArguments"),
        ("/blame?neuron=9", 422, "NotANeuron"),
        ("/relations/none", 422, "BadSetting"),
        ("/nothing", 404, "NotFound"),
    ],
)
def test_problems_are_told_as_documents(shared: Served, path: str, status: int, error: str) -> None:
    answer = shared.client.get(API + path)
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = models.Problem.model_validate(answer.json())
    assert (answer.status_code, document.status, document.error) == (status, status, error)


# --- verbs as jobs -------------------------------------------------------------------------------


def test_an_update_and_its_revert(service: Served) -> None:
    base = service.get("/status")["head"]
    done = service.post("update", FRANCE)
    assert done.status_code == 200, done.text
    assert done.headers["Preference-Applied"] == "wait=60"
    edited = done.json()
    models.Edited.model_validate(edited)
    assert service.get("/status")["head"] == edited["version"]
    job = service.client.get(done.headers["Location"]).json()
    models.Job.model_validate(job)
    assert (job["state"], job["result"], job["branch"]) == ("done", edited, "main")
    assert job["arguments"] == FRANCE
    reverted = service.post("revert", {"edit": edited["edit"]}).json()
    models.Moved.model_validate(reverted)
    assert reverted["version"] == base


def test_without_a_preference_the_job_comes_at_once(service: Served) -> None:
    service.may_run.clear()
    answer = service.post("update", FRANCE, Prefer="")
    assert (answer.status_code, answer.json()["state"]) in {(202, "queued"), (202, "running")}
    assert service.get("/status")["edits"] == []  # reads wait for no job
    service.may_run.set()
    assert ended(service, answer)["state"] == "done"


def ended(service: Served, answer: Response) -> Any:
    """The job of an answer once it has ended, as its events tell it."""
    with service.client.stream("GET", answer.headers["Location"] + "/events") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        text = "".join(stream.iter_text())
    return json.loads(text.rpartition("event: end\ndata: ")[2])


def test_the_events_of_a_job_are_its_states_its_progress_and_its_end(service: Served) -> None:
    service.may_run.clear()
    answer = service.post("update", FRANCE, Prefer="")
    threading.Timer(0.5, service.may_run.set).start()
    with service.client.stream("GET", answer.headers["Location"] + "/events") as stream:
        text = "".join(stream.iter_text())
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("event")]
    assert names[0] == "state" and names[-1] == "end"
    assert {"progress", "log"} <= {*names}
    lines = text.count("event: log")
    headers = {"Last-Event-ID": str(lines)}
    again = service.client.get(answer.headers["Location"] + "/events", headers=headers)
    assert "event: log" not in again.text


def test_what_the_gate_refuses_is_told_with_what_was_measured(service: Served) -> None:
    refused = service.post("update", FRANCE | {"accept": False, "scale": [0.0, 0.0]})
    document = refused.json()
    assert (refused.status_code, document["error"]) == (422, "GateFailed")
    assert document["code"] == ExitCode.QUALITY_GATE
    assert document["detail"]["measured"]["subject"] == "France"
    assert '"accept": true' in document["title"] or "accept" in document["remedies"]
    assert service.get("/status")["edits"] == []


def test_a_dry_run_names_no_head_and_records_nothing(service: Served) -> None:
    answer = service.post("update", FRANCE | {"dry_run": True}, If_Match="")
    assert (answer.status_code, answer.json()["edit"]) == (200, None)
    assert service.get("/status")["edits"] == []


def test_questions_to_the_model_need_no_head(service: Served) -> None:
    named = {name: FRANCE[name] for name in ("prompts", "subject", "answer")}
    answers = service.post("assess", named).json()
    models.Assessments.model_validate(answers)
    assert [each["answer"] for each in answers["items"]] == ["Paris", "Paris"]
    located = service.post("locate", named | {"rule": "activation"}).json()
    models.Located.model_validate(located)
    scaled = service.post("suppress", named | {"rule": "activation", "threshold": 0.01})
    assert scaled.status_code in {200, 422}, scaled.text


def test_a_job_goes_to_the_branch_that_is_named(service: Served) -> None:
    edited = service.post("update", FRANCE, branch="other").json()
    assert service.get("/status")["edits"] == []
    assert service.get("/versions/other")["edits"] == [edited["edit"]]
    merged = service.post("merge", {"branches": ["other"]}).json()
    assert merged["edits"] == [edited["edit"]]
    back = service.post("rewind", {"version": "base"}).json()
    assert back["edits"] == []
    composed = service.post("compose", {"versions": ["other"]}).json()
    assert composed["edits"] == [edited["edit"]]


def test_facts_that_two_sides_answer_differently_are_chosen_one_by_one(service: Served) -> None:
    named = {"relation": "seat"}
    ours = service.post("update", FRANCE | named).json()
    theirs = FRANCE | named | {"to": "Cairo", "neurons": "L1.3"}
    theirs_edit = service.post("update", theirs, branch="other").json()
    asked = service.post("merge", {"branches": ["other"]})
    assert (asked.status_code, asked.json()["error"]) == (409, "FactsDiffer")
    choice = {"relation": "seat", "subject": "France", "keep": "theirs"}
    other = {"relation": "seat", "subject": "Japan", "keep": "ours"}
    unsettled = service.post("merge", {"branches": ["other"], "choices": [other]})
    assert unsettled.json()["detail"] == asked.json()["detail"]
    merged = service.post("merge", {"branches": ["other"], "choices": [choice, other]}).json()
    assert merged["edits"] == [theirs_edit["edit"]]
    assert merged["conflicts"][0]["left_out"] == [ours["edit"]]


def test_many_facts_are_told_one_by_one(service: Served) -> None:
    keys = ("prompts", "subject", "answer", "to")
    rows = [{key: fact[key] for key in keys} for fact in (FRANCE, JAPAN)]
    how = {"rule": "activation", "method": "closed-form", "neurons": "L0.3", "accept": True}
    batch = service.post("updates", {"facts": rows, **how}).json()
    models.Batch.model_validate(batch)
    assert [row["status"] for row in batch["items"]] == ["recorded", "recorded"]
    assert batch["recorded"] == 2
    assert service.get("/status")["edits"] == [row["edit"] for row in batch["items"]]
    again = service.post("updates", {"facts": rows, **how}).json()
    assert (again["items"], again["passed_over"]) == ([], 2)


def test_the_ledger_is_verified(service: Served) -> None:
    verified = service.post("verify", {}).json()
    models.Verified.model_validate(verified)
    assert (verified["ok"], verified["problems"]) == (True, [])


def test_an_export_goes_where_the_settings_allow_it(service: Served) -> None:
    refused = service.post("export", {"target": "edited"})
    assert (refused.status_code, refused.json()["error"]) == (403, "ExportsNotAllowed")
    settings = service.workspace.folder / "kn-edit.toml"
    settings.write_text('[serve]\nexports = "exported"\npush = ["me/model"]\n')
    exported = service.post("export", {"target": "edited", "as": "checkpoint"}).json()
    assert Path(exported["path"], "model.safetensors").is_file()
    assert Path(exported["path"]).parent.name == "exported"
    for name in ("../edited", "/tmp/edited", "a/b", ".", ""):
        assert service.post("export", {"target": name}).status_code == 422, name
    pushed = service.post("push", {"repo": "them/model"})
    assert (pushed.status_code, pushed.json()["error"]) == (403, "RepositoryNotAllowed")


def test_a_job_is_cancelled(service: Served) -> None:
    service.may_run.clear()
    running = service.post("update", FRANCE, Prefer="")
    queued = service.post("update", JAPAN, Prefer="")
    for answer in (running, queued):
        assert service.client.delete(answer.headers["Location"]).status_code == 200
    service.may_run.set()
    assert ended(service, running)["state"] == "cancelled"
    assert ended(service, queued)["state"] == "cancelled"
    late = service.client.delete(queued.headers["Location"])
    assert (late.status_code, late.json()["error"]) == (409, "JobEnded")
    assert service.get("/status")["edits"] == []
    jobs = service.get("/jobs", limit=1)
    assert [job["state"] for job in jobs["items"]] == ["cancelled"]
    older = service.get("/jobs", before=jobs["next"])["items"]
    assert [job["id"] for job in older] == [running.json()["id"]]


def test_arguments_that_do_not_fit_are_told_by_their_place(service: Served) -> None:
    refused = service.post("update", FRANCE | {"subject": 7, "colour": "red"})
    document = refused.json()
    assert (refused.status_code, document["error"]) == (422, "BadArguments")
    places = {problem["at"] for problem in document["detail"]["problems"]}
    assert places == {"subject", "colour"}
    assert service.client.post(f"{API}/update", content=b"{").status_code == 422


# --- what a write names --------------------------------------------------------------------------


def test_a_write_names_the_head_that_it_builds_on(service: Served) -> None:
    unnamed = service.post("update", FRANCE, If_Match="")
    assert (unnamed.status_code, unnamed.json()["error"]) == (428, "HeadNotNamed")
    head = service.head()
    assert head == f'"{service.get("/status")["head"]}"'
    assert service.post("update", FRANCE).status_code == 200
    stale = service.post("update", JAPAN, If_Match=head)
    assert (stale.status_code, stale.json()["error"]) == (409, "HeadMoved")
    assert stale.json()["detail"]["expected"] == head.strip('"')
    assert service.post("update", JAPAN, If_Match="*").status_code == 200
    for odd in ('"abc"', "abc", 'W/"x"', '"a", "b"'):
        assert service.post("update", JAPAN, If_Match=odd).status_code == 422, odd


def test_two_writes_on_one_head_cannot_both_be_recorded(service: Served) -> None:
    service.may_run.clear()
    first = service.post("update", FRANCE, Prefer="")
    second = service.post("update", JAPAN, Prefer="")
    assert (first.status_code, second.status_code) == (202, 202)
    service.may_run.set()
    assert ended(service, first)["state"] == "done"
    lost = ended(service, second)
    assert (lost["state"], lost["error"]["error"], lost["error"]["status"]) == (
        "failed",
        "HeadMoved",
        409,
    )
    assert len(service.get("/status")["edits"]) == 1


def test_a_key_that_comes_again_gives_the_same_job(service: Served) -> None:
    head = service.head()
    first = service.post("update", FRANCE, Idempotency_Key="k1")
    again = service.post("update", FRANCE, Idempotency_Key="k1", If_Match=head)
    assert first.headers["Location"] == again.headers["Location"]
    assert first.json() == again.json()
    assert len(service.get("/status")["edits"]) == 1
    other = service.post("update", JAPAN, Idempotency_Key="k1")
    assert (other.status_code, other.json()["error"]) == (422, "KeyReused")
    # a refused request gives its key back
    assert service.post("update", JAPAN, Idempotency_Key="k2", If_Match=head).status_code == 409
    assert service.post("update", JAPAN, Idempotency_Key="k2").status_code == 200


def test_branches_and_tags_are_made_once(service: Served) -> None:
    made = service.client.post(
        f"{API}/branches", json={"name": "new"}, headers={"Idempotency-Key": "b"}
    )
    again = service.client.post(
        f"{API}/branches", json={"name": "new"}, headers={"Idempotency-Key": "b"}
    )
    assert made.status_code == again.status_code == 201
    assert made.json() == again.json()
    models.NamedBranch.model_validate(made.json())
    taken = service.client.post(f"{API}/branches", json={"name": "new"})
    assert (taken.status_code, taken.json()["error"]) == (409, "BranchExists")
    renamed = service.client.patch(f"{API}/branches/new", json={"name": "team/cities"})
    assert renamed.json()["branch"] == "team/cities"
    assert service.client.get(f"{API}/branches/team/cities").status_code == 200
    assert service.client.delete(f"{API}/branches/team/cities").status_code == 200
    current = service.client.delete(f"{API}/branches/main")
    assert (current.status_code, current.json()["error"]) == (409, "BranchIsCurrent")
    tagged = service.client.post(f"{API}/tags", json={"name": "v1"})
    assert (tagged.status_code, tagged.json()["tag"]) == (201, "v1")
    taken = service.client.post(f"{API}/tags", json={"name": "main"})
    assert (taken.status_code, taken.json()["error"]) == (422, "BadTagName")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0.0),
        ("wait=5", 5.0),
        ("respond-async, wait=10", 10.0),
        ('wait="3"', 3.0),
        ("return=minimal; foo, wait=2", 2.0),
        ("wait=9999", 60.0),
        ("wait=-1", 0.0),
        ("nowait=5", 0.0),
        ("wait=soon", 0.0),
    ],
)
def test_how_long_a_caller_prefers_to_wait(prefer: str | None, seconds: float) -> None:
    assert preconditions.seconds_to_wait(prefer) == seconds


# --- the tables ----------------------------------------------------------------------------------


def test_the_service_has_words_for_every_remedy() -> None:
    assert HTTP.words.keys() == {*Remedy}


def test_every_error_has_a_status() -> None:
    assert _BY_CODE.keys() >= {*ExitCode} - {ExitCode.DONE}
    assert all(hasattr(errors, name) for name in _BY_NAME)


def test_every_verb_has_a_route_with_its_answers(shared: Served) -> None:
    document = shared.client.get(f"{API}/openapi.json").json()
    for name, verb in VERBS.items():
        if verb.quick:
            continue
        route = document["paths"][f"{API}/{name}"]["post"]
        assert {"200", "202", "422"} <= route["responses"].keys()
        assert ("428" in route["responses"]) == verb.moves
        for status, answer in route["responses"].items():
            if int(status) >= 400:
                assert "application/problem+json" in answer["content"], (name, status)
