"""Delta files on disk, crashes, checking, backups and tidying."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ledgers import about, alter, delta_of, digests, folder_of, move, new_ledger, record

from kn_edit.errors import (
    DeltaDigestDiffers,
    DeltaMissing,
    ExitCode,
    LedgerUnusable,
)
from kn_edit.ledger import writing

pytestmark = pytest.mark.usefixtures("database")

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))
NOW = timedelta(0)


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def grown(ledger):
    """A ledger with two edits, a revert and a tag."""
    record(ledger, A)
    record(ledger, B)
    ledger.tag("v1")
    move(ledger, ledger.plan_revert(A.id))
    return ledger


# --- deltas --------------------------------------------------------------------------------------


def test_a_delta_lies_under_its_digest(grown):
    path = folder_of(grown) / "blobs" / A.id[:2] / f"{A.id}.safetensors"
    assert path.read_bytes() == A.to_bytes()


def test_a_missing_delta_is_said(grown):
    grown.blobs.path(A.id).unlink()
    with pytest.raises(DeltaMissing) as caught:
        grown.delta(A.id)
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_a_changed_delta_is_never_used(grown):
    path = grown.blobs.path(A.id)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DeltaDigestDiffers) as caught:
        grown.delta(A.id)
    assert caught.value.exit_code == ExitCode.INTEGRITY


def test_storing_a_damaged_delta_again_repairs_it(grown):
    grown.blobs.path(A.id).write_bytes(b"")
    grown.blobs.put(A.to_bytes())
    assert grown.delta(A.id).id == A.id


def test_a_delta_that_cannot_be_written_stops_the_edit(ledger):
    (folder_of(ledger) / "blobs").write_text("in the way")
    with pytest.raises(LedgerUnusable) as caught:
        record(ledger, A)
    assert caught.value.exit_code == ExitCode.DISK
    assert ledger.edits() == []


# --- crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["check_head", "add_edit", "add_version", "move_branch"])
def test_a_crash_after_the_blob_leaves_the_ledger_as_it_was(ledger, monkeypatch, step):
    record(ledger, A)
    before = (ledger.head(), ledger.log(), ledger.edits())
    plan = ledger.plan_edit(B, "update")
    done = getattr(writing, step)

    def crash(*arguments):
        done(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writing, step, crash)
        with pytest.raises(KeyboardInterrupt):
            ledger.advance(plan, digests([A, B]), edit=about(B))
    assert (ledger.head(), ledger.log(), ledger.edits()) == before
    assert ledger.check() == []
    blob = ledger.blobs.path(B.id)
    assert blob.exists()
    assert ledger.gc() == []  # young: another process may be about to use it
    assert ledger.gc(older_than=NOW) == [str(blob)]
    assert not blob.exists()
    assert ledger.delta(A.id).id == A.id


# --- check ---------------------------------------------------------------------------------------


def test_a_sound_ledger_has_no_problems(grown):
    assert grown.check() == []


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("UPDATE events SET message = 'x' WHERE seq = 2", "events"),
        ("UPDATE events SET created = 'x' WHERE seq = 5", "events"),
        ("UPDATE events SET parents = '[]' WHERE seq = 3", "events"),
        ("UPDATE events SET previous = hash WHERE seq = 1", "events"),
        ("DELETE FROM events WHERE seq = 3", "events"),
        ("DELETE FROM events WHERE seq = 5", "refs"),
        ("DELETE FROM events WHERE seq = 5", "rows"),
        ("UPDATE refs SET version_id = (SELECT version_id FROM events WHERE seq = 1)", "refs"),
        ("DELETE FROM refs WHERE name = 'v1'", "refs"),
        ("DELETE FROM version_changes WHERE position = 0", "version"),
        ("UPDATE edit_slots SET neuron = 5 WHERE layer = 1", "slots"),
        ("UPDATE edit_slots SET mode = 'set'", "slots"),
        ("DELETE FROM edit_slots", "slots"),
        ("DELETE FROM facts", "database"),
    ],
)
def test_every_kind_of_tampering_is_found(grown, statement, part):
    alter(grown, statement)
    assert part in {problem.part for problem in grown.check()}


def test_missing_and_changed_deltas_are_found(grown):
    grown.blobs.path(A.id).unlink()
    grown.blobs.path(B.id).write_bytes(B.to_bytes()[:-1])
    found = [(problem.part, problem.subject) for problem in grown.check()]
    assert found == [("delta", A.id), ("delta", B.id)]
