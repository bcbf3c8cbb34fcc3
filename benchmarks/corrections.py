"""Corrections of facts that SmolLM2 has wrong, beside other ways to make them, row by row.

    python benchmarks/corrections.py FILE... [--rows 60] [--seed 0] [--methods LIST] [--results DIR]
        [--model M] [--device D] [--share K/N] [--workers N [--address HOST:PORT]]

FILE holds every second row, in order, of WikiBigEdit or QAEdit as published, in
`data/wikibigedit/wikibigedit_3k.json` of github.com/ICT-STAR/LocFT (Thede et al. 2025; MIT) and in
`data/QAEdit_inter_1k.json` of github.com/WanliYoung/Revisit-Editing-Evaluation (Yang et al. 2025;
Apache-2.0); neither is copied into this project. Or it holds own facts, as
`benchmarks/own_facts.jsonl` does.

Rows are drawn by the seed before any result, from rows that the unedited model answers wrong and
whose answer has 1 to 8 tokens; none is left out afterwards. Of these files only rows at even
places are drawn (index 0, 2, ...): those at odd places were used to choose settings. Methods:

correction   kn-edit's, as a user gets it
closed-form  the paper's shifts (Dai et al. 2022) in the 20 slots with the largest parts in the
             correction's keys, l1 = 1 and l2 = 8
random       the correction's solver with keys over 40 random slots of each of its layers
rome         ROME, finetune FT-L: see baselines.py

Columns: the whole answer, generated greedily in as many tokens as it has, on the row's own prompts
(prompt) and on the file's rephrased one; what is said to the file's locality prompts, as many
tokens as the file's answer has, is as before (locality); perplexity of neutral text that no solver
sees, times the unedited model's (neutral); kn-edit's own metrics; CPU seconds of one thread, for
the edit and kn-edit's measuring of it (of the correction also the search for neighbours; of ROME
without C); size of the delta. Intervals, 95%: Wilson's of shares, a row being one trial
of its mean share; else of the bootstrap over rows.

Each row's result is a file in DIR, so a run that was stopped goes on, and processes beside each
other take a share of the rows each: --share 2/16 is the second of sixteen. With --workers N
workers of Ray take a row each, here or on a cluster (--address); this process writes the files, so
the others need no DIR. Results of another state of the code belong in another DIR. The column of
CPU seconds counts rows that ran on the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import torch
from correction_results import ON_ITS_SLOTS, RowShare
from correction_rows import Row, draw, naming, rows_of
from correction_table import ASKED, Result, about_rome, by_naming, table, unmeasured

from kn_edit.atomic import write_atomically
from kn_edit.cli.progress import duration
from kn_edit.engine.engine import Engine
from kn_edit.workspace import Cluster, Workspace

METHODS = ("correction", "closed-form", "random", "rome", "finetune")

T = TypeVar("T")


@dataclass(frozen=True)
class Draw:
    """Which rows of a file, and which share of them this process takes."""

    count: int
    seed: int
    share: tuple[int, int]  # the second of sixteen: (2, 16)

    def own(self, rows: Sequence[T]) -> list[T]:
        share, of = self.share
        return list(rows[share - 1 :: of])


class Table:
    """Results of drawn rows by method, each kept in a file of its own."""

    def __init__(self, engine: Engine, folder: Path, names: Sequence[str]) -> None:
        self._engine, self._folder, self._names = engine, folder, names

    def fill(self, rows: Sequence[Row]) -> None:
        """Make the results that are missing, a row at a time, or as many as there are workers."""
        shares = []
        for row in rows:
            known = {name: self.of(row, name) for name in self._names if self.has(row, name)}
            missing = tuple(name for name in self._names if name not in known)
            if missing:
                shares.append(RowShare(row, missing, known))
        start = time.monotonic()
        results = self._engine.workers.results([], shares)
        for done, (number, made) in enumerate(results, 1):
            for name, result in made.items():
                path = self._path(shares[number].row, name)
                write_atomically(path, json.dumps(result, indent=1) + "\n")
            left = len(shares) - done
            self._tell(made, left, (time.monotonic() - start) / done * left)

    def of(self, row: Row, name: str) -> Result:
        """A result that is there."""
        result: Result = json.loads(self._path(row, name).read_text(encoding="utf-8"))
        return result

    def has(self, row: Row, name: str) -> bool:
        """Whether a result is there."""
        return self._path(row, name).exists()

    def _path(self, row: Row, name: str) -> Path:
        return self._folder / f"{row.file}-{row.index:05}-{name}.json"

    def _tell(self, made: Mapping[str, Result], left: int, seconds: float) -> None:
        """A line about each result of a row, and how long the rest will take, on stderr."""
        for result in made.values():
            shares = " ".join(f"{key} {fmean(result[key] or [math.nan]):.2f}" for key in ASKED)
            print(
                f"{result['file']} {result['row']} {result['method']}: {shares}, "
                f"neutral {result['neutral']:.3f}, {result['seconds']:.0f} s; "
                f"{left} rows to go, {duration(seconds)} left",
                file=sys.stderr,
                flush=True,
            )


def drawn(engine: Engine, path: Path, folder: Path, draw_of: Draw) -> list[Row]:
    """This process's share of the rows of a file, drawn once and noted in the results' folder."""
    rows = rows_of(path)
    note = folder / f"{path.stem}-draw-{draw_of.count}-{draw_of.seed}.json"
    if note.exists():
        known = json.loads(note.read_text(encoding="utf-8"))
        by_index = {row.index: row for row in rows}
        rows = [by_index[index] for index in draw_of.own(known["rows"])]
        again, _ = draw(engine, rows, len(rows), draw_of.seed)  # with what the model says today
        by_index = {row.index: row for row in again}
        return [by_index[row.index] for row in rows]
    chosen, looked = draw(engine, rows, draw_of.count, draw_of.seed)
    text = json.dumps({"rows": [row.index for row in chosen], "looked": looked})
    write_atomically(note, text + "\n")
    print(f"{path.stem}: {len(chosen)} rows drawn, {looked} looked at", file=sys.stderr)
    return draw_of.own(chosen)


def opened(folder: Path, chosen: argparse.Namespace) -> Workspace:
    """A new workspace on a model, with the workers that were asked for."""
    Workspace.init(chosen.model, folder, device=chosen.device).close()
    several = chosen.workers is not None or chosen.address is not None
    cluster = Cluster(chosen.workers or Cluster.workers, chosen.address) if several else None
    return Workspace.open(folder, cluster=cluster)


def _share(text: str) -> tuple[int, int]:
    """K/N as numbers."""
    own, _, shares = text.partition("/")
    if not 1 <= int(own) <= int(shares):
        raise ValueError(text)
    return int(own), int(shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--results", type=Path, default=Path(".corrections"), metavar="DIR")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--share", type=_share, default=(1, 1), metavar="K/N")
    parser.add_argument("--workers", type=int, metavar="N")
    parser.add_argument("--address", metavar="HOST:PORT")
    chosen = parser.parse_args()
    names = [name for name in METHODS if name in chosen.methods.split(",")]
    if unknown := {*chosen.methods.split(",")} - {*METHODS}:
        parser.error(f"no methods of these names: {', '.join(sorted(unknown))}")
    if ON_ITS_SLOTS & {*names} and "correction" not in names:
        parser.error("closed-form and random take the correction's slots: name it too")
    torch.set_num_threads(1)
    chosen.results.mkdir(parents=True, exist_ok=True)
    draw_of = Draw(chosen.rows, chosen.seed, chosen.share)
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(Path(folder), chosen) as workspace,
    ):
        files = {
            path: drawn(workspace.engine, path, chosen.results, draw_of) for path in chosen.files
        }
        results = Table(workspace.engine, chosen.results, names)
        results.fill([row for rows in files.values() for row in rows])
        if draw_of.share != (1, 1):  # the table is of all rows, once they are there
            return
        for path, rows in files.items():
            found = {name: [results.of(row, name) for row in rows] for name in names}
            print(f"\n{path.stem}, seed {chosen.seed}\n\n{table(found)}\n")
            print(by_naming(found, [naming(row) for row in rows]))
            print("\n".join((*about_rome(found.get("rome", [])), *unmeasured(found))))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
