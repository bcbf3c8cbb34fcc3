"""Forms of the pages, on a model that knows its facts: from a proposal to its record and back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from known_model import saved
from thread_queue import ThreadQueue

from kn_edit.service.app import make_app
from kn_edit.workspace import Workspace

SECONDS = 120
PROMPTS = "the capital of [X] [Y]\nthe city of [X] [Y]"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("forms")
    saved(folder / "model")
    with Workspace.init(str(folder / "model"), folder / "work"):
        pass
    app = make_app(folder / "work", jobs=lambda workspace: ThreadQueue(folder / "work"))
    with TestClient(app) as client:
        yield client


def words(html: str) -> str:
    """The text of a page, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def fields(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the first form of a page that goes to an address."""
    form = re.search(rf'<form action="{re.escape(action)}".*?</form>', html, re.DOTALL)
    assert form is not None, words(html)
    hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form[0])
    return dict(hidden)


def ended(client: TestClient, answer: Any) -> str:
    """The page of the job that a form led to, once it has ended."""
    assert answer.history and answer.history[0].status_code == 303, words(answer.text)
    path = answer.url.path
    client.app.state.service.queue.wait(path.removeprefix("/jobs/"), SECONDS)
    return path, client.get(path).text


def proposed(client: TestClient, to: str = "Oslo", **further: str) -> Any:
    hidden = fields(client.get("/propose").text, "/propose")
    form = {"way": "prompts", "subject": "France", "prompts": PROMPTS, "to": to}
    return client.post("/propose", data=hidden | form | further)


def recorded(client: TestClient, to: str, branch: str = "main") -> str:
    """The page of a job that recorded an update by the forms, although the gate refuses it."""
    path, page = ended(client, proposed(client, to, branch=branch))
    hidden = fields(page, f"{path}/record")
    return ended(client, client.post(f"{path}/record", data=hidden))[1]


def test_a_proposal_is_tried_out_and_shown_before_anything_is_recorded(client):
    workspace = client.app.state.service.workspace
    path, page = ended(client, proposed(client))
    text = words(page)
    assert "The gate would refuse it." in text and "What to try" in text
    assert "efficacy" in text and "the capital of France [Y] Paris" in text
    assert workspace.head.edits == () and workspace.ledger.edits() == []
    assert "Record it although the gate refuses it" in text
    assert fields(page, f"{path}/record")["accept"] == "true"


def test_what_the_gate_lets_pass_is_recorded_when_that_is_asked_and_taken_back(client):
    workspace = client.app.state.service.workspace
    settings = workspace.folder / "kn-edit.toml"
    settings.write_text("[gate]\nefficacy = 0.0\n")
    path, page = ended(client, proposed(client, "Havana"))
    assert "The gate would let it pass." in words(page)
    hidden = fields(page, f"{path}/record")
    assert "accept" not in hidden
    once, twice = (client.post(f"{path}/record", data=hidden) for _ in range(2))
    assert once.url == twice.url  # pressed twice, it is one job
    page = ended(client, once)[1]
    settings.unlink()
    (edit,) = workspace.head.edits
    assert "It is recorded." in words(page) and f"/edits/{edit}" in page
    queue = client.app.state.service.queue
    trial, job = queue.get(path.removeprefix("/jobs/")), queue.get(once.url.path[6:])
    as_measured = trial.result | {"edit": edit, "version": workspace.head.id}
    assert job.result | {"proposal": trial.result["proposal"]} == as_measured
    with closing(sqlite3.connect(workspace.ledger_folder / "service.db")) as rows, rows:
        rows.execute("DELETE FROM proposals")
    late = ended(client, client.post(f"{path}/record", data=hidden | {"key": "late"}))[1]
    assert "It has to be tried out again" in words(late)
    assert f'action="{path}/again"' in late
    before = workspace.head.id
    form = fields(client.get(f"/edits/{edit}").text, "/moves/revert")
    assert form["edit"] == edit and form["head:main"] == before
    page = ended(client, client.post("/moves/revert", data=form | {"branch": "main"}))[1]
    assert "with 0 edits" in words(page)
    assert workspace.head.edits == ()
    stale = client.post("/moves/revert", data=form | {"branch": "main", "key": "another"})
    assert "Somebody moved branch main meanwhile." in words(ended(client, stale)[1])


def asked(client: TestClient, path: str, **form: str) -> tuple[str, str]:
    """The page of a job that a form led to, and its text."""
    hidden = fields(client.get(path).text, path)
    page = ended(client, client.post(path, data=hidden | form))[1]
    return page, words(page)


def test_a_fact_is_located_on_a_map_with_scores_and_probabilities(client):
    form = {"way": "prompts", "subject": "France", "prompts": PROMPTS, "answer": "Paris"}
    page, text = asked(client, "/locate", **form, version="base")
    job = client.app.state.service.queue.jobs(1)[0]
    assert job.request.arguments["version"] == client.app.state.service.workspace.ledger.version_id(
        "base"
    )
    neurons = [f"L{each['layer']}.{each['index']}" for each in job.result["neurons"]]
    assert neurons
    assert re.findall(r'<circle class="mark" .*?<title>(.*?)</title>', page) == neurons
    rings = re.findall(r'<circle class="mark ring" .*?<title>(.*?)</title>', page)
    assert rings == [f"L{each['layer']}.{each['index']}" for each in job.result["dropped"]]
    for neuron, score in zip(neurons, job.result["neurons"], strict=True):
        assert f"{neuron} {score['score']:.4f}" in text
    for row in job.result["prompts"]:
        assert f"{row['prompt']} {row['p']:.2f}" in text


def test_a_fact_without_a_subject_or_an_answer_is_told_on_the_form(client):
    form = {"way": "relation", "relation": "symbol", "subject": "", "version": "head"}
    page = client.post("/locate", data=form)
    assert page.status_code == 422 and "That did not work" in words(page.text)
    assert "<option selected>symbol</option>" in page.text
    form = {"way": "prompts", "subject": "Fr", "prompts": PROMPTS, "version": "head"}
    page = client.post("/locate", data=form)
    assert page.status_code == 422 and 'value="Fr"' in page.text
    page = client.post("/locate", data=form | {"answer": "Paris", "version": "nowhere"})
    assert page.status_code == 404 and "nowhere" in words(page.text)


def test_a_whole_relation_that_a_program_asked_for_has_a_row_for_each_fact(client):
    sent = {"relation": "capital", "limit": 2}
    items = client.post("/api/v1/locate", json=sent, headers={"Prefer": "wait=60"}).json()["items"]
    assert items
    job = client.app.state.service.queue.jobs(1)[0]
    text = words(client.get(f"/jobs/{job.id}").text)
    for item in items:
        first = item["neurons"][0]
        fact = f"{item['fact']['subject']}, {item['fact']['answer']}"
        assert f"{fact} L{first['layer']}.{first['index']}" in text


def test_a_merge_asks_which_answer_stays(client):
    workspace = client.app.state.service.workspace
    assert client.post("/branches", data={"name": "side"}).url.path == "/branches"
    assert "It is recorded." in recorded(client, "Oslo")
    assert "It is recorded." in recorded(client, "Cairo", branch="side")
    hidden = fields(client.get("/branches").text, "/moves/merge")
    merge = client.post("/moves/merge", data=hidden | {"branches": "side", "branch": "main"})
    path, page = ended(client, merge)
    text = words(page)
    assert "Which answer stays?" in text and "Oslo" in text and "Cairo" in text
    form = fields(page, f"{path}/again") | {"choice-0": "theirs"}
    path, page = ended(client, client.post(f"{path}/again", data=form))
    if "a mixture that nobody has measured" in words(page):
        again = client.post(f"{path}/again", data=fields(page, f"{path}/again"))
        path, page = ended(client, again)
    assert "kept theirs" in words(page)
    (edit,) = workspace.ledger.records(workspace.head.edits)
    assert edit.target == "Cairo"


def test_a_version_is_evaluated_beside_the_base(client):
    workspace = client.app.state.service.workspace
    _, text = asked(client, "/evaluate", version="base")
    assert "No update to ask" in text and "perplexity" in text
    version = workspace.head.id  # of the merge
    assert f'href="/evaluate?version={version}"' in client.get("/versions/head").text
    _, text = asked(client, "/evaluate", version="head")
    result = client.app.state.service.queue.jobs(1)[0].result
    for name in ("efficacy", "specificity"):
        estimate = result[name]
        assert estimate["count"] == 1  # so there is no interval
        assert re.search(rf"{name} .{{5,60}} {estimate['value']:.2f} 1 ", text), text
    assert re.search("France: .* → Cairo", text)
    perplexity = result["perplexity"]
    assert f"{perplexity['base']:.2f} {perplexity['version']:.2f}" in text
    assert client.post("/evaluate", data={"version": "nowhere"}).status_code == 404


def test_small_writes_are_done_at_once_and_told(client):
    workspace = client.app.state.service.workspace
    told = client.post("/branches", data={"name": "trial", "version": "base"})
    assert "The branch trial is made." in words(told.text)
    told = client.post("/branches/rename", data={"name": "trial", "to": "other"})
    assert "The branch is called other now." in words(told.text)
    told = client.post("/branches/current", data={"name": "other"})
    assert "Edits go to the branch other from now on." in words(told.text)
    client.post("/branches/current", data={"name": "main"})
    told = client.post("/tags", data={"name": "v1", "version": "base"})
    assert "The tag v1 is set." in words(told.text)
    told = client.post("/branches/delete", data={"name": "other"})
    assert "The name other is gone" in words(told.text)
    assert {ref.name for ref in workspace.ledger.refs()} >= {"main", "v1"}
    refused = client.post("/branches", data={"name": "main"})
    assert refused.status_code == 409 and "That did not work" in words(refused.text)


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil"}],
)
def test_a_form_of_another_site_does_nothing(client, headers):
    page = client.post("/branches", data={"name": "theirs"}, headers=headers)
    assert page.status_code == 403 and "not of this service" in words(page.text)
    assert "theirs" not in [branch.name for branch in client.app.state.service.workspace.branches()]


def test_the_ledger_is_checked_by_a_job(client):
    hidden = fields(client.get("/branches").text, "/moves/verify")
    page = ended(client, client.post("/moves/verify", data=hidden))[1]
    assert "All is well" in words(page)


def test_what_cannot_be_asked_is_told_on_the_form_with_what_was_typed(client):
    form = {"way": "relation", "relation": "capital", "subject": "Freedonia", "to": "Rome"}
    page = client.post("/propose", data=form | {"branch": "main"})
    assert page.status_code == 422
    assert "That did not work" in words(page.text) and 'value="Freedonia"' in page.text
    form = {"way": "statement", "statement": "Paris is nice.", "branch": "main"}
    page = client.post("/propose", data=form)
    assert page.status_code == 422 and 'value="Paris is nice."' in page.text


def test_subjects_of_a_relation_are_suggested(client):
    options = client.get("/propose/subjects", params={"relation": "capital"}).text
    assert '<option value="France">Paris</option>' in options
    assert client.get("/propose/subjects", params={"relation": "../x"}).text.strip() == ""


def test_leaving_is_refused_where_the_settings_do_not_allow_it(client):
    page = client.get("/branches").text
    assert "Publishing and exporting are not allowed here" in words(page)
    form = {"version": "head", "target": "out", "as": "delta"}
    page = ended(client, client.post("/leaving/export", data=form))[1]
    assert "It did not work." in words(page)


def test_what_is_published_is_taken_in_by_a_job(client):
    hidden = fields(client.get("/branches").text, "/moves/pull")
    page = ended(client, client.post("/moves/pull", data=hidden | {"source": "nobody"}))[1]
    assert "Take in nobody" in words(page) and "It did not work." in words(page)


def test_an_export_goes_where_the_settings_allow_it(client):
    workspace = client.app.state.service.workspace
    settings = workspace.folder / "kn-edit.toml"
    settings.write_text('[serve]\nexports = "exports"\n')
    hidden = fields(client.get("/branches").text, "/leaving/export")
    form = hidden | {"version": "head", "target": "small", "as": "delta"}
    page = ended(client, client.post("/leaving/export", data=form))[1]
    settings.unlink()
    assert "exports/small" in words(page)
    assert list((workspace.folder / "exports" / "small").iterdir())


def test_the_list_of_jobs_names_what_each_does(client):
    text = words(client.get("/jobs").text)
    assert "Try out: France -> Oslo" in text and "Check" not in text
    assert client.get("/jobs/0123").status_code == 404
