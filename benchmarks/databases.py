"""Recording and reading a line of edits on SQLite and on PostgreSQL, both in turns.

    python benchmarks/databases.py postgresql://user@host/database [--edits 1000] [--folder DIR]

The ledgers are those of `benchmarks/ledger.py`, filled through the public interface. Deltas lie in
a folder in both cases. The database has to be empty; its tables are left in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from ledger import BASE, Line, now

from kn_edit.ledger import Ledger
from kn_edit.ledger.folder_blobs import FolderBlobs

REPEAT = 5
READS: dict[str, Callable[[Ledger, Line, int], object]] = {
    "log, 20 moves": lambda ledger, line, n: ledger.log(20),
    "show an edit": lambda ledger, line, n: ledger.edit(line.edit(line.edits - 1 - n).delta.id),
    "blame": lambda ledger, line, n: ledger.blame(line.slot(7 + n)),
    "diff of base and head": lambda ledger, line, n: ledger.diff("base", "head"),
    "all edits": lambda ledger, line, n: ledger.edits(),
    "verify": lambda ledger, line, n: ledger.check(),
}


class Timed:
    """Milliseconds of a clock on the wall and of this process, of each repetition."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def take(self, work: Callable[[], object]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall.append(1000 * (time.perf_counter() - wall))
        self.cpu.append(1000 * (time.process_time() - cpu))

    def __str__(self) -> str:
        return f"{median(self.wall):.1f} ({median(self.cpu):.1f})"


def measured(name: str, urls: Sequence[str], folder: Path, edits: int) -> None:
    """Fill both ledgers, an edit of each in turns, then read them in turns; print a table."""
    places = [(url, FolderBlobs(folder / f"blobs-{n}")) for n, url in enumerate(urls)]
    ledgers = [Ledger.create(url, blobs, BASE, clock=now) for url, blobs in places]
    lines = [Line(edits) for _ in urls]
    rows: dict[str, list[Timed]] = {"record an edit": [Timed() for _ in urls]}
    for number in range(edits):
        for ledger, line, timed in zip(ledgers, lines, rows["record an edit"], strict=True):
            timed.take(lambda: line.record(ledger, number))  # noqa: B023
    heads = [ledger.head().id for ledger in ledgers]
    chains = [ledger.chain() for ledger in ledgers]
    assert len({*heads}) == len({*chains}) == 1, "the databases tell different histories"
    for verb, read in READS.items():
        rows[verb] = [Timed() for _ in urls]
        for repetition in range(REPEAT):
            for ledger, line, timed in zip(ledgers, lines, rows[verb], strict=True):
                timed.take(lambda: read(ledger, line, repetition))  # noqa: B023
    for ledger in ledgers:
        ledger.close()
    opening = [Timed() for _ in urls]
    for _ in range(REPEAT):
        for (url, blobs), timed in zip(places, opening, strict=True):
            timed.take(lambda: Ledger.open(url, blobs, clock=now).close())  # noqa: B023
    rows["open"] = opening
    print(f"| {edits:,} edits, ms (of the processor) | SQLite | {name} |\n|---|---|---|")
    for verb, times in rows.items():
        print(f"| {verb} | {' | '.join(map(str, times))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database")
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        urls = [f"sqlite:///{folder}/ledger.db", chosen.database]
        measured("PostgreSQL", urls, Path(folder), chosen.edits)


if __name__ == "__main__":
    main()
