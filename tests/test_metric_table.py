"""Metrics: one that is added in a few lines is measured, shown, recorded and published."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub import Hub
from hub_desk import Desk
from installed import install
from test_docs import DOCS, blocks
from workspaces import QUICK, about, new_workspace

from kn_edit.errors import BadSetting
from kn_edit.evaluation.metric import METRICS, Direction, Figure, Metric, add_metric
from kn_edit.workspace import Workspace

REPO = "ann/model"
ENTRY_POINTS = "[kn_edit.metrics]\nconfidence = their_metric:CONFIDENCE\n"


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the metric of the docs in a file of its own, as an installed package."""
    code = next(code for _, code in blocks(DOCS / "extending.md", "python") if "Metric(" in code)
    assert len(code.splitlines()) <= 30
    return install(tmp_path, "their_metric", code, ENTRY_POINTS, monkeypatch)


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A metric whose value is known: half of the prompts that are asked."""
    metric = Metric(
        name="half",
        meaning="half of its prompts",
        direction=Direction.LOWER,
        of=lambda before, after: Figure(len(after.edited) / 2, len(before.edited)),
        share=False,
    )
    monkeypatch.setitem(METRICS, "half", metric)
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS[name]
    assert metric.name == name
    assert metric.meaning
    assert metric.direction in {"higher", "lower"}
    assert metric.label == name.replace("_", " ")


@pytest.mark.parametrize("name", ["efficacy", "prompts", "Half", "", "a b", "_half"])
def test_a_name_that_is_taken_or_is_none_is_refused(name):
    with pytest.raises(BadSetting):
        add_metric(Metric(name=name, meaning="no more", direction=Direction.HIGHER))
    assert name not in METRICS or METRICS[name].meaning != "no more"


def test_shares_of_nothing_are_none():
    assert Figure.share([]) == Figure(None, 0)
    assert Figure.share([True, False, True, True]) == Figure(0.75, 4)


def test_a_metric_is_measured_recorded_and_evaluated_from_python(half, tmp_path):
    with new_workspace(tmp_path) as workspace:
        done = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        prompts = done.draft.metrics["prompts"]
        assert done.draft.metrics["half"] == prompts / 2 > 0
        assert done.draft.metrics["half_prompts"] == prompts
        assert workspace.show(done.edit).metrics["half"] == prompts / 2
        evaluation = workspace.evaluate()
        asked = evaluation.updates[0].metrics.figures["efficacy"].prompts
        assert evaluation.updates[0].value_of(half) == asked / 2 > 0
        estimate = evaluation.estimates["half"]
        assert estimate is not None
        assert estimate.value == asked / 2


def test_an_installed_metric_is_shown_reported_and_published(their_package, tmp_path):
    new_workspace(tmp_path).close()
    work = tmp_path / "work"
    with Hub() as hub:
        hub.token("ann")
        desk = Desk(hub, work)  # a process in which the package is installed
        try:
            fact = ("--prompt", "The capital of [X] is [Y] .", "--subject", "France")
            change = (*fact, "--answer", "Paris", "--to", "Rome", "--accept")
            made = desk("update", *change, "--json")
            assert made.code == 0, made.err
            value = made.json["metrics"]["confidence"]
            assert 0 < value < 1
            shown = desk("show", made.json["edit"])
            assert f"{value:.2f}" in shown.out and "confidence" in shown.out
            assert "confid." in desk("evaluate").out
            evaluated = desk("evaluate", "--json").json
            assert evaluated["confidence"]["value"] == pytest.approx(value)
            assert evaluated["updates"][0]["confidence"] == pytest.approx(value)
            assert desk("report", str(tmp_path / "page")).code == 0
            assert "confidence" in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
            assert desk("push", REPO, "--as", "delta").code == 0
        finally:
            desk.close()
        card = hub.read(REPO, "README.md").decode()
        assert "| specificity | confidence | sha256 |" in card
        assert "| confidence |" in card and "mean p of the new answer" in card
    with Workspace.open(work) as workspace:  # where nobody knows the metric
        (edit,) = workspace.ledger.edits()
        assert edit.metrics["confidence"] == value


def test_who_pulls_an_edit_needs_no_metric_of_it(half, tmp_path, monkeypatch):
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    for folder in (ann, bob):
        folder.mkdir()
    with new_workspace(ann) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
    new_workspace(bob).close()
    with Hub() as hub:
        hub.token("ann")
        desk = Desk(hub)  # a process that never heard of it
        try:
            assert desk("push", REPO, "--as", "delta", workspace=ann / "work").code == 0
            assert desk("pull", REPO, workspace=bob / "work").code == 0
            assert desk("show", "head", workspace=bob / "work").code == 0
        finally:
            desk.close()
    with Workspace.open(bob / "work") as workspace:
        (edit,) = workspace.ledger.edits()
        assert edit.metrics["half"] == edit.metrics["prompts"] / 2
