"""Edits that were recorded under other rules, or by somebody else, stop no command."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from workspaces import QUICK, about, new_workspace

from kn_edit.checkpoints.digests import digests
from kn_edit.cli.run import run
from kn_edit.editing.requests import ASKED_AGAIN, case_again
from kn_edit.edits.build import delta_of
from kn_edit.edits.changes import Mode
from kn_edit.experiments.reporting import report_edit
from kn_edit.ledger import NewEdit
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Workspace

SOUND = ["the city of [X] is [Y]"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


def recorded(workspace: Workspace, neuron: int = 0, **fields: Any) -> str:
    """Record an update as a ledger of other people may hold it."""
    values = torch.full((1, workspace.engine.model.d_model), 1e-4)
    delta = delta_of(workspace.engine.place, [NeuronId(0, neuron)], values, Mode.ADD)
    usual: dict[str, Any] = {
        "kind": "update",
        "relation": "odd",
        "subject": "Lyra",
        "answer": "Paris",
        "target": "Rome",
        "method": "calibrated",
        "found": {"templates": SOUND},
        "metrics": {"efficacy": 1.0},
        "message": "odd: Lyra, Paris -> Rome",
    }
    edit = NewEdit(delta, **{**usual, **fields})
    plan = workspace.ledger.plan_edit(delta, "update", edit.message)
    deltas = [*workspace.ledger.deltas(plan.recipe[:-1]), delta]
    workspace.ledger.advance(plan, digests(workspace.engine.shards, deltas), edit=edit)
    return delta.id


UNASKABLE: dict[str, dict[str, Any]] = {
    "no placeholders": {"found": {"templates": ["nothing here"]}},
    "words after the answer": {"found": {"templates": ["the [Y] of [X] is"]}},
    "blank": {"found": {"templates": [" "]}},
    "a blank subject": {"subject": " "},
    "50,000 words": {"found": {"templates": ["the " * 50_000 + "[X] is [Y]"]}},
    "beyond the model's positions": {"found": {"templates": ["the " * 100 + "[X] is [Y]"]}},
    "null": {"found": {"templates": None}},
    "numbers": {"found": {"templates": [1, 2]}},
    "a text": {"found": {"templates": "[X] [Y]"}},
    "nothing": {"found": {}},
    "no target": {"target": None},
    "an unknown target": {"target": "Atlantis"},
}


def test_edits_that_cannot_be_asked_again_are_passed_over(tmp_path):
    with new_workspace(tmp_path, "gpt2") as workspace:
        edits = {
            recorded(workspace, neuron, **({"subject": f"Lyra{neuron}"} | fields)): name
            for neuron, (name, fields) in enumerate(UNASKABLE.items())
        }
        found = workspace.evaluate()
        assert found.updates == ()
        named = {words.split()[0] for words in found.passed_over}
        assert {name for edit, name in edits.items() if edit[:12] not in named} == set()
        for edit in edits:
            assert report_edit(workspace, tmp_path / "page", edit).is_file()
        done = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        assert done.draft.metrics["earlier"] == 0


def test_of_thousands_of_templates_the_first_are_asked(tmp_path):
    many = [f"the {number} of [X] is [Y]" for number in range(60_000)]
    with new_workspace(tmp_path, "gpt2") as workspace:
        edit = recorded(workspace, found={"templates": many, "held_out": many})
        case = case_again(workspace.ledger.edit(edit))
        assert case is not None
        assert len(case.relation.templates) == 2 * ASKED_AGAIN


ODD_METRICS: dict[str, dict[str, Any]] = {
    "null": {"efficacy": None, "p_old_before": None, "p_old_after": None, "neutral_before": None},
    "half a pair": {"p_old_before": 0.5, "neutral_before": 3.0},
    "texts": {"efficacy": "good", "p_new_before": "x", "p_new_after": [1], "neutral_before": "a"},
    "lists": {"efficacy": [1.0], "accuracy_before": {}},
}


@pytest.mark.parametrize("metrics", ODD_METRICS.values(), ids=ODD_METRICS.keys())
def test_odd_metrics_stop_no_command(metrics, tmp_path, capsys):
    with new_workspace(tmp_path, "gpt2") as workspace:
        edit = recorded(workspace, metrics=metrics, found={})
        assert report_edit(workspace, tmp_path / "page", edit).is_file()
    place = ("--workspace", str(workspace.folder))
    for command in (["show", edit], ["show", edit, "--json"], ["log"], ["status"]):
        assert run([*command, *place]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert json.loads(shown[shown.index("{") : shown.rindex("}") + 1])["edit"] == edit


JUDGED_BY: dict[str, Any] = {
    "null": None,
    "a list": ["the city of France is [Y]"],
    "numbers": {"neighbours": [1, 2]},
    "a text": {"neighbours": "the city of France is [Y]"},
    "no place for an answer": {"neighbours": ["the city of France is"]},
    "nothing in front": {"neighbours": ["[Y]"]},
    "places in front": {"neighbours": ["the [X] of [Y] is [Y]"]},
    "marks": {"neighbours": ["the </s> of <s> is [Y]"]},
    "control characters": {"neighbours": ["the \x1b[2J is [Y]"]},
    "beyond the model's positions": {"neighbours": ["the " * 100 + "[Y]"]},
    "many": {"neighbours": [f"the city of France {n} is [Y]" for n in range(5000)]},
    "sound": {"neighbours": ["the city of France is [Y]"]},
}


def test_whatever_a_record_names_as_its_judges_the_edit_is_asked_again(tmp_path):
    with new_workspace(tmp_path, "gpt2") as workspace:
        for neuron, judged_by in enumerate(JUDGED_BY.values()):
            found = {"templates": SOUND, "judged_by": judged_by}
            edit = recorded(workspace, neuron, subject=f"Lyra{neuron}", found=found)
        (judge,) = case_again(workspace.ledger.edit(edit)).judges
        assert judge.cloze == "the city of France is [Y]"
        updates = workspace.evaluate().updates
        assert len(updates) == len(JUDGED_BY)
        assert all(update.specificity is not None for update in updates)
        assert all(update.generalization is not None for update in updates)


@pytest.mark.parametrize("names", [None, 7, "Roma", {"a": 1}, [" "], [7, None], ["a\0"]])
def test_what_is_no_name_of_an_answer_loses_no_fact(tmp_path, names):
    with new_workspace(tmp_path) as workspace:
        edit = recorded(workspace, found={"templates": SOUND, "aliases": names})
        case = case_again(workspace.ledger.edit(edit))
    assert case is not None and case.aliases == ()


def test_of_names_that_were_recorded_the_sound_ones_count(tmp_path):
    names = ["Roma", "", "the city"] + ["more"] * 200
    with new_workspace(tmp_path) as workspace:
        edit = recorded(workspace, found={"templates": SOUND, "answer_aliases": names})
        case = case_again(workspace.ledger.edit(edit))
    assert case is not None and case.answer_aliases == ("Roma", "the city", "more")
