"""Pages of the service, as HTML: what they show, and that it is safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from workspaces import about, new_workspace, quick

from kn_edit.service.app import make_app
from kn_edit.service.pages.drawing import graph, neuron_map
from kn_edit.service.pages.figures import estimated, interval, measured, size
from kn_edit.workspace import Workspace

ATTACK = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two branches, a merge, a tag, an edit that shares slots with another."""
    with new_workspace(tmp_path_factory.mktemp("pages")) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        workspace.switch("side", create=True)
        workspace.update(about("Japan"), "Oslo", how=quick((1, 5), (1, 7)), accept=True)
        workspace.switch("main")
        workspace.update(about("Egypt"), "Havana", how=quick((0, 8)), accept=True)
        workspace.merge("side", allow_overlap=True)
        workspace.tag("first", "base")
        return workspace.folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(make_app(folder)) as client:
        yield client


@pytest.fixture
def workspace(client: TestClient) -> Workspace:
    served: Workspace = client.app.state.service.workspace
    return served


def words(html: str) -> str:
    """The text of a page, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_the_history_has_every_move_newest_first(client, workspace):
    page = client.get("/")
    assert page.status_code == 200
    places = [page.text.index(f'/versions/{step.version}"') for step in workspace.graph()]
    assert len(places) == 5
    text = words(page.text)
    for step in workspace.graph():
        assert step.message in text
    assert "current branch main" in text
    assert "tag first" in text
    assert [text.index(step.message) for step in workspace.graph()] == sorted(
        text.index(step.message) for step in workspace.graph()
    )


def test_the_graph_draws_a_line_for_each_step_that_came_before(workspace):
    drawn = graph(workspace.graph())
    merge = drawn.rows[0]
    assert {line.end for line in merge.lines if not line.upper} == {merge.dot, merge.dot + 14}
    below = [line for line in drawn.rows[-1].lines if not line.upper]
    assert below == []  # nothing came before the first step
    assert drawn.width >= 28


def test_a_long_history_is_paged(client, monkeypatch):
    monkeypatch.setattr("kn_edit.service.pages.history.MOVES", 2)
    first = client.get("/", params={"from": 0}).text  # no answer that is kept of "/"
    assert first.count('<div class="graph"') == 2
    assert 'href="/?from=2"' in first
    second = client.get("/", params={"from": 2}).text
    assert 'href="/?from=0"' in second and 'href="/?from=4"' in second
    assert "init model" in words(client.get("/", params={"from": 4}).text)


def test_an_edit_has_its_facts_answers_figures_and_how_to_take_it_back(client, workspace):
    record = workspace.ledger.edits()[0]
    text = words(client.get(f"/edits/{record.id}").text)
    said = record.found["says"][0]
    for wanted in ("France", "Rome", said["before"], said["after"], record.id, "efficacy"):
        assert wanted in text
    assert f"kn-edit revert {record.id[:12]}" in text
    assert size(workspace.ledger.delta_size(record.id)) in text
    assert "refused, and recorded all the same" in text


def test_an_edit_names_the_others_that_write_its_slots(client, workspace):
    france, japan, _ = workspace.ledger.edits()
    page = client.get(f"/edits/{france.id}").text
    blamed = page[page.index('id="blame"') :]
    assert "L1.5" in blamed and japan.id in blamed and "L0.3" not in blamed


def test_the_map_lies_inside_of_its_field(workspace):
    record = workspace.ledger.edits()[0]
    drawn = neuron_map(record.neurons, record.layers, workspace.base)
    assert {mark.name for mark in drawn.marks} == {"L0.3", "L1.5"}
    assert drawn.layers == workspace.engine.model.n_layers
    assert drawn.neurons == workspace.engine.model.d_ff
    low, high = sorted(drawn.marks, key=lambda mark: -mark.y)
    assert low.name == "L0.3" and 12 < high.y < low.y < 276
    assert all(44 < mark.x < 624 for mark in drawn.marks)


def test_a_version_has_its_facts_edits_and_names(client, workspace):
    text = words(client.get(f"/versions/{workspace.head.id}").text)
    for wanted in ("France", "Rome", "Japan", "Oslo", "Egypt", "Havana", "merge"):
        assert wanted in text
    assert "this is the base model" in words(client.get("/versions/base").text)


def test_two_versions_differ_by_facts_then_slots(client):
    text = words(client.get("/diff", params={"a": "side", "b": "main"}).text)
    assert "Egypt as the base Havana" in text
    assert text.index("Facts") < text.index("Value slots")
    same = words(client.get("/diff", params={"a": "main", "b": "main"}).text)
    assert "The weights are the same, bit for bit." in same


def test_an_unknown_edit_is_told_in_plain_words(client):
    page = client.get("/edits/0123456789")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")
    assert "0123456789" in words(page.text) and "Back to the history" in page.text


def test_what_does_not_fit_is_told_as_a_page(client):
    page = client.get("/", params={"from": "x"})
    assert page.status_code == 422
    assert "from" in words(page.text)


def test_text_of_strangers_is_shown_as_text(client):
    page = client.get("/edits/" + ATTACK.replace("/", "%2F"))
    assert ATTACK not in page.text
    hidden = client.get("/diff", params={"a": "x\u202ey", "b": "main"})
    assert "\u202e" not in hidden.text and r"x\u202ey" in hidden.text


def test_pages_bring_everything_with_them(client):
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)", page.text)
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text):
        assert client.get(address).status_code == 200
    assert not re.search(r'(?:src|href)="https?:', page.text)


def test_the_interval_of_a_share_stays_inside_of_it():
    low, high = interval(1.0, 6)
    assert (round(low, 2), round(high, 2)) == (0.61, 1.0)
    low, high = interval(0.5, 100)
    assert (round(low, 2), round(high, 2)) == (0.40, 0.60)


def test_what_nobody_measured_is_no_figure():
    assert list(measured({"efficacy": "much", "specificity": None})) == []
    (figure,) = measured({"efficacy": 1.0, "prompts": 0})
    assert figure.low is None


def test_an_evaluation_has_the_interval_of_its_bootstrap_where_updates_are_several():
    several = {"value": 0.75, "low": 0.5, "high": 1.0, "count": 4}
    one = {"value": 1.0, "low": 1.0, "high": 1.0, "count": 1}
    evaluation = {"efficacy": several, "specificity": one, "generalization": None}
    efficacy, specificity = estimated(evaluation)
    assert (efficacy.label, efficacy.low, efficacy.high, efficacy.count) == ("efficacy", 0.5, 1, 4)
    assert (specificity.value, specificity.low, specificity.high) == (1.0, None, None)


BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def test_a_page_that_is_not_there_is_told_to_browsers_as_a_page(client):
    page = client.get("/no/such<page>", headers=BROWSER)
    assert page.status_code == 404 and page.headers["content-type"].startswith("text/html")
    assert "There is no such page" in page.text and "/no/such&lt;page&gt;" in page.text
    for path, headers in (
        ("/no/such", {}),
        ("/v1/nothing", BROWSER),
        ("/api/v1/nothing", BROWSER),
        ("/static/nothing.css", BROWSER),
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 404 and "json" in answer.headers["content-type"], path
