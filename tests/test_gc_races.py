"""`gc` beside writers: no delta of a recorded edit is ever removed, and nobody fails.

The short form runs some hundred races; KN_EDIT_TORTURE=1 runs a thousand.
"""

from __future__ import annotations

import multiprocessing
import os
from datetime import timedelta
from pathlib import Path

import pytest
from ledgers import about, delta_of, digests, move, new_ledger, open_ledger, record

from kn_edit.edits.delta import Delta
from kn_edit.errors import EditAlreadyApplied, HeadMoved, LedgerBusy
from kn_edit.ledger import Adoption, sqlite_file, writing
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.history import version_id

NOW = timedelta(0)
RACES = 1000 if os.environ.get("KN_EDIT_TORTURE") else 160
WRITERS = 2
A = delta_of((0, 1))
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def delta_number(writer: int, number: int) -> Delta:
    return delta_of((writer, number % 6), value=1.0 + number)


def write_many(folder: Path, writer: int, outcome) -> None:
    """Record edits whose deltas lie there already, as those of a command that is run again."""
    try:
        with open_ledger(folder) as ledger:
            for number in range(RACES // WRITERS):
                delta = delta_number(writer, number)
                ledger.blobs.put(delta.to_bytes())
                record_on_whatever_head(ledger, delta)
        outcome.put("done")
    except BaseException as error:
        outcome.put(repr(error))
        raise


def record_on_whatever_head(ledger, delta: Delta) -> None:
    while True:
        try:
            record(ledger, delta)
            move(ledger, ledger.plan_rewind("root"))  # so that recipes stay short
        except HeadMoved:
            continue
        except EditAlreadyApplied:
            pass
        return


def tidy_until(folder: Path, stop, outcome) -> None:
    rounds = 0
    try:
        with open_ledger(folder) as ledger:
            while not stop.is_set():
                ledger.gc(older_than=NOW)
                rounds += 1
        outcome.put(f"{rounds} rounds")
    except BaseException as error:
        outcome.put(repr(error))
        raise


def test_gc_beside_writers_loses_no_delta_and_nobody_fails(ledger, tmp_path):
    stop, outcome = FORK.Event(), FORK.Queue()
    tidier = FORK.Process(target=tidy_until, args=(tmp_path, stop, outcome))
    writers = [
        FORK.Process(target=write_many, args=(tmp_path, writer, outcome))
        for writer in range(WRITERS)
    ]
    for process in (tidier, *writers):
        process.start()
    told = [outcome.get(timeout=300) for _ in writers]
    stop.set()
    told.append(outcome.get(timeout=60))
    for process in (tidier, *writers):
        process.join()
    rounds = int(told.pop().removesuffix(" rounds"))
    assert told == ["done"] * WRITERS
    assert rounds > RACES / 40
    expected = {
        delta_number(writer, number).id
        for writer in range(WRITERS)
        for number in range(RACES // WRITERS)
    }
    assert {edit.id for edit in ledger.edits()} == expected
    assert len(ledger.deltas(expected)) == len(expected)
    assert ledger.check() == []


@pytest.fixture
def tidied_right_before_the_transaction(ledger, monkeypatch):
    """The worst moment: gc takes every file that no edit refers to yet."""
    removed = []
    put = FolderBlobs.put

    def put_and_lose(self, data: bytes) -> str:
        digest = put(self, data)
        if not removed:
            # A file of this very tick of the file system's clock is young whatever is asked.
            os.utime(self.path(digest), (1, 1))
            removed.extend(ledger.gc(older_than=NOW))
        return digest

    monkeypatch.setattr(FolderBlobs, "put", put_and_lose)
    return removed


def test_an_edit_whose_delta_gc_took_just_now_is_recorded_with_it(
    ledger, tidied_right_before_the_transaction
):
    record(ledger, A)
    assert tidied_right_before_the_transaction == [ledger.blobs.where(A.id)]
    assert ledger.delta(A.id).id == A.id
    assert ledger.check() == []


def test_a_pulled_version_whose_deltas_gc_took_just_now_is_recorded_with_them(
    ledger, tidied_right_before_the_transaction
):
    recipe = (A.id,)
    version = version_id(ledger.base.fingerprint, recipe)
    plan = Adoption("org/model@main", version, recipe, (about(A),), "pull")
    ledger.adopt(plan, digests([A]))
    assert tidied_right_before_the_transaction == [ledger.blobs.where(A.id)]
    assert ledger.delta(A.id).id == A.id


def test_gc_waits_for_a_writer_that_is_between_its_look_and_its_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0)
    tried = []
    check = writing.check_head

    def look_then_tidy(connection, plan):
        check(connection, plan)
        with open_ledger(tmp_path) as other, pytest.raises(LedgerBusy):
            other.gc(older_than=NOW)
        tried.append(True)

    with new_ledger(tmp_path) as ledger:
        ledger.blobs.put(delta_of((1, 1)).to_bytes())  # else there is nothing to wait for
        monkeypatch.setattr(writing, "check_head", look_then_tidy)
        record(ledger, A)
        assert ledger.delta(A.id).id == A.id
    assert tried == [True]
