"""The table of verbs: JSON in, a call of the workspace, the JSON of the command line out."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from workspaces import new_workspace

from kn_edit.errors import (
    BadArguments,
    BadSetting,
    EditAlreadyApplied,
    GateFailed,
    HeadMoved,
    SameAnswer,
    UnknownProposal,
)
from kn_edit.errors.remedies import PLAIN
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.proposals import KEPT_SECONDS, MOST, Proposals, metadata
from kn_edit.service.work import perform
from kn_edit.workspace import Workspace, editing

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


def test_what_was_tried_out_is_recorded_with_the_same_bytes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = update(workspace, accept=False, dry_run=True)
    assert tried["edit"] is None and workspace.head.edits == ()
    proposed = kept_deltas(workspace)
    monkeypatch.setattr(editing, "update", None)  # nothing is computed again
    with pytest.raises(GateFailed) as refused:
        perform(workspace, "record", {"proposal": tried["proposal"]}, branch="main")
    assert refused.value.document(PLAIN)["detail"]["faults"] == tried["faults"]
    arguments = {"proposal": tried["proposal"], "accept": True}
    recorded = perform(workspace, "record", arguments, branch="main")
    (edit,) = workspace.head.edits
    proposal = {"proposal": tried["proposal"]}
    assert recorded | proposal == tried | {"edit": edit, "version": workspace.head.id}
    assert [delta.to_bytes() for delta in workspace.ledger.deltas([edit])] == proposed
    record = workspace.ledger.edit(edit)
    assert record.found == tried["found"] and record.metrics == tried["metrics"]
    with pytest.raises(EditAlreadyApplied):
        perform(workspace, "record", arguments, branch="main")
    workspace.verify()


def test_what_was_tried_out_is_recorded_on_the_version_of_that_alone(workspace: Workspace) -> None:
    tried = update(workspace, dry_run=True)
    version = update(workspace, subject="Japan", answer="Tokyo", to="Oslo")["version"]
    arguments = {"proposal": tried["proposal"], "accept": True}
    with pytest.raises(HeadMoved):
        perform(workspace, "record", arguments, branch="main")
    assert workspace.head.id == version


def test_it_is_the_edit_that_recording_at_once_would_have_made(workspace: Workspace) -> None:
    workspace.branch("other")
    tried = update(workspace, dry_run=True)
    at_once = update(workspace)
    arguments = {"proposal": tried["proposal"], "accept": True}
    recorded = perform(workspace, "record", arguments, branch="other")
    assert (recorded["edit"], recorded["version"]) == (at_once["edit"], at_once["version"])


def test_what_the_gate_refused_can_be_recorded_as_it_was_measured(workspace: Workspace) -> None:
    with pytest.raises(GateFailed) as refused:
        update(workspace, accept=False)
    measured = refused.value.document(PLAIN)["detail"]["measured"]
    arguments = {"proposal": measured["proposal"], "accept": True}
    recorded = perform(workspace, "record", arguments, branch="main")
    assert workspace.head.edits == (recorded["edit"],)


def test_proposals_are_kept_for_a_week_and_the_newest_ones(workspace: Workspace) -> None:
    tried = update(workspace, dry_run=True)
    moment = time.time()
    with closing(ServiceDatabase.of(workspace.folder, metadata)) as database:
        proposals = Proposals(database, lambda: moment)
        proposal = proposals.proposal(tried["proposal"])
        ids = [proposals.keep(proposal) for _ in range(MOST)]
        assert proposals.proposal(ids[0]).result == proposal.result
        with pytest.raises(UnknownProposal):
            proposals.proposal(tried["proposal"])
        moment += KEPT_SECONDS + 1
        with pytest.raises(UnknownProposal):
            proposals.proposal(ids[-1])
        proposals.keep(proposal)
    assert len(kept_deltas(workspace)) == 1


def kept_deltas(workspace: Workspace) -> list[bytes]:
    """The delta files of the proposals that are kept."""
    with closing(sqlite3.connect(workspace.ledger_folder / "service.db")) as connection:
        return [delta for (delta,) in connection.execute("SELECT delta FROM proposals")]


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


def test_other_names_of_the_answers_are_recorded(workspace: Workspace) -> None:
    edited = update(workspace, aliases=["Roma"], answer_aliases=["Lutetia"])
    found = workspace.ledger.edit(edited["edit"]).found
    assert (found["aliases"], found["answer_aliases"]) == (["Roma"], ["Lutetia"])


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
