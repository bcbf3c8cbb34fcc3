"""Time and space of a ledger with few edits and with many, all in one line.

    python benchmarks/ledger.py [--edits 1000 100000] [--repeat 9] [--folder DIR] [--json FILE]
        [--write docs/performance.md]

The ledgers are filled through the public interface, an edit at a time, each in a transaction of its
own (`Ledger.plan_edit`, `Ledger.advance`). Each edit adds to one value slot, and five edits share
each slot. A version touches 12 tensors. What is measured are the public verbs of `Ledger`, and the
commands `log -n 20`, `show`, `blame` and `diff`: both sizes in turns, in one run. Every figure is
the median of the repetitions, in milliseconds of the processor: `opened` with a ledger that is
opened for it and knows no list yet, `again` with one that stays open.

`--folder` keeps the filled ledgers there, and takes them from there the next time; it may lie in
memory, as waiting for a disk is no part of what is measured. `--write` puts the tables into a page,
between its marks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import torch

from kn_edit.edits.delta import BaseRef, Delta, Mode, SlotChanges
from kn_edit.ledger import Advance, BaseRecord, Ledger, NewEdit, lists
from kn_edit.ledger.in_folder import create_in_folder, open_in_folder
from kn_edit.neuron import NeuronId

TENSORS = tuple(f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(12))
FINGERPRINT = "f" * 64
BASE = BaseRecord("demo", None, None, FINGERPRINT, "/models/demo", "llama", "bfloat16")
SHARING = 5  # edits of a slot
SIDES = 64  # versions with three edits of their own, for `compose`
FILLED = "filled.json"  # beside a ledger: what filling it took
MARKS = ("<!-- ledger: begin -->", "<!-- ledger: end -->")
COMMAND = Path(__file__).with_name("ledger_command.py")


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

    def record(self, ledger: Ledger, number: int) -> None:
        """Record an edit, as an update does."""
        edit = self.edit(number)
        plan = ledger.plan_edit(edit.delta, "update", edit.message)
        ledger.advance(plan, self.digests_with(edit, plan.version), edit=edit)


@dataclass
class Bench:
    """A filled ledger that is measured.

    bytes: of its database when it was filled; filling: milliseconds of the processor for an edit
    next: the number of the next edit that is new to it
    before_end: the version that lacks the last three edits of the line
    """

    folder: Path
    line: Line
    bytes: int = 0
    filling: float = 0.0
    parts: dict[str, int] = field(default_factory=dict)
    next: int = 0
    before_end: str = ""

    def opened(self) -> Ledger:
        return open_in_folder(self.folder, clock=now)


def now() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def filled(place: Path, edits: int) -> Bench:
    """A ledger with so many edits in a folder of its own, filled unless it is there already."""
    bench = Bench(place / f"ledger-{edits}" / ".kn-edit", Line(edits))
    note = bench.folder.parent / FILLED
    if not note.exists():
        start = time.process_time()
        fill(bench.folder, bench.line)
        bench.filling = 1000 * (time.process_time() - start) / edits
        bench.bytes = (bench.folder / "ledger.db").stat().st_size
        bench.parts = {name: round(size / edits) for name, size in bytes_of(bench.folder).items()}
        side_versions(bench)
        bench.next = edits + 1_000_000
        save(bench, note)
    stored = json.loads(note.read_text())
    bench.bytes, bench.filling = stored["bytes"], stored["filling"]
    bench.parts, bench.next = stored["parts"], stored["next"]
    with bench.opened() as ledger:
        end = ledger.version("end")
        bench.line.digests, bench.before_end = (
            dict(end.digests),
            end.edits[:-3].version_id(FINGERPRINT),
        )
        go_to(ledger, "end")
    per_edit, cost = bench.bytes / edits, bench.filling
    print(f"{edits:,} edits: {per_edit:,.0f} bytes and {cost:.1f} ms each", flush=True)
    return bench


def save(bench: Bench, note: Path) -> None:
    told = {name: getattr(bench, name) for name in ("bytes", "filling", "parts", "next")}
    note.write_text(json.dumps(told))


def fill(folder: Path, line: Line) -> None:
    """Record the edits of a line, one after the other."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with create_in_folder(folder, BASE, clock=now) as ledger:
        for number in range(line.edits):
            line.record(ledger, number)
            if number % 10_000 == 9_999:
                print(f"  {number + 1:,} edits, {time.process_time():,.0f} s", flush=True)
        ledger.tag("end")


