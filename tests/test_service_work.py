"""The table of verbs: JSON in, a call of the workspace, the JSON of the command line out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from workspaces import new_workspace

from kn_edit.errors import BadArguments, BadSetting, GateFailed, HeadMoved, SameAnswer
from kn_edit.service.work import perform
from kn_edit.workspace import Workspace

PROMPTS = ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"]
FRANCE = {"prompts": PROMPTS, "subject": "France", "answer": "Paris", "to": "Rome"}
QUICK = {"rule": "activation", "method": "closed-form", "neurons": "L0.3", "accept": True}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with new_workspace(tmp_path) as made:
        yield made


def update(workspace: Workspace, **arguments: Any) -> dict[str, Any]:
    return perform(workspace, "update", FRANCE | QUICK | arguments, branch="main")


def test_an_update_and_its_revert(workspace: Workspace) -> None:
    base = workspace.head.id
    edited = update(workspace)
    assert (edited["subject"], edited["answer"], edited["target"]) == ("France", "Paris", "Rome")
    assert edited["version"] == workspace.head.id
    reverted = perform(workspace, "revert", {"edit": edited["edit"][:8]}, branch="main")
    assert (reverted["version"], reverted["edits"]) == (base, [])
    assert reverted["refs"] == ["main"]


def test_an_update_goes_to_the_branch_that_is_named_and_is_told_its_refs(
    workspace: Workspace,
) -> None:
    workspace.branch("other")
    edited = perform(workspace, "update", FRANCE | QUICK, branch="other")
    assert workspace.head.edits == ()
    assert workspace.ledger.version("other").edits == (edited["edit"],)
    reverted = perform(workspace, "revert", {"edit": edited["edit"]}, branch="other")
    assert reverted["refs"] == ["main", "other"]


def test_a_head_that_is_not_the_expected_one_is_told(workspace: Workspace) -> None:
    edited = update(workspace)
    arguments = FRANCE | QUICK | {"subject": "Japan", "to": "Oslo"}
    base = workspace.ledger.version_id("base")
    with pytest.raises(HeadMoved):
        perform(workspace, "update", arguments, branch="main", expected_head=base)
    assert workspace.head.id == edited["version"]


def test_the_gate_refuses_as_elsewhere(workspace: Workspace) -> None:
    with pytest.raises(GateFailed):
        update(workspace, accept=False, scale=[0.0, 0.0])
    assert workspace.head.edits == ()


def test_a_fact_that_has_its_new_answer_is_told_before_anything_is_computed(
    workspace: Workspace,
) -> None:
    update(workspace)
    with pytest.raises(SameAnswer):
        update(workspace)


def test_held_out_prompts_only_judge(workspace: Workspace) -> None:
    held_out = ["the city which is the capital of [X] is [Y]"]
    edited = update(workspace, held_out=held_out)
    assert [each["prompt"] for each in edited["paraphrases"]] == [
        "the city which is the capital of France is [Y]"
    ]
    assert len(edited["after"]) == len(PROMPTS)


@pytest.mark.parametrize(
    ("verb", "arguments", "place"),
    [
        ("update", {"subject": "x" * 201}, "subject"),
        ("update", {"prompts": ["[X] is [Y]"] * 51}, "prompts"),
        ("update", {"subject": 7}, "subject"),
        ("update", {"min_efficacy": float("nan")}, "min_efficacy"),
        ("update", {"accept": "yes"}, "accept"),
        ("update", {"slots": 0}, "slots"),
        ("update", {"workspace": "/tmp"}, "workspace"),
        ("revert", {}, "edit"),
        ("revert", {"edit": "abc"}, "edit"),
    ],
)
def test_arguments_that_do_not_fit_are_told_by_their_place(
    workspace: Workspace, verb: str, arguments: dict[str, Any], place: str
) -> None:
    with pytest.raises(BadArguments) as refused:
        perform(workspace, verb, arguments, branch="main")
    assert {at.partition(".")[0] for at, _ in refused.value.problems} == {place}
    assert place in str(refused.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"relation": "/etc/passwd", "subject": "France", "to": "Rome"},
        {"relation": "capitol", "subject": "France", "to": "Rome"},
        FRANCE | {"steps": 20},
        FRANCE | {"slots": 5, "method": "closed-form"},
        FRANCE | {"held_out": ["[X] is [Y]"], "prompts": [], "relation": "capital"},
    ],
)
def test_arguments_that_do_not_go_together_are_told(
    workspace: Workspace, arguments: dict[str, Any]
) -> None:
    with pytest.raises(BadSetting):
        perform(workspace, "update", arguments, branch="main")


def test_a_verb_that_is_not_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadSetting):
        perform(workspace, "init", {})
