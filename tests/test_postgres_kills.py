"""PostgreSQL is killed in the middle of an edit: it is there whole or not at all, and never twice.

KN_EDIT_TORTURE=1 kills it 20 times, and lets two writers record 40 edits each; without it, it is
two times and six edits.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

import pytest
from ledgers import BASE, POSTGRES, delta_of, record, ticking
from postgres_server import Server

from kn_edit.edits.delta import Delta
from kn_edit.errors import CommitUnknown, DatabaseUnreachable
from kn_edit.ledger import Ledger
from kn_edit.ledger.folder_blobs import FolderBlobs

KILLS = 20 if os.environ.get("KN_EDIT_TORTURE") else 2
WRITERS, EDITS = 2, 40 if os.environ.get("KN_EDIT_TORTURE") else 6
pytestmark = pytest.mark.parametrize("database", [POSTGRES], indirect=True)


@pytest.fixture(scope="module")
def durable():
    """A server that waits for the disk, as one in use does."""
    server = Server(durable=True)
    server.start()
    yield server
    server.remove()


def deltas(start: float = 0.0):
    """One delta after the other, each of other numbers."""
    value = start
    while True:
        value += 1
        yield delta_of((0, int(value) % 6), (1, int(value) % 5), value=value)


def recorded_until_killed(ledger: Ledger, server: Server, changes, moment: float):
    """Record edits; the server is killed so long after one of them began.

    The ids of those that were acknowledged, the delta that was not, and the error.
    """
    acknowledged: list[str] = []
    killer = threading.Timer(moment, server.kill)
    killer.start()
    try:
        while True:
            change: Delta = next(changes)
            try:
                record(ledger, change)
            except (CommitUnknown, DatabaseUnreachable) as error:
                return acknowledged, change, error
            acknowledged.append(change.id)
    finally:
        killer.join()


def test_a_killed_server_loses_no_edit_and_keeps_no_half(
    database, durable, tmp_path, record_property
):
    blobs = FolderBlobs(tmp_path / ".kn-edit" / "blobs")
    (tmp_path / ".kn-edit").mkdir()
    durable.execute("CREATE SCHEMA kills")
    url, dice, changes = durable.url("kills"), random.Random(7), deltas()
    Ledger.create(url, blobs, BASE, clock=ticking().__next__).close()
    expected: list[str] = []
    for kill in range(KILLS):
        with Ledger.open(url, blobs, clock=ticking().__next__) as ledger:
            record(ledger, change := next(changes))  # connected, and every module is loaded
            expected.append(change.id)
            moment = dice.uniform(0.02, 0.3)
            acknowledged, change, error = recorded_until_killed(ledger, durable, changes, moment)
            expected += acknowledged
        durable.start()
        with Ledger.open(url, blobs, clock=ticking().__next__) as ledger:
            ids = [edit.id for edit in ledger.edits()]
            assert ids in (expected, [*expected, change.id]), (kill, error)
            assert ledger.check() == []
            assert list(ledger.head().edits) == ids
            if ids == expected:  # as its user would: it was not recorded, so once more
                record(ledger, change)
            expected.append(change.id)
            assert [edit.id for edit in ledger.edits()] == expected
    assert len(set(expected)) == len(expected) > KILLS
    record_property("kills", KILLS)


def test_a_commit_whose_answer_is_lost_is_looked_for(database, durable, tmp_path):
    """The connection ends between the commit and its answer."""
    blobs = FolderBlobs(tmp_path / ".kn-edit" / "blobs")
    (tmp_path / ".kn-edit").mkdir()
    durable.execute("CREATE SCHEMA lost")
    url = durable.url("lost")
    with Ledger.create(url, blobs, BASE, clock=ticking().__next__) as ledger:
        dialect = ledger._database.dialect
        commit, lost = dialect.commit, []

        def commit_and_lose(connection):
            driver = connection.connection.driver_connection
            driver.commit()
            driver.close()
            lost.append(True)
            return commit(connection)

        dialect.commit = commit_and_lose
        version = record(ledger, delta_of((0, 1)))
        assert lost and ledger.head() == version
        dialect.commit = commit
        with pytest.raises(DatabaseUnreachable):
            dialect.commit = commit_nothing(commit)
            ledger.tag("v1")
        dialect.commit = commit
        assert [ref.name for ref in ledger.refs()] == ["main"]
        assert ledger.check() == []


def commit_nothing(commit):
    """The connection ends before the commit arrives."""

    def lose(connection):
        connection.connection.driver_connection.close()
        return commit(connection)

    return lose


# --- writers at once -----------------------------------------------------------------------------

WRITER = """
import sys
from pathlib import Path
from kn_edit.errors import KnEditError
from kn_edit.ledger import Ledger
from kn_edit.ledger.folder_blobs import FolderBlobs
from ledgers import delta_of, record, ticking

url, blobs, number, edits = sys.argv[1], FolderBlobs(Path(sys.argv[2])), int(sys.argv[3]), 0
with Ledger.open(url, blobs, clock=ticking().__next__) as ledger:
    while edits < int(sys.argv[4]):
        delta = delta_of((0, edits % 6), value=1000.0 * number + edits)
        try:
            record(ledger, delta, subject=f"writer {number}")
        except KnEditError as error:
            if type(error).__name__ != "HeadMoved":
                raise
        else:
            edits += 1
"""


def test_two_writers_of_one_workspace_lose_no_edit(database, durable, tmp_path, record_property):
    folder = tmp_path / ".kn-edit" / "blobs"
    folder.parent.mkdir()
    durable.execute("CREATE SCHEMA writers")
    url, clock = durable.url("writers"), ticking().__next__
    Ledger.create(url, FolderBlobs(folder), BASE, clock=clock).close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, folder, str(number), str(EDITS)], env=environment
        )
        for number in range(1, WRITERS + 1)
    ]
    assert [writer.wait(timeout=250) for writer in writers] == [0] * WRITERS
    with Ledger.open(url, FolderBlobs(folder), clock=clock) as ledger:
        subjects = [edit.subject for edit in ledger.edits()]
        assert len(ledger.head().edits) == WRITERS * EDITS == len(subjects)
        assert {subjects.count(subject) for subject in subjects} == {EDITS}
        assert len(ledger.log()) == WRITERS * EDITS + 1
        assert ledger.check() == []
    record_property("edits beside others", WRITERS * EDITS)