def side_versions(bench: Bench) -> None:
    """Tags of versions with three edits of their own, for `compose`; the head is as before."""
    with bench.opened() as ledger:
        for number in range(SIDES):
            start = bench.line.edits + 100_000 + 3 * number
            go_to(ledger, "base")
            for edit in map(bench.line.edit, range(start, start + 3)):
                plan = ledger.plan_edit(edit.delta, "update", edit.message)
                ledger.advance(plan, made_up(plan, TENSORS[:1]), edit=edit)
            ledger.tag(f"few-{number}")
        go_to(ledger, "end")


def made_up(plan: Advance, tensors: Sequence[str] = TENSORS) -> dict[str, str]:
    digest = hashlib.sha256(plan.version.encode()).hexdigest()
    return dict.fromkeys(tensors, digest)


def go_to(ledger: Ledger, version: str) -> None:
    if ledger.head().id != ledger.version(version).id:
        plan = ledger.plan_rewind(version)
        ledger.advance(plan, ledger.version(version).digests)


Verb = Callable[[Bench, Ledger, int], object]


def move(ledger: Ledger, plan: Advance) -> object:
    return ledger.advance(plan, made_up(plan))


def record(bench: Bench, ledger: Ledger, number: int) -> object:
    bench.next += 1
    return bench.line.record(ledger, bench.next)


def revert_late(bench: Bench, ledger: Ledger, number: int) -> object:
    id_ = bench.line.edit(bench.line.edits - 20 - number).delta.id
    return move(ledger, ledger.plan_revert(id_, allow_overlap=True))


def revert_early(bench: Bench, ledger: Ledger, number: int) -> object:
    id_ = bench.line.edit(number).delta.id
    return move(ledger, ledger.plan_revert(id_, allow_overlap=True))


def compose(bench: Bench, ledger: Ledger, number: int) -> object:
    return move(ledger, ledger.plan_compose([f"few-{number}"], allow_overlap=True))


def show(bench: Bench, ledger: Ledger, number: int) -> object:
    return ledger.edit(bench.line.edit(bench.line.edits - 1 - number).delta.id)


VERBS: dict[str, Verb] = {
    "log, 20 moves": lambda bench, ledger, number: ledger.log(20),
    "show an edit": show,
    "blame": lambda bench, ledger, number: ledger.blame(bench.line.slot(7 + number)),
    "tag": lambda bench, ledger, number: ledger.tag(f"tag-{time.time_ns()}"),
    "record an edit": record,
    "compose with 3 edits": compose,
    "revert a late edit": revert_late,
    "revert an early edit": revert_early,
    "diff of 3 edits": lambda bench, ledger, number: ledger.diff(bench.before_end, "end"),
    "the list of the head": lambda bench, ledger, number: tuple(ledger.head().edits),
}
MOVES = ("record an edit", "compose with 3 edits", "revert a late edit", "revert an early edit")


@dataclass(frozen=True)
class Figure:
    """Milliseconds of the processor that a verb takes, by the number of edits of the ledger."""

    verb: str
    opened: dict[int, float]
    again: dict[int, float]


def measured(benches: Sequence[Bench], repeat: int) -> Iterator[Figure]:
    """What each verb takes, both sizes in turns."""
    for name, verb in VERBS.items():
        opened: dict[int, list[float]] = {bench.line.edits: [] for bench in benches}
        again: dict[int, list[float]] = {bench.line.edits: [] for bench in benches}
        for number in range(repeat):
            for bench in benches:
                lists.forget()
                start = time.process_time()
                with bench.opened() as ledger:
                    verb(bench, ledger, number)
                    opened[bench.line.edits].append(time.process_time() - start)
        with ExitStack() as stack:
            ledgers = [stack.enter_context(bench.opened()) for bench in benches]
            for number in range(repeat, 2 * repeat):
                for bench, ledger in zip(benches, ledgers, strict=True):
                    start = time.process_time()
                    verb(bench, ledger, number)
                    again[bench.line.edits].append(time.process_time() - start)
        if name in MOVES:
            for bench in benches:
                with bench.opened() as ledger:
                    go_to(ledger, "end")
        figure = Figure(name, medians(opened), medians(again))
        print(f"  {name:22} {figure.opened} opened, {figure.again} again", flush=True)
        yield figure


LISTS: dict[str, Callable[[Ledger], int]] = {  # each gives how many lines it prints
    "log, every move": lambda ledger: len(ledger.log()),
    "diff of base and head": lambda ledger: len(ledger.diff("base", "end").only_b),
}


