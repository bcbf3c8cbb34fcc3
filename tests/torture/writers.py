"""Processes that write to one ledger at once, beside gc and readers: `writers.py FOLDER N EDITS`.

Prints what stood in the ledger afterwards as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import torch
from ledgers import BASE, about, delta_of

from kn_edit.errors import HeadMoved
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import create_in_folder, open_in_folder

SECONDS_BETWEEN = 0.05  # looks of the reader, and runs of gc


def main(folder: Path, processes: int, edits: int) -> None:
    """Let processes record edits, then say what the ledger holds."""
    torch.set_num_threads(1)
    create_in_folder(folder, BASE, clock=now).close()
    stop = folder.parent / "stop"
    beside = [started(partial(repeated, act, folder, stop)) for act in (_collect, _read)]
    writers = [started(partial(_write, folder, number, edits)) for number in range(processes)]
    codes = waited(writers)
    stop.touch()
    codes += waited(beside)
    with opened(folder) as ledger:
        report = {
            "codes": codes,
            "edits": len(ledger.edits()),
            "recipe": len(ledger.head().edits),
            "moves": len(ledger.log()) - 1,
            "deltas": sum(ledger.delta(edit.id).id == edit.id for edit in ledger.edits()),
            "problems": [str(problem) for problem in ledger.check()],
        }
    sys.stdout.write(json.dumps(report))


def _write(folder: Path, number: int, edits: int) -> None:
    with opened(folder) as ledger:
        for count in range(edits):
            _record(ledger, number, count)


def _record(ledger: Ledger, number: int, count: int) -> None:
    """Record an edit of this writer's own, again on each new head until it is in."""
    delta = delta_of((number % 2, count % 6), value=1.0 + number + count / 256)
    while True:
        plan = ledger.plan_edit(delta, "update", f"edit {count} of writer {number}")
        # Some digest of the version: no weights are built here.
        digest = hashlib.sha256(plan.version.encode()).hexdigest()
        try:
            ledger.advance(plan, dict.fromkeys(delta.tensors, digest), edit=about(delta))
            return
        except HeadMoved:
            continue


def _collect(folder: Path) -> None:
    with opened(folder) as ledger:
        ledger.gc(older_than=timedelta(0))


def _read(folder: Path) -> None:
    with opened(folder) as ledger:
        head = ledger.head()
        for edit in head.edits[-3:]:
            ledger.delta(edit)


def repeated(act: Callable[[Path], None], folder: Path, stop: Path) -> None:
    while not stop.exists():
        act(folder)
        time.sleep(SECONDS_BETWEEN)


def opened(folder: Path) -> Ledger:
    return open_in_folder(folder, clock=now)


def now() -> datetime:
    return datetime.now(UTC)


def waited(children: Iterable[int]) -> list[int]:
    """How processes ended: 0 each where all went well."""
    return [os.waitpid(child, 0)[1] for child in children]


def started(act: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
