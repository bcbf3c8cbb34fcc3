"""Whatever is changed in a ledger's file, `verify` reports it and nothing breaks.

KN_EDIT_TORTURE=1 tries thousands of changes; without it more than a hundred.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import open_ledger
from mutations import (
    Change,
    contents,
    object_changes,
    page_changes,
    rich_ledger,
    row_changes,
    rows_of,
)

from kn_edit.errors import KnEditError

TORTURE = bool(os.environ.get("KN_EDIT_TORTURE"))
ROWS = 1500 if TORTURE else 60
PAGES = 700 if TORTURE else 30
SELDOM = 1 if TORTURE else 4  # of so many reported changes one is read in every way


class Examiner:
    """A ledger that is changed again and again, always from the same state."""

    def __init__(self, folder: Path) -> None:
        rich_ledger(folder)
        self.folder = folder
        self.file = folder / ".kn-edit" / "ledger.db"
        self.sound = folder / "sound.db"
        shutil.copy(self.file, self.sound)
        with open_ledger(folder) as ledger:
            self.edits = tuple(edit.id for edit in ledger.edits())
            with closing(sqlite3.connect(self.file)) as plain:
                self.versions = tuple(row[0] for row in plain.execute("SELECT id FROM versions"))
            self.contents = contents(ledger, self.versions, self.edits)
        self.rows = rows_of(self.sound)
        self.tried = 0

    def fault(self, change: Change) -> str | None:
        """What is wrong with how a change was taken; None if all is well."""
        for rest in ("-wal", "-shm", "-journal"):
            Path(f"{self.file}{rest}").unlink(missing_ok=True)
        shutil.copy(self.sound, self.file)
        change.apply(self.file)
        changed = rows_of(self.file) != self.rows
        self.tried += 1
        try:
            with open_ledger(self.folder) as ledger:
                problems = ledger.check()
                if problems and self.tried % SELDOM:
                    return None
                seen = contents(ledger, self.versions, self.edits)
        except KnEditError:
            return None if changed else "refused, and nothing is changed"
        except Exception as error:  # the very thing that must not happen
            return f"ended in {type(error).__name__}: {error}"
        if problems or not changed:
            return None
        return "missed" if seen != self.contents else None

    def faults(self, changes: Iterable[Change]) -> list[str]:
        """Every change that was not taken as it should be."""
        found = ((change.name, self.fault(change)) for change in changes)
        return [f"{name} -> {fault}" for name, fault in found if fault]


@pytest.fixture(scope="module")
def examiner(tmp_path_factory):
    return Examiner(tmp_path_factory.mktemp("mutations"))


def test_the_ledger_as_it_is_has_no_fault(examiner):
    assert examiner.fault(Change("none", lambda file: None)) is None
    assert not [part for part in examiner.contents if isinstance(part, type)]


def test_every_changed_row_is_reported(examiner):
    changes = row_changes(examiner.sound, random.Random(17))
    assert examiner.faults(itertools.islice(changes, ROWS)) == []


def test_every_change_of_tables_views_triggers_and_indexes_is_reported(examiner):
    assert examiner.faults(object_changes()) == []


def test_every_changed_page_is_reported(examiner):
    assert examiner.faults(itertools.islice(page_changes(random.Random(18)), PAGES)) == []