@dataclass(frozen=True)
class Linear:
    """Microseconds of the processor for a line of a long answer, by the size of the ledger."""

    verb: str
    lines: dict[int, int]
    each: dict[int, float]


def linear(benches: Sequence[Bench], repeat: int = 3) -> Iterator[Linear]:
    """What a line takes of the answers that are as long as the history."""
    for name, verb in LISTS.items():
        times: dict[int, list[float]] = {bench.line.edits: [] for bench in benches}
        lines = {}
        for _ in range(repeat):
            for bench in benches:
                start = time.process_time()
                with bench.opened() as ledger:
                    lines[bench.line.edits] = verb(ledger)
                times[bench.line.edits].append(time.process_time() - start)
        each = {edits: 1e6 * median(taken) / lines[edits] for edits, taken in times.items()}
        print(f"  {name:22} {each}", flush=True)
        yield Linear(name, lines, each)


def medians(times: dict[int, list[float]]) -> dict[int, float]:
    return {edits: round(1000 * median(each), 2) for edits, each in times.items()}


def commands(benches: Sequence[Bench], repeat: int) -> Iterator[Figure]:
    """What commands take once their modules are there: each in a process that imports no torch."""
    for name in ("log", "show", "blame", "diff"):
        times: dict[int, list[float]] = {bench.line.edits: [] for bench in benches}
        for number in range(repeat):
            for bench in benches:
                arguments = {
                    "log": ["-n", "20"],
                    "show": [bench.line.edit(bench.line.edits - 1 - number).delta.id],
                    "blame": [str(bench.line.slot(7 + number))],
                    "diff": [bench.before_end, "end"],
                }[name]
                workspace = ["--workspace", str(bench.folder.parent)]
                done = subprocess.run(
                    [sys.executable, str(COMMAND), name, *arguments, *workspace],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                times[bench.line.edits].append(json.loads(done.stdout)["seconds"])
        figure = Figure(f"`kn-edit {name}`", medians(times), {})
        print(f"  {figure.verb:22} {figure.opened}", flush=True)
        yield figure


def bytes_of(folder: Path) -> dict[str, int]:
    """Bytes of each table and index of a ledger's database."""
    with closing(sqlite3.connect(folder / "ledger.db")) as plain:
        query = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"
        return dict(plain.execute(query))


def tables(benches: Sequence[Bench], figures: Sequence[Figure], lists_: Sequence[Linear]) -> str:
    """The figures as tables of a page."""
    few, many = benches[0].line.edits, benches[-1].line.edits
    lines = [
        f"| | {few:,} edits, opened | {many:,} | | {few:,} edits, again | {many:,} | |",
        "|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        cells = [*_cells(figure.opened, few, many), *_cells(figure.again, few, many)]
        lines.append(f"| {figure.verb} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| a line of | {few:,} edits | {many:,} | |",
        "|---|---|---|---|",
    ]
    for each in lists_:
        few_us, many_us = each.each[few], each.each[many]
        cells = [f"{few_us:.0f} µs", f"{many_us:.0f} µs", f"×{many_us / few_us:.1f}"]
        lines.append(_row(each.verb, cells))
    lines += [
        "",
        f"| | {few:,} edits | {many:,} edits |",
        "|---|---|---|",
        _row("the database, an edit", [f"{b.bytes / b.line.edits:,.0f} bytes" for b in benches]),
        _row("filling it, an edit", [f"{b.filling:.1f} ms" for b in benches]),
    ]
    return "\n".join(lines)


def _cells(times: dict[int, float], few: int, many: int) -> list[str]:
    if not times:
        return ["", "", ""]
    return [f"{times[few]:.1f}", f"{times[many]:.1f}", f"×{times[many] / times[few]:.1f}"]


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def write(page: Path, text: str) -> None:
    """Put tables between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edits", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    with ExitStack() as stack:
        place = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        benches = [filled(place, edits) for edits in chosen.edits]
        figures = [*measured(benches, chosen.repeat), *commands(benches, chosen.repeat)]
        long_answers = [*linear(benches)]
        for bench in benches:
            save(bench, bench.folder.parent / FILLED)
    print(text := tables(benches, figures, long_answers))
    if chosen.write:
        write(chosen.write, text)
    if chosen.json:
        sizes = {bench.line.edits: bench.parts for bench in benches}
        told = {"bytes an edit of": sizes, "figures": [*map(asdict, figures)]}
        chosen.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
