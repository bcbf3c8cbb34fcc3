"""A ledger whose deltas lie in no folder, and the URLs of databases that it can lie in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from ledgers import (
    BASE,
    SQLITE,
    call_every_verb,
    database_url,
    delta_of,
    record,
    ticking,
)
from memory_blobs import MemoryBlobs
from sqlalchemy import make_url

from kn_edit.errors import (
    DatabaseHasNoLedger,
    DatabaseHoldsLedger,
    DeltaDigestDiffers,
    DeltaMissing,
    ExitCode,
    KnEditError,
    LedgerExists,
    NoLedger,
    UnsupportedDatabase,
)
from kn_edit.ledger import Ledger
from kn_edit.ledger.history import version_id
from kn_edit.ledger.in_folder import open_in_folder, restore_in_folder
from kn_edit.neuron import NeuronId

A, B, C = delta_of((0, 1)), delta_of((0, 2), (1, 1)), delta_of((0, 1), value=2.0)
DAY = 86400.0


@pytest.fixture
def blobs():
    return MemoryBlobs()


@pytest.fixture
def ledger(tmp_path, blobs, database):
    url = database_url(tmp_path, "history")
    with Ledger.create(url, blobs, BASE, clock=ticking().__next__) as ledger:
        yield ledger


# --- blobs in memory -----------------------------------------------------------------------------


def test_every_verb_works_over_a_store_that_is_no_folder(ledger, blobs, tmp_path, database):
    call_every_verb(ledger, A, B, C)
    assert {*blobs.blobs} == {edit.id for edit in ledger.edits()}
    assert [entry.edit.id for entry in ledger.blame(NeuronId(0, 1))] == [A.id, C.id]
    assert ledger.diff("base", "main").only_b == (A.id, B.id)
    assert ledger.delta(B.id).to_bytes() == B.to_bytes()
    assert ledger.check() == []
    files = ["history.db"] if database == SQLITE else []
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def test_gc_tidies_a_store_that_is_no_folder_by_its_own_clock(ledger, blobs):
    record(ledger, A)
    blobs.put(B.to_bytes())
    assert any(note.startswith("1 deltas in memory:") for note in ledger.examine().notes)
    blobs.clock += 13 * DAY
    assert ledger.gc() == []
    blobs.clock += 2 * DAY
    assert ledger.gc() == [f"memory:{B.id}"]
    assert [*blobs.blobs] == [A.id]
    assert ledger.gc(older_than=timedelta(0)) == []


def test_a_delta_that_gc_took_from_the_store_is_stored_again(ledger, blobs):
    put, taken = blobs.put, []

    def put_and_lose_once(data: bytes) -> str:
        digest = put(data)
        if not taken:
            blobs.clock += 1
            taken.extend(ledger.gc(older_than=timedelta(0)))
        return digest

    blobs.put = put_and_lose_once
    record(ledger, A)
    assert taken == [f"memory:{A.id}"] and ledger.check() == []


def test_verify_reads_a_store_that_is_no_folder(ledger, blobs):
    record(ledger, A)
    record(ledger, B)
    del blobs.blobs[A.id]
    blobs.blobs[B.id] = (B.to_bytes()[:-1], 0.0)
    with pytest.raises(DeltaMissing, match=f"memory:{A.id}"):
        ledger.delta(A.id)
    with pytest.raises(DeltaDigestDiffers):
        ledger.delta(B.id)
    assert [(problem.part, problem.subject) for problem in ledger.check()] == [
        ("delta", A.id),
        ("delta", B.id),
    ]


def test_a_backup_of_it_is_restored_in_a_folder(ledger, tmp_path):
    record(ledger, A)
    record(ledger, B)
    ledger.backup(tmp_path / "b.tar")
    clock = ticking().__next__
    restore_in_folder(tmp_path / "b.tar", tmp_path / "w" / ".kn-edit", clock=clock)
    with open_in_folder(tmp_path / "w" / ".kn-edit", clock=clock) as restored:
        assert restored.check() == []
        assert restored.head() == ledger.head()
        assert restored.delta(A.id).to_bytes() == A.to_bytes()


# --- URLs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [str, make_url])
def test_a_ledger_lies_behind_a_url(tmp_path, blobs, form, database):
    clock = ticking().__next__
    url = form(database_url(tmp_path))
    with Ledger.create(url, blobs, BASE, clock=clock) as ledger:
        head = record(ledger, A)
    with Ledger.open(url, blobs, clock=clock) as ledger:
        assert (ledger.head().id, ledger.base) == (head.id, BASE)
    with pytest.raises((LedgerExists, DatabaseHoldsLedger)):
        Ledger.create(url, blobs, BASE, clock=clock)
    with pytest.raises((NoLedger, DatabaseHasNoLedger)):
        Ledger.open(database_url(tmp_path / "elsewhere"), blobs, clock=clock)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg2://ann:hunter2@host/edits", "driver"),
        ("postgresql://ann:hunter2@host", "names no database"),
        ("postgresql://ann@host/edits?password=hunter2", "no option password"),
        ("mysql+pymysql://ann:hunter2@host/edits?password=hunter2", "no dialect mysql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////x/ledger.db?mode=ro", "and nothing else"),
        ("sqlite+aiosqlite:////x/ledger.db", "driver"),
        ("postgresql://ann:hunter2@host:port/edits", "no URL"),
        ("ann:hunter2@host", "no URL"),
        ("/x/ledger.db", "no URL"),
        ("", "no URL"),
    ],
)
def test_a_url_of_another_database_is_refused_without_its_password(blobs, url, reason):
    for verb in (
        lambda: Ledger.open(url, blobs, clock=ticking().__next__),
        lambda: Ledger.create(url, blobs, BASE, clock=ticking().__next__),
    ):
        with pytest.raises(UnsupportedDatabase, match=reason) as caught:
            verb()
        told = f"{caught.value} {caught.value.detail()} {caught.value!r}"
        assert "hunter2" not in told and "sqlite:////folder/ledger.db" in told
        assert caught.value.exit_code == ExitCode.USAGE
        assert caught.value.__cause__ is None and isinstance(caught.value, KnEditError)


def test_another_base_is_another_ledger(tmp_path, blobs, database):
    base = replace(BASE, fingerprint="e" * 64)
    with Ledger.create(database_url(tmp_path), blobs, base, clock=ticking().__next__) as ledger:
        assert ledger.head().id == version_id("e" * 64, ())
