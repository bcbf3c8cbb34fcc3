"""What is acknowledged is recorded, and what is refused is not, even where the commit fails."""

from __future__ import annotations

import sqlite3
from functools import partial

import pytest
from ledgers import about, delta_of, digests, folder_of, new_ledger, open_ledger, record

from kn_edit.errors import CommitUnknown, ExitCode, LedgerUnusable
from kn_edit.ledger import Adoption, Publication
from kn_edit.ledger.history import version_id
from kn_edit.ledger.sqlite import engine_for

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))


class Cursor(sqlite3.Cursor):
    """A cursor whose COMMIT reports that the disk failed: before it, after it, or for good."""

    def execute(self, statement, *parameters):
        moment = self.connection.moment
        if statement == "COMMIT" and moment:
            if moment != "before":
                super().execute(statement)
            self.connection.moment = ""
            raise failure()
        return super().execute(statement, *parameters)


class Failing(sqlite3.Connection):
    """A connection of such cursors."""

    moment = ""

    def cursor(self, factory=Cursor):
        return super().cursor(factory)


def failure() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


def connect(path, moment: str, first: list[bool]) -> sqlite3.Connection:
    if first and moment == "for good":
        raise failure()
    connection = sqlite3.connect(path, factory=Failing)
    connection.moment = "" if first else moment
    first.append(True)
    return connection


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        record(ledger, A)
        yield ledger


def fail_at_commit(ledger, moment: str) -> None:
    """Let the commit of the next transaction fail."""
    path = folder_of(ledger) / "ledger.db"
    ledger._database.dialect.engine = engine_for(partial(connect, path, moment, []), 30)


def adoption() -> Adoption:
    return Adoption("a/b@main", version_id("f" * 64, (B.id,)), (B.id,), (about(B),), "pull")


VERBS = {
    "advance": lambda ledger, plan: ledger.advance(plan, digests([A, B]), edit=about(B)),
    "tag": lambda ledger, plan: ledger.tag("v1"),
    "adopt": lambda ledger, plan: ledger.adopt(adoption(), digests([B])),
    "publish": lambda ledger, plan: ledger.note_publication(
        Publication("a/b", "main", "c" * 40, plan.from_head, "delta", None)
    ),
    "base": lambda ledger, plan: ledger.set_base("/elsewhere", None),
}


def state(folder) -> list[object]:
    with open_ledger(folder) as ledger:
        assert ledger.check() == []
        return [ledger.head(), ledger.refs(), ledger.publications(), ledger.base, ledger.edits()]


@pytest.mark.parametrize("verb", VERBS)
def test_a_commit_that_reports_an_error_but_landed_is_a_success(ledger, tmp_path, verb):
    before, plan = state(tmp_path), ledger.plan_edit(B, "update")
    fail_at_commit(ledger, "after")
    VERBS[verb](ledger, plan)
    assert state(tmp_path) != before


@pytest.mark.parametrize("verb", VERBS)
def test_a_commit_that_did_not_land_is_an_error_and_can_be_tried_again(ledger, tmp_path, verb):
    before, plan = state(tmp_path), ledger.plan_edit(B, "update")
    fail_at_commit(ledger, "before")
    with pytest.raises(LedgerUnusable, match="disk I/O error") as caught:
        VERBS[verb](ledger, plan)
    assert caught.value.exit_code == ExitCode.DISK
    assert state(tmp_path) == before
    VERBS[verb](ledger, plan)
    assert state(tmp_path) != before


@pytest.mark.parametrize("verb", VERBS)
def test_where_the_disk_does_not_tell_the_sentence_says_how_to_look(ledger, verb):
    plan = ledger.plan_edit(B, "update")
    fail_at_commit(ledger, "for good")
    with pytest.raises(CommitUnknown, match=r"`workspace\.log\(\)`") as caught:
        VERBS[verb](ledger, plan)
    assert caught.value.exit_code == ExitCode.DISK


def test_a_transaction_that_wrote_nothing_fails_as_itself(ledger):
    ledger.tag("v1")
    fail_at_commit(ledger, "before")
    with pytest.raises(LedgerUnusable):
        ledger.tag("v1")  # it is there already
    assert [ref.name for ref in ledger.refs()] == ["main", "v1"]
