"""Upgrade an old ledger again and again, killed at each statement. Run by test_ledger_upgrade.py.

Arguments: the workspace folder with the old ledger; 1 for each statement, 2 for every other one,
and so on; 1 to open each ledger that was left, 10 for one in ten of those that hold what the old
one does, row for row. Prints, as JSON, how many statements there are and what was wrong after which
of them. Needs no torch, so that it can fork.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from old_dumps import old_recipes
from sqlalchemy import event

from kn_edit.ledger import structure
from kn_edit.ledger.database import Database
from kn_edit.ledger.in_folder import open_in_folder
from kn_edit.ledger.tables import SCHEMA

FOLDER = Path(sys.argv[1])
PATH = FOLDER / ".kn-edit" / "ledger.db"
STRIDE, OPENED = int(sys.argv[2]), int(sys.argv[3])
SOUND = FOLDER / "old.db"


def rows(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as plain:
        return list(plain.iterdump())


def upgrade(kill_at: int | None) -> int:
    """Upgrade in this process; how many statements that took."""
    seen = 0

    def count(_: str) -> None:
        nonlocal seen
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database.in_file(PATH)
    upgrader = database.dialect.upgrader()
    event.listen(upgrader, "connect", lambda plain, _: plain.set_trace_callback(count))
    database.dialect.upgrader = lambda: upgrader
    database.upgrade()
    database.close()
    return seen


def restored() -> None:
    for rest in ("", "-wal", "-shm", "-journal"):
        Path(f"{PATH}{rest}").unlink(missing_ok=True)
    shutil.copy(SOUND, PATH)


def killed(kill_at: int) -> None:
    restored()
    child = os.fork()
    if child == 0:
        upgrade(kill_at)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def fault(expected: dict[str, tuple[str, ...]], old: list[str], *, opens_old: bool) -> str | None:
    """What is wrong with the ledger after a kill; None if it is the old or the new one, whole.

    opens_old: whether a ledger with the rows of the old one is opened, too
    """
    with closing(sqlite3.connect(PATH)) as plain:  # replays what a killed process left
        schema = plain.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    if schema != SCHEMA:
        if rows(PATH) != old:
            return "neither old nor new"
        if not opens_old:
            return None
    with open_in_folder(PATH.parent, clock=lambda: datetime.now(UTC)) as ledger:
        found = {id_: tuple(ledger.version(id_).edits) for id_ in expected}
        with ledger._database.reading() as connection:
            faults = list(structure.faults(connection.raw))
        if found != expected or faults or not ledger.log() or not ledger.edits():
            return "not whole when opened"
    return None


def main() -> None:
    shutil.copy(PATH, SOUND)
    expected, old = old_recipes(SOUND), rows(SOUND)
    restored()
    statements = upgrade(None)
    faults = {}
    for index, number in enumerate(range(1, statements + 1, STRIDE)):
        killed(number)
        wrong = fault(expected, old, opens_old=index % OPENED == 0)
        if wrong:
            faults[number] = wrong
    sys.stdout.write(json.dumps({"statements": statements, "faults": faults}))


main()
