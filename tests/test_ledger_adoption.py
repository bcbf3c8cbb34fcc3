"""Versions that come from another ledger, and where versions were published."""

from __future__ import annotations

import pytest
from ledgers import FINGERPRINT, about, delta_of, digests, new_ledger, record

from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import DifferentBase, DigestsDiffer, WorkerLost
from kn_edit.ledger import Adoption, Ledger, Publication
from kn_edit.ledger.history import version_id

pytestmark = pytest.mark.usefixtures("database")

A, B, C = delta_of((0, 1)), delta_of((0, 1), (1, 2)), delta_of((1, 3))
SOURCE = "ann/model@main"


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def adoption(*deltas: Delta, new: tuple[Delta, ...] | None = None) -> Adoption:
    recipe = tuple(delta.id for delta in deltas)
    edits = tuple(map(about, deltas if new is None else new))
    return Adoption(SOURCE, version_id(FINGERPRINT, recipe), recipe, edits, f"pull {SOURCE}")


def adopt(ledger: Ledger, *deltas: Delta, new: tuple[Delta, ...] | None = None) -> bool:
    _, moved = ledger.adopt(adoption(*deltas, new=new), digests([*deltas]))
    return moved


def test_an_event_for_each_edit_then_one_for_the_move(ledger):
    assert adopt(ledger, A, B)
    assert ledger.head().edits == (A.id, B.id)
    assert [step.kind for step in ledger.log()] == ["pull", "init"]
    assert ledger.log()[0].parents == (ledger.version("root").id,)
    assert ledger.edit(B.id).overlaps == (A.id,)
    assert ledger.deltas([A.id, B.id])[0].to_bytes() == A.to_bytes()
    assert ledger.check() == []
    assert [ref.kind for ref in ledger.refs()] == ["branch", "remote"]


def test_the_branch_moves_only_where_nothing_is_lost(ledger):
    own = record(ledger, C)
    assert not adopt(ledger, A, B)
    assert ledger.head() == own
    assert ledger.version(SOURCE).edits == (A.id, B.id)
    assert adopt(ledger, C, A, B, new=())
    assert ledger.head().edits == (C.id, A.id, B.id)
    assert ledger.check() == []


def test_a_move_is_told_before_it_is_recorded_and_only_where_the_branch_moves(ledger):
    told: list[str] = []

    def lost(branch: str) -> None:
        told.append(branch)
        raise WorkerLost("0" * 32)

    with pytest.raises(WorkerLost):
        ledger.adopt(adoption(A, B), digests([A, B]), recording=lost)
    assert told == ["main"]
    assert ledger.head().edits == () and ledger.edits() == []
    record(ledger, C)
    _, moved = ledger.adopt(adoption(A, B), digests([A, B]), recording=lost)
    assert not moved and told == ["main"]
    assert ledger.check() == []


def test_adopting_again_records_nothing(ledger):
    adopt(ledger, A)
    before = len(ledger.log()), ledger.refs()
    assert not adopt(ledger, A, new=())
    assert (len(ledger.log()), ledger.refs()) == before


def test_the_source_is_where_it_was_pulled_last(ledger):
    adopt(ledger, A, B)
    assert not adopt(ledger, A, new=())
    assert ledger.version(SOURCE).edits == (A.id,)
    assert ledger.head().edits == (A.id, B.id)
    assert ledger.check() == []


def test_other_bits_or_another_base_leave_nothing_behind(ledger):
    record(ledger, A)
    with pytest.raises(DigestsDiffer):
        ledger.adopt(adoption(A, new=()), {"other": "0" * 64})
    stranger = Delta(BaseRef(None, None, "0" * 64), B.tensors)
    with pytest.raises(DifferentBase):
        ledger.adopt(adoption(stranger), digests([B]))
    assert [ref.name for ref in ledger.refs()] == ["main"]
    assert len(ledger.edits()) == 1 and ledger.check() == []


def test_a_publication_is_remembered_once(ledger):
    head = record(ledger, A)
    one = Publication("ann/model", "main", "c" * 40, head.id, "checkpoint", None)
    other = Publication("ann/model", "main", "c" * 40, head.id, "checkpoint", "v1")
    for each in (one, other, one):
        ledger.note_publication(each)
    found = ledger.publications()
    assert [(each.tag, each.version) for each in found] == [(None, head.id), ("v1", head.id)]
    assert all(each.created.startswith("2026-01-01T") for each in found)
