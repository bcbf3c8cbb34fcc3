"""An edit of many facts is told, published, pulled and undone as one edit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_desk import Desk, desk_of
from ledgers import about_many
from workspaces import contents, exported, new_workspace

from kn_edit.edits.build import delta_of
from kn_edit.edits.changes import Mode
from kn_edit.neuron import NeuronId
from kn_edit.workspace import FactChange, Workspace

SUBJECTS = ("Japan", "France", "Cuba")
BY_FACT = [
    {"templates": ["[X] is [Y]"], "metrics": {"efficacy": share, "specificity": 1.0}}
    for share in (1.0, 0.5, 0.25)
]


def recorded(workspace: Workspace, neuron: int, subjects: tuple[str, ...]) -> str:
    """Record an edit of many facts that was made by hand."""
    values = torch.full((1, workspace.engine.model.d_model), 0.25)
    delta = delta_of(workspace.engine.place, [NeuronId(0, neuron)], values, Mode.ADD)
    edit = replace(about_many(delta, *subjects), found={"by_fact": BY_FACT[: len(subjects)]})
    plan = workspace.ledger.plan_edit(delta, "update", edit.message)
    return workspace._advance(plan, edit).edits[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many_facts")
    with new_workspace(folder) as workspace:
        recorded(workspace, 3, SUBJECTS[:1])
        recorded(workspace, 5, SUBJECTS)
    Workspace.init(str(folder / "model"), folder / "empty").close()
    return folder


@pytest.fixture(scope="module")
def workspace(folder) -> Iterator[Workspace]:
    with Workspace.open(folder / "work") as workspace:
        yield workspace


@pytest.fixture(scope="module")
def desk(folder) -> Iterator[Desk]:
    with desk_of(folder / "work") as desk:
        yield desk


def test_show_lists_every_fact_with_its_figures(workspace, desk):
    one, many = workspace.head.edits
    plain = desk("show", many, "--json").json
    assert [fact["subject"] for fact in plain["facts"]] == [*SUBJECTS]
    assert plain["facts"][1] == {
        "relation": "capital", "subject": "France", "answer": "France old", "target": "Rome"
    }  # fmt: skip
    assert (plain["relation"], plain["subject"]) == ("capital", "Japan")
    assert "further" not in plain
    assert [len(desk("show", one, "--json").json["facts"])] == [1]
    text = desk("show", many).out
    assert all(f"capital: {subject}" in text for subject in SUBJECTS)
    assert "0.25" in text and "France old" in text
    assert "capital: Japan" not in desk("show", one).out
    assert workspace.show(many).facts[2] == FactChange("capital", "Cuba", "Cuba old", "Rome")


def test_log_blame_diff_and_status_name_it_by_its_message(workspace, desk):
    many = workspace.head.edits[1]
    for command in (("log",), ("status",), ("diff", "base"), ("blame", "L0.5")):
        assert "Japan: Paris -> Rome, and 2 more" in desk(*command).out
    (blamed,) = desk("blame", "L0.5", "--json").json
    assert blamed["edit"] == many and len(blamed["facts"]) == 3


def test_the_card_has_a_row_for_each_fact(workspace, desk):
    assert desk("push", "ann/many", "--as", "delta").code == 0
    card = desk.hub.read("ann/many", "README.md").decode()
    rows = [line for line in card.splitlines() if line.startswith("| capital:")]
    assert len(rows) == 4  # one of the first edit, three of the second
    assert "| 3 facts in one edit, the means |" in card
    assert "| capital: Cuba | Cuba old | Rome |  | 0.25 |  | 1.00 |  |" in card
    record = json.loads(
        desk.hub.read("ann/many", f"kn_edit/{workspace.head.edits[1]}.json").decode()
    )
    assert record["format"] == "kn-record/2" and len(record["facts"]) == 3
    first = json.loads(
        desk.hub.read("ann/many", f"kn_edit/{workspace.head.edits[0]}.json").decode()
    )
    assert first["format"] == "kn-record/1" and "facts" not in first


def test_whoever_pulls_it_has_every_fact_and_can_undo_it(workspace, desk, folder, tmp_path):
    assert desk("push", "ann/pulled", "--as", "delta").code == 0
    bob = shutil.copytree(folder / "empty", tmp_path / "bob")
    assert desk("pull", "ann/pulled", workspace=bob).code == 0
    assert desk("verify", workspace=bob).code == 0
    with Workspace.open(bob) as pulled:
        assert pulled.head == workspace.head
        for edit in workspace.head.edits:
            assert pulled.show(edit).facts == workspace.show(edit).facts
            assert pulled.show(edit).by_fact == workspace.show(edit).by_fact
    for edit in workspace.head.edits:
        assert desk("revert", edit, workspace=bob).code == 0
    with Workspace.open(bob) as reverted:
        assert contents(exported(reverted)) == contents(Path(reverted.base.source))


def test_a_backup_keeps_every_fact(workspace, desk, tmp_path):
    assert desk("backup", str(tmp_path / "b.tar")).code == 0
    restored = tmp_path / "restored"
    assert desk("restore", str(tmp_path / "b.tar"), workspace=restored).code == 0
    with Workspace.open(restored) as back:
        assert back.ledger.edits() == workspace.ledger.edits()
