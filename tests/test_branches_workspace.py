"""What a workspace does beside branches: weights, proof, files and pages know all of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from workspaces import QUICK, about, exported, new_workspace, quick, shard

from kn_edit.errors import EditNotApplied, UnknownBranch
from kn_edit.experiments.reporting import report, report_edit
from kn_edit.workspace import Workspace

ANY_AGE = timedelta(minutes=-1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


def updated(workspace: Workspace, subject: str, to: str, *neurons: tuple[int, int]) -> str:
    how = quick(*neurons) if neurons else QUICK
    return str(workspace.update(about(subject), to, how=how, accept=True).edit)


@pytest.fixture
def workspace(tmp_path):
    """France on main; Japan, too, on the branch other, which is the current one."""
    with new_workspace(tmp_path) as made:
        updated(made, "France", "Rome", (0, 3))
        made.switch("other", create=True)
        updated(made, "Japan", "Oslo", (1, 4))
        yield made


def test_each_branch_has_its_own_weights_and_a_merge_those_of_both(workspace):
    main, other = (shard(exported(workspace, name)) for name in ("main", "other"))
    assert main != other
    workspace.switch("main")
    cuba = updated(workspace, "Cuba", "Oslo", (0, 5))
    france, japan = workspace.show("other").edits
    merged = workspace.merge("other")
    assert merged.edits == (france, cuba, japan)
    workspace.revert(cuba)
    assert shard(exported(workspace)) == other
    workspace.revert(japan)
    assert shard(exported(workspace)) == main
    assert workspace.verify() == []


def test_a_revert_and_a_rewind_leave_other_branches_alone(workspace):
    france, japan = workspace.head.edits
    workspace.revert(france)
    assert workspace.show("main").edits == (france,)
    workspace.switch("main")
    with pytest.raises(EditNotApplied):
        workspace.revert(japan)
    workspace.rewind("other")
    assert workspace.head.edits == (japan,)
    assert [branch.edits for branch in workspace.branches()] == [1, 1]


def test_diff_and_blame_know_branches(workspace):
    _, japan = workspace.head.edits
    difference = workspace.diff("main", "other")
    assert (difference.only_a, difference.only_b) == ((), (japan,))
    assert workspace.blame("L1.4")[0].in_head
    workspace.switch("main")
    (blamed,) = workspace.blame("L1.4")
    assert (blamed.edit.id, blamed.in_head) == (japan, False)


def test_a_tag_stays_where_it_is_whatever_its_branch_does(workspace):
    tagged = workspace.tag("v1", "other").version
    workspace.rewind("base")
    workspace.switch("main")
    workspace.delete_branch("other")
    assert workspace.show("v1").id == tagged
    assert workspace.verify() == []


def test_gc_takes_nothing_that_a_branch_holds_or_held(workspace):
    (_, japan) = workspace.head.edits
    alone = workspace.head.id
    workspace.switch("main")
    workspace.delete_branch("other", force=True)
    assert workspace.gc(older_than=ANY_AGE) == []
    workspace.branch("again", alone)
    assert workspace.ledger.delta(japan).id == japan
    assert workspace.verify() == []


def test_verify_rebuilds_the_versions_of_every_branch(workspace):
    alone = workspace.head.id
    workspace.switch("main")
    with closing(sqlite3.connect(workspace.folder / ".kn-edit" / "ledger.db")) as database:
        values = ("0" * 64, alone)
        database.execute("UPDATE version_tensors SET sha256 = ? WHERE version_id = ?", values)
        database.commit()
    with Workspace.open(workspace.folder) as again:
        found = [(one.part, one.subject) for one in again.verify()]
    assert ("version", alone) in found


def test_a_backup_brings_all_branches_back_and_the_current_one(workspace, tmp_path):
    workspace.backup(tmp_path / "saved.tar")
    before = workspace.branches()
    restored = Workspace.restore(tmp_path / "saved.tar", tmp_path / "elsewhere")
    assert restored.version == workspace.head.id
    with Workspace.open(tmp_path / "elsewhere") as again:
        assert again.branches() == before
        assert again.current_branch == "other"
        assert again.graph() == workspace.graph()
        assert again.ledger.check() == []


def test_the_page_of_an_edit_tells_its_history_on_any_branch(workspace, tmp_path):
    (_, japan) = workspace.head.edits
    workspace.switch("main")
    page = report_edit(workspace, tmp_path / "page", japan)
    history = page.read_text().rpartition("History")[2]
    assert "Japan, Tokyo" in history


def test_the_page_of_a_version_tells_the_history_of_the_branch_that_names_it(workspace, tmp_path):
    page = report(workspace, tmp_path / "page", version="main").read_text()
    history = page.rpartition("History")[2]
    assert "France, Paris" in history
    assert "Japan" not in history


def test_looking_at_branches_writes_nothing(tmp_path):
    with new_workspace(tmp_path) as workspace:
        database = workspace.folder / ".kn-edit" / "ledger.db"
        before = database.read_bytes()
        assert [branch.name for branch in workspace.branches()] == ["main"]
        assert workspace.current_branch == "main"
        assert [step.kind for step in workspace.graph()] == ["init"]
        assert database.read_bytes() == before


def test_a_branch_that_was_deleted_while_an_edit_was_at_work_takes_none(tmp_path):
    with new_workspace(tmp_path) as first:
        first.branch("other")

    def delete(part: str, done: float, total: float) -> None:
        with Workspace.open(first.folder) as other:
            if other.current_branch == "other":
                other.switch("main")
                other.delete_branch("other")

    with Workspace.open(first.folder) as workspace:
        workspace.switch("other")
    with Workspace.open(Path(first.folder), progress=delete) as workspace:
        with pytest.raises(UnknownBranch):
            workspace.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
        assert workspace.ledger.edits() == []
        assert workspace.head.edits == ()
