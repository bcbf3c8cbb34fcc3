"""Branches of a real ledger: names that edits move on, and what leads to where they are."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from ledgers import (
    about,
    alter,
    delta_of,
    digests,
    move,
    new_ledger,
    only_sqlite,
    open_ledger,
    record,
)
from old_ledgers import old_ledger

from kn_edit.errors import (
    AlreadyThere,
    BadBranchName,
    BranchExists,
    BranchIsCurrent,
    ExitCode,
    HeadMoved,
    NameTaken,
    OnlyThere,
    UnknownBranch,
    UnknownId,
)
from kn_edit.ledger.connection import select
from kn_edit.ledger.tables import refs

pytestmark = pytest.mark.usefixtures("database")

A, B, C, D = (delta_of((0, index)) for index in (1, 2, 3, 4))


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def names(ledger):
    return [(branch.name, branch.current) for branch in ledger.branches()]


def test_a_ledger_begins_with_one_branch_and_no_row_says_that_it_is_current(ledger):
    assert names(ledger) == [("main", True)]
    with ledger._database.reading() as connection:
        assert connection.execute(select(refs)).all()[0].kind == "branch"


@only_sqlite
@pytest.mark.parametrize("schema", ["0001", "0003", "0005"])
def test_an_older_ledger_has_the_branch_main_and_can_have_more(tmp_path, schema):
    old_ledger(tmp_path / "work", schema)
    with open_ledger(tmp_path / "work") as ledger:
        head = ledger.head()
        assert names(ledger) == [("main", True)]
        ledger.make_branch("more", "base", switch=True)
        assert ledger.head().edits == ()
        ledger.switch("main")
        assert ledger.head() == head
        assert [step.kind for step in ledger.log()][-1] == "init"
        assert ledger.check() == []


def test_a_new_branch_is_at_the_head_and_not_current(ledger):
    head = record(ledger, A)
    made = ledger.make_branch("capitals")
    assert (made.name, made.kind, made.version, made.current) == (
        "capitals",
        "branch",
        head.id,
        False,
    )
    assert names(ledger) == [("capitals", False), ("main", True)]
    assert ledger.check() == []


def test_an_edit_goes_to_the_current_branch_alone(ledger, tmp_path):
    first = record(ledger, A)
    ledger.make_branch("capitals", switch=True)
    second = record(ledger, B)
    with open_ledger(tmp_path) as again:
        assert names(again) == [("capitals", True), ("main", False)]
        assert again.head() == second == again.version("capitals")
        assert again.version("main") == first
        again.switch("main")
        assert again.head() == first
        assert again.check() == []


def test_a_branch_is_made_at_a_version_a_tag_or_another_branch(ledger):
    first = record(ledger, A)
    ledger.tag("v1")
    record(ledger, B)
    for name, at in (("by-id", first.id[:8]), ("by-tag", "v1"), ("at-base", "base")):
        ledger.make_branch(name, at)
    ledger.make_branch("by-branch", "by-tag")
    assert ledger.version("by-id") == ledger.version("by-branch") == first
    assert ledger.version("at-base").edits == ()
    with pytest.raises(UnknownId):
        ledger.make_branch("nowhere", "v9")
    assert ledger.check() == []


def test_a_branch_tells_its_last_edit_and_its_last_move(ledger):
    record(ledger, A)
    ledger.make_branch("capitals")
    record(ledger, B)
    capitals, main = ledger.branches()
    assert (capitals.edit, capitals.edits, capitals.moved) == (A.id, 1, "2026-01-01T00:01:00+00:00")
    assert (main.edit, main.edits, main.message) == (B.id, 2, "a change")


@pytest.mark.parametrize("name", ["head", "Base", "MAIN", "deadbeef", "a b", "a@b", "-x", ""])
def test_names_that_are_no_names_of_branches(ledger, name):
    with pytest.raises(BadBranchName) as caught:
        ledger.make_branch(name)
    assert caught.value.exit_code == ExitCode.USAGE


def test_branches_and_tags_share_their_names(ledger):
    ledger.tag("v1")
    ledger.make_branch("capitals")
    with pytest.raises(NameTaken, match="'v1' is a tag"):
        ledger.make_branch("v1")
    with pytest.raises(BranchExists):
        ledger.make_branch("main")
    for move_it in (False, True):
        with pytest.raises(NameTaken, match="'capitals' is a branch"):
            ledger.tag("capitals", "base", move=move_it)
    remedy = r"switch\(NAME, create=True, at='v1'\)"
    with pytest.raises(UnknownBranch, match=rf"no branch but a tag.*{remedy}"):
        ledger.switch("v1")
    assert ledger.check() == []


def test_switching_to_where_one_is_records_nothing(ledger):
    before = ledger.chain()
    assert ledger.switch("main").current
    assert ledger.chain() == before


def test_the_current_branch_is_not_deleted(ledger):
    with pytest.raises(BranchIsCurrent):
        ledger.delete_branch("main", force=True)


def test_a_branch_whose_edits_no_other_has_is_deleted_by_force_alone(ledger):
    record(ledger, A)
    ledger.make_branch("capitals", switch=True)
    alone = record(ledger, B)
    ledger.switch("main")
    with pytest.raises(OnlyThere, match=B.id[:12]) as caught:
        ledger.delete_branch("capitals")
    assert (caught.value.exit_code, caught.value.edits) == (ExitCode.CONFLICT, (B.id,))
    assert ledger.delete_branch("capitals", force=True).version == alone.id
    assert names(ledger) == [("main", True)]
    ledger.make_branch("capitals", alone.id)  # what it had is there still
    assert ledger.version("capitals") == alone
    assert ledger.check() == []


@pytest.mark.parametrize("keep", ["tag", "branch", "move"])
def test_a_branch_whose_edits_are_kept_elsewhere_is_deleted(ledger, keep):
    ledger.make_branch("capitals", switch=True)
    record(ledger, A)
    if keep == "tag":
        ledger.tag("v1")
    elif keep == "branch":
        ledger.make_branch("other")
    ledger.switch("main")
    if keep == "move":
        move(ledger, ledger.plan_compose(["capitals"]))
    ledger.delete_branch("capitals")
    assert "capitals" not in dict(names(ledger))
    assert ledger.check() == []


@pytest.mark.parametrize("current", [True, False])
def test_a_renamed_branch_keeps_its_version_and_its_log(ledger, current):
    record(ledger, A)
    ledger.make_branch("other", switch=not current)
    before = [step.seq for step in ledger.log(branch="main")]
    renamed = ledger.rename_branch("main", "trunk")
    assert (renamed.name, renamed.current) == ("trunk", current)
    assert [step.seq for step in ledger.log(branch="trunk")] == before
    with pytest.raises(UnknownId):
        ledger.version("main")
    record(ledger, B)
    assert (ledger.version("trunk") == ledger.head()) == current
    with pytest.raises(BranchExists):
        ledger.rename_branch("trunk", "other")
    assert ledger.check() == []
    ledger.make_branch("main", "base")  # the name is free again
    assert ledger.version("main").edits == ()
    assert ledger.check() == []


def test_every_move_moves_the_current_branch(ledger):
    record(ledger, A)
    ledger.make_branch("capitals", switch=True)
    record(ledger, B)
    move(ledger, ledger.plan_revert(A.id))
    move(ledger, ledger.plan_rewind("base"))
    move(ledger, ledger.plan_compose(["main"]))
    assert [step.kind for step in ledger.log()][:4] == ["compose", "rewind", "revert", "update"]
    assert {step.branch for step in ledger.log()[:4]} == {"capitals"}
    assert ledger.version("main").edits == (A.id,)
    move(ledger, ledger.plan_rewind("root"))
    assert ledger.head().edits == ()
    with pytest.raises(AlreadyThere):
        ledger.plan_rewind("capitals")


def test_a_plan_is_recorded_on_its_branch_whichever_is_current_by_then(ledger, tmp_path):
    plan = ledger.plan_edit(A, "update", "a change")
    with open_ledger(tmp_path) as other:
        other.make_branch("capitals", switch=True)
    ledger.advance(plan, digests([A]), edit=about(A))
    assert ledger.version("main").edits == (A.id,)
    assert ledger.head().edits == ()
    assert ledger.check() == []


def test_a_plan_for_a_branch_that_moved_or_is_no_more_records_nothing(ledger, tmp_path):
    ledger.make_branch("capitals", switch=True)
    plan = ledger.plan_edit(A, "update", "a change")
    with open_ledger(tmp_path) as other:
        record(other, B)
        with pytest.raises(HeadMoved):
            ledger.advance(plan, digests([A]), edit=about(A))
        other.switch("main")
        other.delete_branch("capitals", force=True)
    with pytest.raises(UnknownBranch):
        ledger.advance(plan, digests([A]), edit=about(A))
    assert [edit.id for edit in ledger.edits()] == [B.id]


def test_the_log_of_a_branch_goes_on_in_that_of_the_one_it_was_made_from(ledger):
    record(ledger, A)
    ledger.make_branch("capitals", switch=True)
    record(ledger, B)
    ledger.switch("main")
    record(ledger, C)
    log = ledger.log(branch="capitals")
    assert [(step.branch, step.edit) for step in log] == [
        ("capitals", B.id),
        ("main", A.id),
        ("main", None),
    ]
    assert [step.refs for step in log] == [("capitals",), (), ()]
    assert [step.edit for step in ledger.log(1, "capitals")] == [B.id]
    with pytest.raises(UnknownBranch):
        ledger.log(branch="nothing")


def test_a_version_tells_every_move_that_led_to_it(ledger):
    first = record(ledger, A)
    ledger.make_branch("other", switch=True)
    record(ledger, B)
    move(ledger, ledger.plan_revert(B.id))
    moves = ledger.moves_to(ledger.head())
    assert [(step.branch, step.kind) for step in moves] == [
        ("other", "revert"),
        ("other", "branch"),
        ("main", "update"),
    ]
    assert {step.edits for step in moves} == {first.edits}


def test_the_log_takes_the_way_of_its_own_branch_where_two_led_to_one_version(ledger):
    record(ledger, A)
    ledger.make_branch("detour", switch=True)
    record(ledger, B)
    move(ledger, ledger.plan_revert(B.id))  # the version of main again
    ledger.switch("main")
    ledger.make_branch("straight")
    assert [step.kind for step in ledger.log(branch="straight")] == ["update", "init"]


def test_a_branch_at_a_version_of_no_branch_before_begins_with_its_own_event(ledger):
    record(ledger, A)
    ledger.make_branch("old", "base")
    step, first = ledger.log(branch="old")
    assert (step.kind, step.branch, first.kind) == ("branch", "old", "init")


def test_the_graph_has_every_step_of_all_branches_once_with_those_before_it(ledger):
    record(ledger, A)  # event 2
    ledger.make_branch("one", switch=True)
    record(ledger, B)
    ledger.switch("main")
    ledger.make_branch("two", switch=True)
    record(ledger, C)
    ledger.switch("main")
    record(ledger, D)
    merged = move(ledger, ledger.plan_compose(["main", "one", "two"]))
    graph = ledger.graph()
    seqs = [step.seq for step in graph]
    assert seqs == sorted(set(seqs), reverse=True)
    of = {step.edit: step for step in graph if step.edit}
    assert graph[0].version == merged.id
    assert graph[0].after == (of[D.id].seq, of[B.id].seq, of[C.id].seq)
    assert of[B.id].after == of[C.id].after == of[D.id].after == (of[A.id].seq,)
    assert [step.refs for step in graph if step.refs] == [("main",), ("two",), ("one",)]
    assert [step.seq for step in ledger.graph(2)] == seqs[:2]


def test_the_graph_shows_what_was_merged_of_a_branch_that_is_no_more(ledger):
    ledger.make_branch("one", switch=True)
    record(ledger, A)
    ledger.switch("main")
    record(ledger, B)
    move(ledger, ledger.plan_compose(["one"]))
    ledger.delete_branch("one")
    graph = ledger.graph()
    assert [step.edit for step in graph] == [None, B.id, A.id, None]
    assert graph[0].after == (graph[1].seq, graph[2].seq)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE refs SET kind = 'current' WHERE name = 'main'",  # two are current
        "UPDATE refs SET kind = 'branch'",
        "UPDATE refs SET kind = 'tag' WHERE name = 'main'",
        "UPDATE refs SET kind = 'whim' WHERE name = 'main'",
        "DELETE FROM refs WHERE name = 'main'",
        "DELETE FROM refs WHERE name = 'capitals'",
        "INSERT INTO refs SELECT 1, 'more', 'branch', version_id FROM refs LIMIT 1",
    ],
)
def test_a_row_of_refs_that_no_event_put_there_is_found(ledger, damage):
    record(ledger, A)
    ledger.make_branch("capitals", switch=True)
    record(ledger, B)
    assert ledger.check() == []
    alter(ledger, damage)
    assert "refs" in {problem.part for problem in ledger.check()}


NAMES = ("main", "a", "b", "c")


class Branching(RuleBasedStateMachine):
    """Branches against a plain dictionary of them."""

    @initialize()
    def begin(self):
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        self.ledger = new_ledger(Path(self.folder.name))
        self.tips = {"main": ()}
        self.current = "main"
        self.count = 0

    @rule(name=st.sampled_from(NAMES), at=st.sampled_from(NAMES))
    def make(self, name, at):
        if name in self.tips:
            with pytest.raises(BranchExists):
                self.ledger.make_branch(name)
        elif at in self.tips:
            self.ledger.make_branch(name, at)
            self.tips[name] = self.tips[at]

    @rule(name=st.sampled_from(NAMES))
    def switch(self, name):
        if name in self.tips:
            self.ledger.switch(name)
            self.current = name
        else:
            with pytest.raises(UnknownBranch):
                self.ledger.switch(name)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name):
        others = {edit for other, edits in self.tips.items() if other != name for edit in edits}
        if name not in self.tips or name == self.current:
            with pytest.raises((UnknownBranch, BranchIsCurrent)):
                self.ledger.delete_branch(name, force=True)
        elif set(self.tips[name]) - others:
            with pytest.raises(OnlyThere):
                self.ledger.delete_branch(name)
        else:
            self.ledger.delete_branch(name)
            del self.tips[name]

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def rename(self, name, to):
        if name in self.tips and to not in self.tips:
            self.ledger.rename_branch(name, to)
            self.tips[to] = self.tips.pop(name)
            self.current = to if self.current == name else self.current

    @rule()
    def edit(self):
        self.count += 1
        delta = delta_of((0, self.count % 6), value=float(self.count))
        record(self.ledger, delta)
        self.tips[self.current] += (delta.id,)

    @rule(name=st.sampled_from(NAMES))
    def take_in(self, name):
        if name in self.tips and set(self.tips[name]) - set(self.tips[self.current]):
            move(self.ledger, self.ledger.plan_compose([name], allow_overlap=True))
            new = [edit for edit in self.tips[name] if edit not in self.tips[self.current]]
            self.tips[self.current] += tuple(new)

    @invariant()
    def is_as_it_should_be(self):
        if not hasattr(self, "ledger"):
            return
        branches = self.ledger.branches()
        assert [branch.name for branch in branches if branch.current] == [self.current]
        found = {branch.name: self.ledger.version(branch.name).edits for branch in branches}
        assert found == self.tips
        graph = self.ledger.graph()
        assert sorted(name for step in graph for name in step.refs) == sorted(self.tips)
        assert all(seq < step.seq for step in graph for seq in step.after)
        for name in self.tips:
            assert self.ledger.log(branch=name)[-1].kind == "init"

    def teardown(self):
        if hasattr(self, "ledger"):
            assert self.ledger.check() == []
            self.ledger.close()
            self.folder.cleanup()


@only_sqlite
def test_branches_hold_whatever_is_done_to_them():
    steps = settings(
        max_examples=12,
        stateful_step_count=12,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(Branching, settings=steps)
