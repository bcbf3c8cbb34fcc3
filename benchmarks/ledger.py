"""Space and time of a ledger with few edits and with many, all in one line.

    python benchmarks/ledger.py [--edits 1000 100000] [--repeat 15] [--folder DIR] [--json FILE]

Each edit adds to one value slot, and five edits share each slot. A version touches 12 tensors. The
ledgers are filled by the functions that record an edit, 500 in one transaction; what is measured
goes through the public verbs of a ledger. Every figure is the median of the repetitions, in
milliseconds of the processor: `opened` with a ledger that is opened for it and knows no list yet,
`again` with one that stays open. `--folder` may lie in memory, as waiting for a disk is no part of
it. Filling takes 10 ms an edit, so a quarter of an hour for 100,000.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from kn_edit.edits.delta import BaseRef, Delta, Mode, SlotChanges
from kn_edit.ledger import Advance, BaseRecord, Ledger, NewEdit, lists, writing
from kn_edit.ledger.history import version_id
from kn_edit.ledger.in_folder import create_in_folder, open_in_folder
from kn_edit.ledger.recipes import Recipe
from kn_edit.neuron import NeuronId

TENSORS = tuple(f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(12))
FINGERPRINT = "f" * 64
BASE = BaseRecord("demo", None, None, FINGERPRINT, "/models/demo", "llama", "bfloat16")
SHARING = 5  # edits of a slot
AT_ONCE = 500  # edits of a transaction
MOMENT = "2026-01-01T00:00:00+00:00"


class Line:
    """The edits of a ledger of this size, and what comes after them."""

    def __init__(self, edits: int) -> None:
        self.edits = edits
        self.slots = max(1, edits // SHARING)
        self.digests: dict[str, str] = {}

    def slot(self, number: int) -> NeuronId:
        place = number % self.slots
        return NeuronId(place % len(TENSORS), place // len(TENSORS))

    def edit(self, number: int) -> NewEdit:
        """An edit of one slot with three numbers."""
        slot = self.slot(number)
        change = SlotChanges(
            "row",
            torch.tensor([slot.index]),
            torch.full((1,), Mode.ADD, dtype=torch.uint8),
            torch.full((1, 3), float(number + 1)),
        )
        return NewEdit(
            delta=Delta(BaseRef(None, None, FINGERPRINT), {TENSORS[slot.layer]: change}),
            kind="update",
            relation="capital",
            subject=f"Country {number}",
            answer="Paris",
            target="Rome",
            method="calibrated",
            found={"rule": "adaptive"},
            metrics={"efficacy": 1.0},
            message=f"Country {number}: Paris -> Rome",
        )

    def digests_with(self, edit: NewEdit, version: str) -> dict[str, str]:
        """Made up digests: of the tensor of the edit another one, of the rest those before."""
        (tensor,) = edit.delta.tensors
        self.digests[tensor] = hashlib.sha256(f"{version} {tensor}".encode()).hexdigest()
        return dict(self.digests)


def now() -> datetime:
    return datetime.fromisoformat(MOMENT).astimezone(UTC)


def fill(folder: Path, line: Line) -> None:
    """Record the edits of a line, many in one transaction."""
    with create_in_folder(folder, BASE, clock=now) as ledger:
        head = ledger.head()
        version, recipe = head.id, Recipe(head.edits)
        for first in range(0, line.edits, AT_ONCE):
            edits = [line.edit(n) for n in range(first, min(first + AT_ONCE, line.edits))]
            for edit in edits:
                path = ledger.blobs.path(edit.delta.id)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(edit.delta.to_bytes())
            with ledger._database.writing() as connection:
                for edit in edits:
                    recipe = recipe.appended((edit.delta.id,))
                    new, id_ = version_id(FINGERPRINT, recipe), edit.delta.id
                    plan = Advance("update", new, recipe, (version,), version, edit.message, id_)
                    digests = line.digests_with(edit, new)
                    writing.add_edit(connection, edit, MOMENT)
                    writing.add_version(connection, plan, digests, FINGERPRINT, MOMENT)
                    writing.add_evaluation(connection, new, edit, MOMENT)
                    writing.move_branch(connection, plan, MOMENT)
                    version = new


Verb = Callable[[Ledger, int], object]


def verbs(line: Line) -> dict[str, Verb]:
    """What is measured, each by a function of the ledger and the number of the repetition."""
    last = line.edits - 1

    def record(ledger: Ledger, number: int) -> object:
        edit = line.edit(next(numbers))
        plan = ledger.plan_edit(edit.delta, "update", edit.message)
        return ledger.advance(plan, line.digests_with(edit, plan.version), edit=edit)

    def move(ledger: Ledger, plan: Advance) -> object:
        digests = {name: hashlib.sha256(plan.version.encode()).hexdigest() for name in TENSORS}
        return ledger.advance(plan, digests)

    def revert(ledger: Ledger, number: int) -> object:
        id_ = line.edit(last - 3 - number).delta.id
        return move(ledger, ledger.plan_revert(id_, allow_overlap=True))

    def revert_first(ledger: Ledger, number: int) -> object:
        id_ = line.edit(number).delta.id
        return move(ledger, ledger.plan_revert(id_, allow_overlap=True))

    def compose(ledger: Ledger, number: int) -> object:
        return move(ledger, ledger.plan_compose([f"few-{number}"], allow_overlap=True))

    def diff(ledger: Ledger, number: int) -> object:
        return ledger.diff(ledger.log(4)[-1].version, "head")

    numbers = iter(range(line.edits + 1_000_000, line.edits + 2_000_000))
    return {
        "log, 20 moves": lambda ledger, number: ledger.log(20),
        "show an edit": lambda ledger, number: ledger.edit(line.edit(last - number).delta.id),
        "blame": lambda ledger, number: ledger.blame(line.slot(7 + number)),
        "tag": lambda ledger, number: ledger.tag(f"tag-{time.time_ns()}"),
        "record an edit": record,
        "compose with 3 edits": compose,
        "revert a late edit": revert,
        "diff of 3 edits": diff,
        "the list of the head": lambda ledger, number: tuple(ledger.head().edits),
        "revert an early edit": revert_first,
    }


def side_versions(folder: Path, line: Line, count: int) -> None:
    """Tags of versions with three edits of their own, for `compose`."""
    with open_in_folder(folder, clock=now) as ledger:
        head = ledger.head().id
        for number in range(count):
            start = line.edits + 100_000 + 3 * number
            go_to(ledger, "base")
            for edit in map(line.edit, range(start, start + 3)):
                plan = ledger.plan_edit(edit.delta, "update", edit.message)
                digests = {TENSORS[0]: hashlib.sha256(plan.version.encode()).hexdigest()}
                ledger.advance(plan, digests, edit=edit)
            ledger.tag(f"few-{number}")
        go_to(ledger, head)


def go_to(ledger: Ledger, version: str) -> None:
    if ledger.head().id != ledger.version(version).id:
        plan = ledger.plan_rewind(version)
        ledger.advance(plan, ledger.version(version).digests)


def measured(folder: Path, line: Line, repeat: int) -> Iterator[tuple[str, float, float]]:
    """The name of each verb, and the milliseconds that it takes opened for it and again."""
    for name, verb in verbs(line).items():
        opened, again = [], []
        for number in range(repeat):
            lists.forget()
            start = time.process_time()
            with open_in_folder(folder, clock=now) as ledger:
                verb(ledger, number)
                opened.append(time.process_time() - start)
        with open_in_folder(folder, clock=now) as ledger:
            for number in range(repeat):
                start = time.process_time()
                verb(ledger, repeat + number)
                again.append(time.process_time() - start)
        yield name, 1000 * median(opened), 1000 * median(again)


def bytes_of(folder: Path) -> dict[str, int]:
    """Bytes of each table and index of a ledger's database."""
    with closing(sqlite3.connect(folder / "ledger.db")) as plain:
        query = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
        return dict(plain.execute(query))


def measure(edits: int, repeat: int, place: Path | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        folder, line = Path(temporary) / ".kn-edit", Line(edits)
        start = time.process_time()
        fill(folder, line)
        filling = 1000 * (time.process_time() - start) / edits
        size = (folder / "ledger.db").stat().st_size
        print(
            f"{edits:,} edits: {size / edits:,.0f} bytes an edit, filled in {filling:.1f} ms each"
        )
        parts = {name: round(size / edits) for name, size in bytes_of(folder).items()}
        side_versions(folder, line, 2 * repeat)
        times = {}
        for name, opened, again in measured(folder, line, repeat):
            times[name] = {"opened": round(opened, 2), "again": round(again, 2)}
            print(f"  {name:24} {opened:8.1f} ms opened {again:8.1f} ms again", flush=True)
    return {"edits": edits, "bytes": size, "bytes an edit of": parts, "milliseconds": times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    results = [measure(edits, chosen.repeat, chosen.folder) for edits in chosen.edits]
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
