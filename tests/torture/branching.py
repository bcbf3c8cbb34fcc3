"""Processes that switch and record in one ledger at once: `branching.py FOLDER N EDITS`.

Each records on a branch of its own, on which it was when its plan was made, while all of them and
one more process switch. Prints what stood in the ledger afterwards as JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import torch
from ledgers import BASE, about, delta_of
from writers import now, opened, repeated, started, waited

from kn_edit.errors import HeadMoved
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import create_in_folder


def main(folder: Path, processes: int, edits: int) -> None:
    """Let processes switch and record, then say what the ledger holds."""
    torch.set_num_threads(1)
    names = [f"line-{number}" for number in range(processes)]
    with create_in_folder(folder, BASE, clock=now) as ledger:
        for name in names:
            ledger.make_branch(name)
    stop = folder.parent / "stop"
    beside = [
        started(partial(repeated, act, folder, stop))
        for act in (partial(_switch, names), partial(_look, names))
    ]
    writers = [
        started(partial(_write, folder, number, name, edits)) for number, name in enumerate(names)
    ]
    codes = waited(writers)
    stop.touch()
    codes += waited(beside)
    with opened(folder) as ledger:
        report = {
            "codes": codes,
            "edits": len(ledger.edits()),
            "branches": {branch.name: branch.edits for branch in ledger.branches()},
            "own": {name: _own(ledger, name) for name in names},
            "current": sum(branch.current for branch in ledger.branches()),
            "problems": [str(problem) for problem in ledger.check()],
        }
    sys.stdout.write(json.dumps(report))


def _own(ledger: Ledger, name: str) -> bool:
    """Whether a branch has edits of its own writer alone, each step on it."""
    steps = [step for step in ledger.log(branch=name) if step.kind == "update"]
    ours = all(step.message.endswith(f" of {name}") for step in steps)
    return ours and all(step.branch == name for step in steps)


def _write(folder: Path, number: int, name: str, edits: int) -> None:
    with opened(folder) as ledger:
        for count in range(edits):
            delta = delta_of((number % 2, count % 6), value=1.0 + number + count / 256)
            while True:
                ledger.switch(name)
                current = ledger.current_branch().name
                plan = ledger.plan_edit(delta, "update", f"edit {count} of {current}")
                if plan.branch != name or current != name:  # somebody switched between
                    continue
                digest = hashlib.sha256(plan.version.encode()).hexdigest()
                try:
                    ledger.advance(plan, dict.fromkeys(delta.tensors, digest), edit=about(delta))
                    break
                except HeadMoved:
                    continue


def _switch(names: list[str], folder: Path) -> None:
    with opened(folder) as ledger:
        for name in ("main", *names):
            ledger.switch(name)


def _look(names: list[str], folder: Path) -> None:
    with opened(folder) as ledger:
        assert sum(branch.current for branch in ledger.branches()) == 1
        assert {ref.name for ref in ledger.refs()} == {"main", *names}
        ledger.graph(5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
