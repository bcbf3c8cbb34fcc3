"""A call that names a branch: its verbs act there, and only on the head that it expects."""

from __future__ import annotations

import pytest
from workspaces import QUICK, about, exported, new_workspace, quick, shard

from kn_edit.errors import EditNotApplied, HeadMoved, UnknownBranch
from kn_edit.workspace import Workspace


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def workspace(tmp_path):
    """France on main, which is current; the branch other is at the base."""
    with new_workspace(tmp_path) as made:
        made.branch("other")
        updated(made, "France", "Rome", (0, 3))
        yield made


def updated(workspace: Workspace, subject: str, to: str, *neurons: tuple[int, int]) -> str:
    how = quick(*neurons) if neurons else QUICK
    return str(workspace.update(about(subject), to, how=how, accept=True).edit)


def test_an_update_goes_to_the_branch_of_the_call(workspace):
    main = workspace.head
    with workspace.call(branch="other"):
        japan = updated(workspace, "Japan", "Oslo", (1, 4))
        assert workspace.head.edits == (japan,)
        assert workspace.log()[0].edit == japan
        weights = shard(workspace.export(workspace.folder.parent / "in-the-call"))
    assert weights == shard(exported(workspace, "other"))
    assert workspace.head == main
    assert workspace.current_branch == "main"
    assert workspace.show("other").edits == (japan,)


def test_it_is_the_update_that_the_branch_gets_when_it_is_current(tmp_path, workspace):
    with workspace.call(branch="other"):
        there = workspace.update(about("Japan"), "Oslo", how=quick((1, 4)), accept=True)
    with new_workspace(tmp_path / "second") as second:
        here = second.update(about("Japan"), "Oslo", how=quick((1, 4)), accept=True)
    assert (there.edit, there.draft.metrics) == (here.edit, here.draft.metrics)


def test_moves_are_those_of_the_branch_of_the_call(workspace):
    (france,) = workspace.head.edits
    with workspace.call(branch="other"):
        with pytest.raises(EditNotApplied):
            workspace.revert(france)
        assert workspace.merge("main").edits == (france,)
        assert workspace.rewind("base").edits == ()
        assert workspace.compose("main").edits == (france,)
        assert workspace.revert(france).edits == ()
        assert workspace.tag("there").version == workspace.ledger.version_id("other")
    assert workspace.head.edits == (france,)
    assert workspace.verify() == []


def test_the_innermost_branch_counts(workspace):
    with workspace.call(branch="other"), workspace.call():
        assert workspace.head.edits == ()
        with workspace.call(branch="main"):
            assert len(workspace.head.edits) == 1


def test_a_branch_that_is_not_there_is_refused(workspace):
    with workspace.call(branch="none"), pytest.raises(UnknownBranch):
        updated(workspace, "Japan", "Oslo")


@pytest.mark.parametrize(
    "move",
    [
        lambda workspace: updated(workspace, "Japan", "Oslo"),
        lambda workspace: workspace.revert(workspace.ledger.version("main").edits[0]),
        lambda workspace: workspace.rewind("base"),
        lambda workspace: workspace.compose(["base", "main"]),
        lambda workspace: workspace.merge("main"),
    ],
    ids=["update", "revert", "rewind", "compose", "merge"],
)
def test_a_verb_begins_only_at_the_head_that_is_expected(workspace, move):
    base = workspace.ledger.version_id("base")
    before = workspace.log()
    with workspace.call(expected_head=base), pytest.raises(HeadMoved) as moved:
        move(workspace)
    assert (moved.value.expected, moved.value.actual) == (base, workspace.head.id)
    assert workspace.log() == before


def test_what_the_call_records_is_the_head_that_it_expects_next(workspace):
    with workspace.call(expected_head=workspace.head.id):
        japan = updated(workspace, "Japan", "Oslo", (1, 4))
        workspace.revert(japan)
    assert len(workspace.head.edits) == 1


def test_an_update_is_not_recorded_on_a_head_that_moved_meanwhile(workspace):
    head, tasks = workspace.head.id, []

    def move(task: str, done: int, total: int) -> None:
        if task == "measuring" and "measuring" not in tasks:
            with Workspace.open(workspace.folder) as other:
                other.rewind("base")
        tasks.append(task)

    with workspace.call(progress=move, expected_head=head), pytest.raises(HeadMoved):
        updated(workspace, "Japan", "Oslo", (1, 4))
    assert workspace.head.edits == ()
    assert "recording" not in tasks
    assert [edit.subject for edit in workspace.ledger.edits()] == ["France"]
