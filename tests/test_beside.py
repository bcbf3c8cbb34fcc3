"""Rows that are computed beside each other on one version, and recorded one after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from workspaces import CAPITAL, QUICK, about, new_workspace

from kn_edit.editing.updates import Calibrated
from kn_edit.errors import BadSetting
from kn_edit.workspace import How, RowStatus


@pytest.fixture
def workspace(tmp_path):
    with new_workspace(tmp_path) as workspace:
        yield workspace


def rows(*subjects: str, to: str = "Madrid"):
    return [(about(subject), to) for subject in subjects]


def ids(batch) -> list[str]:
    """The edits that a batch records, in order."""
    return [result.edited.edit for result in batch]


def drafted(workspace, subject: str) -> str:
    """The edit that an update would be now."""
    case = about(subject)
    return workspace.update(case, "Madrid", how=QUICK, accept=True, dry_run=True).draft.delta.id


def test_rows_are_computed_on_the_version_where_their_group_began(workspace):
    first, second = drafted(workspace, "France"), drafted(workspace, "Japan")
    batch = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True, at_once=2)
    results = iter(batch)
    assert [next(results).edited.edit for _ in range(2)] == [first, second]
    third = drafted(workspace, "Cuba")
    assert next(results).edited.edit == third
    assert workspace.head.edits == (first, second, third)
    assert workspace.verify() == []


def test_a_row_is_measured_on_the_head_that_it_is_recorded_on(workspace):
    for result in workspace.batch(rows("France", "Japan"), how=QUICK, accept=True, at_once=2):
        assert not [notice for notice in result.edited.draft.notices if "moved" in notice]
    first, second = workspace.ledger.records(workspace.head.edits)
    assert "measured_again" not in first.found
    assert second.found["measured_again"] == 1


def test_one_at_once_is_one_on_top_of_the_other(workspace, tmp_path_factory):
    plain = ids(workspace.batch(rows("France", "Japan"), how=QUICK, accept=True))
    made = {}
    for at_once in (1, 2):
        with new_workspace(tmp_path_factory.mktemp("w")) as beside:
            batch = beside.batch(rows("France", "Japan"), how=QUICK, accept=True, at_once=at_once)
            made[at_once] = ids(batch)
    assert made[1] == plain
    assert made[2][0] == plain[0] and made[2][1] != plain[1]


def test_who_stops_in_between_goes_on_there(workspace):
    batch = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True, at_once=3)
    for _ in batch:
        break
    assert [row.name for row in batch.left] == ["Japan", "Cuba"]
    assert [result.status for result in batch] == [RowStatus.RECORDED] * 2
    again = workspace.batch(rows("France", "Japan", "Cuba"), how=QUICK, accept=True, at_once=3)
    assert again.rows == () and len(workspace.head.edits) == 3


def test_a_row_that_fails_ends_no_other(workspace):
    wrong = (about("Japan"), CAPITAL.fact("Japan").answer)
    unknown = (replace(about("Japan"), published=True), "zzz qqq")
    batch = workspace.batch(
        [*rows("France"), unknown, *rows("Cuba")], how=QUICK, accept=True, at_once=3
    )
    assert [result.status for result in batch] == ["recorded", "failed", "recorded"]
    assert workspace.batch([wrong], at_once=3).rows == ()


@dataclass(frozen=True)
class OnlyHere(Calibrated):
    """An update that passes on the version for which it was computed, and fails on others."""

    name: ClassVar[str] = "only-here"

    def propose(self, context: Any, request: Any) -> Any:
        proposal = super().propose(context, request)
        return replace(proposal, exam=ExamHere(proposal.exam, context.recipe))


@dataclass(frozen=True)
class ExamHere:
    exam: Any
    recipe: tuple[str, ...]

    @property
    def old(self) -> Any:
        return self.exam.old

    def measure(self, context: Any, delta: Any) -> Any:
        faults = () if context.recipe == self.recipe else ("it is elsewhere",)
        return replace(self.exam.measure(context, delta), faults=faults)


@pytest.fixture
def only_here(monkeypatch):
    """How to make such updates; asked of what moved, they keep their exam."""
    from kn_edit.workspace import on_head

    monkeypatch.setattr(on_head, "asked_anew", lambda context, proposal, cases: proposal)
    return How(OnlyHere(settings=QUICK.method.settings), search="activation")


def test_what_passes_alone_and_not_behind_the_others_is_computed_behind_them(workspace, only_here):
    alone = workspace.update(about("Japan"), "Madrid", how=only_here, dry_run=True).draft.delta.id
    batch = workspace.batch(rows("France", "Japan"), how=only_here, at_once=2)
    first, second = ids(batch)
    assert second != alone and workspace.head.edits == (first, second)
    assert "measured_again" not in workspace.ledger.edit(second).found


def test_what_the_gate_refuses_alone_is_refused(workspace):
    batch = workspace.batch(rows("France", "Japan"), how=QUICK, at_once=2)
    assert [result.status for result in batch] == [RowStatus.REFUSED] * 2
    assert workspace.head.edits == ()


def test_the_count_of_rows_at_once_is_a_whole_number(workspace):
    with pytest.raises(BadSetting):
        workspace.batch(rows("France"), at_once=0)
