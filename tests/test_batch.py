"""Updates of many rows from Python, and progress and cancellation of one call among others."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from workspaces import CAPITAL, CAPITALS, QUICK, about, new_workspace, quick

from kn_edit.errors import (
    BadFacts,
    Cancelled,
    CannotAsk,
    GateFailed,
    RowsFailed,
    TwoNewAnswers,
    WorkspaceClosed,
)
from kn_edit.workspace import Batch, Case, RowStatus, Workspace
from kn_edit.workspace.batch import MOST_KEPT, BatchRow, one_by_one, row_result

WEAK = quick((0, 0), closed_form=True)  # which no gate lets pass


def rows(*names: str, to: str = "Oslo") -> list[tuple[Case, str]]:
    return [(about(name), to) for name in names]


def published(name: str, to: str) -> tuple[Case, str]:
    """A row as of a benchmark, whose faults nobody who runs it can mend."""
    return replace(about(name), published=True), to


@pytest.fixture
def workspace(tmp_path):
    with new_workspace(tmp_path) as opened:
        yield opened


# --- a batch --------------------------------------------------------------------------------------


def test_each_row_is_recorded_before_the_next_begins(workspace):
    recorded = []
    batch = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True)
    assert [row.name for row in batch.left] == ["France", "Japan", "Cuba"]
    for result in batch:
        assert result.status == RowStatus.RECORDED
        recorded.append(result.edited.edit)
        assert workspace.head.edits == tuple(recorded)
    assert batch.recorded == 3
    assert batch.left == ()
    assert batch.error is None


def test_who_stops_in_between_has_lost_nothing_and_goes_on_there(workspace):
    batch = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True)
    next(iter(batch))
    assert (batch.recorded, len(workspace.head.edits)) == (1, 1)
    assert [row.name for row in batch.left] == ["Japan", "Cuba"]
    names = [result.row.name for result in batch]
    assert names == ["Japan", "Cuba"]
    assert len(workspace.head.edits) == 3
    again = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK)
    assert again.rows == ()
    assert len(again.plan.done) == 3


def test_a_refusal_is_a_result_and_the_error_of_the_whole(workspace):
    batch = workspace.batch(rows("France", "Japan"), how=WEAK)
    results = list(batch)
    assert [result.status for result in results] == [RowStatus.REFUSED] * 2
    assert all(result.reasons and result.metrics for result in results)
    assert workspace.head.edits == ()
    assert isinstance(batch.error, GateFailed)
    assert "France" in str(batch.error)


def test_a_dry_run_measures_and_records_nothing(workspace):
    (result,) = workspace.batch(rows("France"), how=WEAK, dry_run=True)
    assert result.status == RowStatus.MEASURED
    assert result.reasons
    assert workspace.head.edits == ()


def test_a_row_of_a_benchmark_fails_alone_and_another_ends_the_run_before_it(workspace):
    bad = published("France", "Zanzibar")
    batch = workspace.batch([bad, *rows("Japan")], how=QUICK, accept=True)
    failed, recorded = list(batch)
    assert (failed.status, recorded.status) == (RowStatus.FAILED, RowStatus.RECORDED)
    assert "Zanzibar" in failed.reasons[0]
    assert isinstance(batch.error, RowsFailed)
    with pytest.raises(CannotAsk):
        workspace.batch([*rows("Cuba"), (about("Spain"), "Zanzibar")], how=QUICK)
    with pytest.raises((TwoNewAnswers, BadFacts)):
        workspace.batch([*rows("Italy"), (about("Italy"), "Cairo")], how=QUICK)
    assert len(workspace.head.edits) == 1


def test_what_concerns_more_than_a_row_ends_the_run(workspace):
    batch = workspace.batch(rows("France", "Japan"), how=QUICK, accept=True)
    workspace.close()
    with pytest.raises(WorkspaceClosed):
        list(batch)
    assert (batch.results, len(batch.left)) == ([], 2)


def test_memory_holds_the_numbers_of_the_last_row_and_of_some_refused_ones(workspace):
    refused = row_result(
        BatchRow(about("France"), "Oslo"),
        lambda case, to: workspace.update(case, to, how=WEAK),
    )
    batch = workspace.batch([], how=QUICK)
    batch.rows = tuple(BatchRow(about(name), "Oslo") for name in CAPITALS) * 10
    batch._make = one_by_one(lambda case, to: (_ for _ in ()).throw(refusal))
    refusal = GateFailed(("no",), refused.edited)
    for result in batch:
        assert result.edited is not None
    kept = [result.edited is not None for result in batch.results]
    assert kept == [True] * MOST_KEPT + [False] * (len(kept) - MOST_KEPT)


# --- one call -------------------------------------------------------------------------------------


def test_progress_of_a_call_goes_to_its_listener_and_then_to_the_usual_one(tmp_path):
    usual, inner, outer = [], [], []
    new_workspace(tmp_path).close()
    with Workspace.open(tmp_path / "work", progress=lambda *step: usual.append(step)) as workspace:
        workspace.assess(about("France"))  # the model is loaded
        usual.clear()
        with workspace.call(progress=lambda *step: outer.append(step)):
            workspace.update(about("France"), "Oslo", how=QUICK, dry_run=True)
            outer_only = len(outer)
            with workspace.call(progress=lambda *step: inner.append(step)):
                workspace.update(about("France"), "Oslo", how=QUICK, dry_run=True)
        assert usual == []
        assert len(outer) == outer_only > 0
        assert inner == outer
        workspace.update(about("France"), "Oslo", how=QUICK, dry_run=True)
        assert usual == inner


@pytest.mark.parametrize("at", ["asking", "solving", "measuring"])
def test_a_call_is_cancelled_wherever_it_is_and_records_nothing(workspace, at):
    seen: list[str] = []
    before = workspace.head
    with (
        pytest.raises(Cancelled, match="nothing of it was recorded"),
        workspace.call(
            progress=lambda what, done, total: seen.append(what),
            cancelled=lambda: any(what.startswith(at) for what in seen),
        ),
    ):
        workspace.update(about("France"), "Oslo", how=QUICK, accept=True)
    assert workspace.head == before
    done = workspace.update(about("France"), "Oslo", how=QUICK, accept=True)  # the model is whole
    assert done.edit is not None
    assert workspace.verify() == []


def test_a_cancelled_batch_keeps_what_it_recorded(workspace):
    cancelled = threading.Event()
    batch = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True)
    with pytest.raises(Cancelled), workspace.call(cancelled=cancelled.is_set):
        for result in batch:
            if result.row.name == "Japan":
                cancelled.set()
    assert batch.recorded == len(workspace.head.edits) == 2
    assert [row.name for row in batch.left] == ["Cuba"]


def test_a_call_that_is_cancelled_while_rows_are_looked_at_fails_none_of_them(workspace):
    told: list[str] = []
    with (
        pytest.raises(Cancelled),
        workspace.call(
            progress=lambda what, done, total: told.append(what), cancelled=lambda: True
        ),
    ):
        workspace.batch([published("France", "Rome")])
    assert told == []


def test_another_threads_call_is_not_cancelled(workspace):
    told: list[str] = []
    with workspace.call(cancelled=lambda: True):
        thread = threading.Thread(target=lambda: told.append(str(workspace.assess(about("Cuba")))))
        thread.start()
        thread.join()
    assert len(told) == 1
    assert isinstance(workspace.batch([]), Batch)
    assert CAPITAL.fact("Cuba").answer == "Havana"
