"""Edits that were computed while others moved the head: kept, measured again, recorded."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from workspaces import CAPITAL, TEMPLATES, Way, about, known_by, new_workspace, quick

from kn_edit.errors import EditNotApplied, GateFailed, HeadMoved, SameAnswer
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Fact, Relation, Template
from kn_edit.workspace import Case, Edited, Workspace, case_of, recording
from kn_edit.workspace.turns import turn

ANY = Gate(efficacy=0.0, specificity=0.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


def gentle(*neurons: tuple[int, int], gate: Gate = ANY, l2: float = 0.1) -> Way:
    """A quick edit that changes little, without a solver."""
    return replace(quick(*neurons), closed_form=True, scale=(0.0, l2), gate=gate)


def meanwhile(folder: Path, act: Callable[[Workspace], object], times: int = 1) -> Any:
    """A progress that lets another process act the first times that an edit is measured."""
    left = times

    def hear(what: str, done: int, total: int) -> None:
        nonlocal left
        if what == "measuring" and left:
            left -= 1
            with Workspace.open(folder) as other:
                act(other)

    return hear


def update_japan(other: Workspace) -> Edited:
    return other.update(about("Japan"), "Oslo", how=gentle((0, 1)))


def test_an_update_that_another_edit_overtook_is_measured_again_and_recorded(tmp_path):
    with new_workspace(tmp_path) as first:
        pass
    with Workspace.open(first.folder, progress=meanwhile(first.folder, update_japan)) as workspace:
        done = workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        japan, france = workspace.head.edits
        assert france == done.edit
        assert done.draft.found["measured_again"] == 1
        assert any("measured again" in notice for notice in done.draft.notices)
        record = workspace.ledger.edit(france)
        assert record.metrics == done.draft.metrics
        assert record.found["measured_again"] == 1
        assert workspace.verify() == []
        # What is recorded was measured on the head that it stands on, not on the one before.
        on_japan, on_base = (
            [one.p for one in workspace.assess(about("France"), answer="Rome", version=name)[:3]]
            for name in (workspace.log()[1].version, "base")
        )
        before = [one.p for one in done.draft.before]
        assert before == pytest.approx(on_japan, rel=1e-5)
        assert before != pytest.approx(on_base, rel=1e-5)
        assert workspace.ledger.edit(japan).subject == "Japan"


def test_an_edit_that_nobody_overtook_says_nothing_of_it(tmp_path):
    with new_workspace(tmp_path) as workspace:
        done = workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        assert "measured_again" not in done.draft.found


def test_an_erasure_that_another_edit_overtook_is_measured_again(tmp_path):
    with new_workspace(tmp_path) as first:
        pass
    with Workspace.open(first.folder, progress=meanwhile(first.folder, update_japan)) as workspace:
        how = quick(top=2, gate=ANY)
        done = workspace.erase(known_by(workspace), how=how)
        assert len(workspace.head.edits) == 2
        assert workspace.head.edits[1] == done.edit
        assert done.draft.found["measured_again"] == 1


def test_an_edit_that_fails_its_gate_on_the_new_head_says_that_another_moved_it(tmp_path):
    def harm(other: Workspace) -> None:
        other.update(about("Japan"), "Oslo", how=gentle((0, 1)))

    with new_workspace(tmp_path) as first:
        pass
    hopeless = gentle((1, 1), gate=Gate(efficacy=1.0, specificity=0.0), l2=1e-6)
    with Workspace.open(first.folder, progress=meanwhile(first.folder, harm)) as workspace:
        with pytest.raises(GateFailed, match="another edit moved the head meanwhile") as refused:
            workspace.update(about("France"), "Rome", how=hopeless)
        assert "first on 0% of its own prompts" in str(refused.value)
        assert len(workspace.head.edits) == 1


def test_where_the_head_never_rests_nothing_is_recorded_and_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "TRIES", 3)
    with new_workspace(tmp_path) as first:
        first.update(about("Japan"), "Oslo", how=gentle((0, 1)))
    names = iter(["base", "v1", "base", "v1"])

    def move(other: Workspace) -> None:
        other.rewind(next(names))  # takes no turn

    with Workspace.open(first.folder) as tagging:
        tagging.tag("v1")
    hear = meanwhile(first.folder, move, times=4)
    with Workspace.open(first.folder, progress=hear) as workspace:
        with pytest.raises(HeadMoved):
            workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        assert len(workspace.ledger.edits()) == 1


def test_a_fact_that_another_edit_changed_meanwhile_is_asked_with_its_new_answer(tmp_path):
    def change(to: str) -> Callable[[Workspace], Edited]:
        return lambda other: other.update(about("France"), to, how=gentle((0, 1)))

    with new_workspace(tmp_path) as first:
        pass
    hear = meanwhile(first.folder, change("Cairo"))
    with Workspace.open(first.folder, progress=hear) as workspace:
        done = workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        assert (done.draft.answer, done.draft.target) == ("Cairo", "Rome")
        assert workspace.ledger.edit(str(done.edit)).answer == "Cairo"
    hear = meanwhile(first.folder, change("Oslo"))
    with (
        Workspace.open(first.folder, progress=hear) as workspace,
        pytest.raises(SameAnswer, match="Oslo"),
    ):
        workspace.update(about("France"), "Oslo", how=gentle((1, 7)))


def test_a_revert_is_planned_again_on_a_head_that_moved(tmp_path, monkeypatch):
    with new_workspace(tmp_path) as workspace:
        france = str(workspace.update(about("France"), "Rome", how=gentle((1, 1))).edit)
        planned = workspace.ledger.plan_revert
        others = [update_japan, lambda other: other.revert(france)]

        def overtaken(edit: str, **options: Any) -> Any:
            plan = planned(edit, **options)
            if others:
                with Workspace.open(workspace.folder) as other:
                    others.pop(0)(other)
            return plan

        monkeypatch.setattr(workspace.ledger, "plan_revert", overtaken)
        with pytest.raises(EditNotApplied):  # the other one reverted the very edit
            workspace.revert(france)
        assert len(workspace.head.edits) == 1
        others.append(lambda other: other.update(about("Cuba"), "Oslo", how=gentle((0, 3))))
        workspace.revert(workspace.head.edits[0])
        assert [workspace.ledger.edit(one).subject for one in workspace.head.edits] == ["Cuba"]


def test_a_move_to_a_named_version_is_not_made_from_a_head_that_nobody_saw(tmp_path, monkeypatch):
    with new_workspace(tmp_path) as workspace:
        update_japan(workspace)
        planned = workspace.ledger.plan_rewind

        def overtaken(version: str, branch: str) -> Any:
            plan = planned(version, branch=branch)
            with Workspace.open(workspace.folder) as other:
                other.update(about("Cuba"), "Oslo", how=gentle((0, 3)))
            return plan

        monkeypatch.setattr(workspace.ledger, "plan_rewind", overtaken)
        with pytest.raises(HeadMoved):
            workspace.rewind("base")
        assert len(workspace.head.edits) == 2


def test_an_edit_lands_on_the_branch_where_it_began_whichever_is_current_by_then(tmp_path):
    with new_workspace(tmp_path) as first:
        first.branch("other")
    hear = meanwhile(first.folder, lambda other: other.switch("other"))
    with Workspace.open(first.folder, progress=hear) as workspace:
        done = workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        assert "measured_again" not in done.draft.found
        assert workspace.current_branch == "other"
        assert workspace.head.edits == ()
        assert workspace.show("main").edits == (done.edit,)
        assert workspace.verify() == []


def test_an_edit_is_measured_again_where_its_own_branch_moved_and_not_where_another_did(tmp_path):
    def on_the_other_branch(other: Workspace) -> None:
        other.switch("other", create=True)
        update_japan(other)

    with new_workspace(tmp_path) as first:
        pass
    hear = meanwhile(first.folder, on_the_other_branch)
    with Workspace.open(first.folder, progress=hear) as workspace:
        done = workspace.update(about("France"), "Rome", how=gentle((1, 1)))
        assert "measured_again" not in done.draft.found
        assert workspace.show("main").edits == (done.edit,)
        assert len(workspace.show("other").edits) == 1


# --- many processes -------------------------------------------------------------------------------

FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
WRITERS, EACH = (8, 10) if FULL else (3, 3)
NAMES = ("France", "Japan", "Italy", "Egypt", "Norway", "Cuba", "Spain", "gold", "iron")
SUBJECTS = (*NAMES, *(f"{one} {other}" for one, other in permutations(NAMES, 2)))[: WRITERS * EACH]
PEOPLE = Relation("capital", TEMPLATES, tuple(Fact("capital", one, "Paris") for one in SUBJECTS))


def write_some(folder: Path, number: int, results: Any) -> None:
    """One process: updates of its own facts, each in a slot of its own."""
    with Workspace.open(folder) as workspace:
        for at in range(EACH * number, EACH * (number + 1)):
            subject = SUBJECTS[at]
            case = Case(PEOPLE, PEOPLE.fact(subject))
            done = workspace.update(case, "Rome", how=gentle((at % 2, at // 2)))
            results.put((subject, done.edit, done.draft.found.get("measured_again", 0)))


@pytest.mark.timeout(1800 if FULL else 300)
def test_nothing_is_lost_or_wasted_where_several_processes_edit(tmp_path, record_property):
    with new_workspace(tmp_path) as workspace:
        pass
    context = multiprocessing.get_context("fork")  # no solver runs in them, so no autograd either
    results = context.Queue()
    writers = [
        context.Process(target=write_some, args=(workspace.folder, number, results))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    done = [results.get(timeout=600) for _ in SUBJECTS]
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    record_property("edits beside others", len(done))
    assert {subject for subject, _, _ in done} == {*SUBJECTS}
    assert any(again for _, _, again in done)  # they did meet
    with Workspace.open(workspace.folder) as workspace:
        assert {*workspace.head.edits} == {edit for _, edit, _ in done}
        assert len(workspace.log()) == len(SUBJECTS) + 1
        assert workspace.verify() == []


def test_recorders_take_turns(tmp_path):
    heard: list[str] = []
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with turn(tmp_path, lambda *_: None):
            inside.set()
            leave.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)

    def waiting(what: str, done: int, total: int) -> None:
        heard.append(what)
        leave.set()

    with turn(tmp_path, waiting):
        order.append("second")
    thread.join(10)
    assert order == ["first", "second"]
    assert heard[0] == "waiting for another edit to be recorded"
    assert list(tmp_path.iterdir()) == []


def test_a_turn_that_nobody_gives_back_is_not_waited_for_forever(tmp_path, monkeypatch):
    monkeypatch.setattr("kn_edit.workspace.turns.PATIENCE", 0.2)
    with turn(tmp_path, lambda *_: None), turn(tmp_path, lambda *_: None):
        pass
    with turn(tmp_path / "none", lambda *_: None):  # no such folder: nobody to wait for
        pass


# --- edits of one subject that ask different things -----------------------------------------------


def test_an_edit_that_undoes_an_earlier_one_is_seen(tmp_path):
    with new_workspace(tmp_path) as workspace:
        city = case_of(prompts=["the city of [X] is [Y]"], subject="Lyra", answer="Oslo")
        money = case_of(prompts=["the currency of [X] is [Y]"], subject="Lyra", answer="yen")
        strong = replace(quick(*((1, index) for index in range(24))), closed_form=True)
        first = workspace.update(city, "Rome", how=replace(strong, scale=(0.0, 4.0)), accept=True)
        assert first.draft.metrics["efficacy"] == 1.0
        assert first.draft.metrics["earlier"] == 0
        assert first.draft.metrics["earlier_kept"] is None
        undoing = replace(strong, scale=(0.0, 8.0), gate=ANY)
        second = workspace.update(money, "euro", how=undoing, dry_run=True).draft
        assert (second.metrics["earlier"], second.metrics["earlier_kept"]) == (1, 0.0)
        assert any(
            f"edit {str(first.edit)[:12]} (Lyra: Oslo -> Rome) no longer answers Rome" in notice
            for notice in second.notices
        )
        strict = replace(undoing, gate=Gate(efficacy=0.0, specificity=0.8))
        refused = workspace.update(money, "euro", how=strict, dry_run=True).draft
        assert "edits made before keep 0% of their answers, less than 80%" in refused.faults
        # The same fact again is meant to lose its earlier answer.
        again = workspace.update(city, "Cairo", how=undoing, dry_run=True).draft
        assert (again.metrics["earlier"], again.metrics["earlier_kept"]) == (0, None)


def test_an_erasure_is_judged_by_earlier_updates_of_other_relations(tmp_path):
    with new_workspace(tmp_path) as workspace:
        strong = replace(quick(*((1, index) for index in range(24))), closed_form=True)
        how = replace(strong, scale=(0.0, 4.0))
        other = Relation("money", (Template("the currency of [X] is [Y]"),), ())
        money = Case(other, Fact("money", "Japan", "yen"))
        workspace.update(money, "euro", how=how, accept=True)
        workspace.update(about("France"), "Rome", how=gentle((0, 1)), accept=True)
        done = workspace.erase(CAPITAL, how=quick(top=40, gate=ANY, zero=True), dry_run=True)
        assert workspace.assess(money, answer="euro")[0].right
        assert done.draft.metrics["earlier"] == 1  # of the currency alone


def test_the_limits_of_the_gate_and_what_it_found_wrong_are_recorded(tmp_path):
    with new_workspace(tmp_path) as workspace:
        passed = workspace.update(about("France"), "Rome", how=gentle((1, 1))).edit
        limits = Gate(efficacy=1.0, specificity=0.0)
        hopeless = gentle((1, 2), gate=limits, l2=1e-6)
        accepted = workspace.update(about("Japan"), "Cairo", how=hopeless, accept=True)
        gate = workspace.ledger.edit(str(passed)).found["gate"]
        assert gate == {"efficacy": 0.0, "specificity": 0.0, "faults": []}
        gate = workspace.ledger.edit(str(accepted.edit)).found["gate"]
        assert (gate["efficacy"], gate["specificity"]) == (1.0, 0.0)
        assert gate["faults"] == list(accepted.draft.faults) != []
