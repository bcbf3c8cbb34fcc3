"""A log tells which edits were recorded although the gate refused them."""

from __future__ import annotations

import sqlite3

import pytest
from workspaces import QUICK, about, new_workspace, quick

from kn_edit.evaluation.gate import Gate
from kn_edit.ledger import parts
from kn_edit.workspace import Workspace

WEAK = quick((0, 0), closed_form=True)  # which no gate lets pass
LAX = quick((0, 1), closed_form=True, gate=Gate(0.0, 0.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A workspace with an edit against the gate, one that passed it, and one more against it."""
    root = tmp_path_factory.mktemp("overruled")
    with new_workspace(root) as workspace:
        workspace.update(about("France"), "Rome", how=WEAK, accept=True)
        workspace.update(about("Japan"), "Rome", how=LAX)
        workspace.branch("other")
        workspace.update(about("Cuba"), "Rome", how=WEAK, accept=True)
    return root / "work"


def marks(workspace: Workspace, *, every: bool = False, most: int | None = None) -> list[bool]:
    steps = workspace.graph(most) if every else workspace.log(most)
    return [step.overruled for step in steps if step.edit]


def test_a_log_and_a_graph_mark_them(folder):
    with Workspace.open(folder) as workspace:
        assert marks(workspace) == marks(workspace, every=True) == [True, False, True]
        assert marks(workspace, most=1) == [True]


def test_a_long_log_is_looked_at_as_a_whole(folder, monkeypatch):
    monkeypatch.setattr(parts, "AT_ONCE", 1)
    with Workspace.open(folder) as workspace:
        assert marks(workspace) == [True, False, True]


def test_people_and_scripts_see_the_mark(folder, shell):
    log = shell("log", "--workspace", str(folder))
    assert (log.out.count("! capital: "), log.out.count("  capital: ")) == (2, 1)
    assert "! capital: France" in log.out
    assert "although the gate refused them" in log.err
    graph = shell("log", "--all", "--workspace", str(folder))
    assert graph.out.count("! capital: ") == 2
    assert "although the gate refused them" in graph.err
    assert "gate" not in shell("log", "-q", "--workspace", str(folder)).err
    assert all(len(line) <= 80 for line in graph.lines)
    steps = shell("log", "--json", "--workspace", str(folder)).json
    assert [step["overruled"] for step in steps if step["edit"]] == [True, False, True]


@pytest.mark.parametrize(
    "damage", ["{", "[]", "7", '{"gate": 1}', '{"gate": {"faults": 3}}', "\x00"]
)
def test_a_damaged_record_is_no_reason_to_show_no_log(tmp_path, damage):
    with new_workspace(tmp_path) as workspace:
        done = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        path = workspace.ledger_folder / "ledger.db"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE attributions SET found = ? WHERE edit_id = ?", (damage, done.edit))
    database.close()
    with Workspace.open(tmp_path / "work") as workspace:
        assert marks(workspace) == [False]
