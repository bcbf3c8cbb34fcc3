"""Corrections of facts that SmolLM2 has wrong, beside other ways to make them, row by row.

    python benchmarks/corrections.py FILE... [--rows 60] [--seed 0] [--methods LIST] [--results DIR]
        [--device D] [--share K/N]

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
other take a share of the rows each: --share 2/16 is the second of sixteen. Results of another state
of the code belong in another DIR. The column of CPU seconds counts rows that ran on the CPU.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from statistics import fmean
from typing import TypeVar

import torch
from baselines import Rome, fine_tuned
from correction_rows import Judge, Row, asked, draw, naming, neutral_perplexity, rows_of
from correction_table import ASKED, COUNTED, Result, about_rome, by_naming, table, unmeasured

from kn_edit.atomic import write_atomically
from kn_edit.cli.progress import duration
from kn_edit.editing.correcting import CorrectionTask, correction
from kn_edit.editing.correction_keys import written_layers
from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.measuring import UpdateExam
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.neighbours import neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.updates import ClosedForm, Correction
from kn_edit.editing.updating import LowRankShifts, Shifts
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.update import closed_form
from kn_edit.engine.engine import Engine
from kn_edit.engine.version import ModelVersion
from kn_edit.errors import KnEditError
from kn_edit.evaluation.metrics import Probes
from kn_edit.models.model import Model
from kn_edit.models.questions import ask
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Workspace

METHODS = ("correction", "closed-form", "random", "rome", "finetune")
SOLVED = ("steps", "margin", "kl", "spill")  # what a solver says of itself
ON_ITS_SLOTS = {"closed-form", "random"}  # of the correction, or of its layers
RANDOM_SLOTS = 40  # of each layer

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


class Methods:
    """The methods on one engine; each gives the delta that corrects a row."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = EditContext(engine)

    @cached_property
    def rome(self) -> Rome:
        """ROME with what all rows share, made with the unedited model."""
        with self.engine.at([]) as live:
            return Rome(live.model)

    def edit(self, method: str, row: Row, slots: Sequence[NeuronId]) -> tuple[Delta, Result]:
        """The delta of a method that is not kn-edit's, and what the method says of itself."""
        own: dict[str, Callable[[ModelVersion], Shifts | LowRankShifts]] = {
            "closed-form": lambda live: self._closed(live.model, row, slots),
            "random": lambda live: self._random(live, row),
            "rome": lambda live: self.rome.edit(row.case, row.to),
            "finetune": lambda live: fine_tuned(live.model, row.case, row.to),
        }
        if method == "rome":
            assert self.rome  # before the model is in use
        with self.engine.at([]) as live:
            shifts = own[method](live)
        return shifts.delta(self.engine.place), shifts.provenance

    def _closed(self, model: Model, row: Row, slots: Sequence[NeuronId]) -> Shifts:
        prompt = prompts_for(model, row.case.relation, row.case.fact)[0]
        old, new = (ask(model, prompt, to).questions[0].token for to in (None, row.to))
        b = closed_form(model, slots, old, new, ClosedForm.scale)
        return Shifts(tuple(slots), b, {}, {"scale": ClosedForm.scale})

    def _random(self, live: ModelVersion, row: Row) -> LowRankShifts:
        model = live.model
        # Seeded by the row, so that it is the same whatever else is drawn.
        rng = Random(f"{row.file} {row.index}")
        elsewhere = [
            NeuronId(layer, at)
            for layer in written_layers(model)
            for at in sorted(rng.sample(range(model.d_ff), RANDOM_SLOTS))
        ]
        others = neighbours(model, self.context.locator(live), row.case)
        task = CorrectionTask(
            case=row.case,
            to=row.to,
            chains=asked(model, row),
            neighbours=others,
            slots=elsewhere,
        )
        solved = correction(model, task, Correction().settings_for(model))
        return LowRankShifts(solved.factors, {key: solved.provenance[key] for key in SOLVED})

    def exam(self, row: Row) -> UpdateExam:
        """What kn-edit measures an update of this row by."""
        case = row.case
        with self.engine.at([]) as live:
            model = live.model
            edited = prompts_for(model, case.relation, case.fact)
            others = neighbours(model, self.context.locator(live), case)
            held_out = judging_paraphrases(model, case.relation, case.fact, row.to)
            old = tuple(ask(model, prompt) for prompt in edited)
        probes = Probes(edited, held_out, others.judges, others.same_subject_judges)
        return UpdateExam(probes, old, row.to, case.answered_by_model)


class Table:
    """Results of drawn rows by method, each kept in a file of its own."""

    def __init__(self, methods: Methods, folder: Path, names: Sequence[str]) -> None:
        self._methods, self._folder, self._names = methods, folder, names
        self._seconds: dict[str, list[float]] = {}
        with methods.engine.at([]) as live:
            model = live.model
            self._neutral = neutral_perplexity(model)

    def fill(self, rows: Sequence[Row]) -> None:
        """Make the results that are missing, a row at a time."""
        missing = [(row, name) for row in rows for name in self._names if not self.has(row, name)]
        judge: tuple[Row, Judge, UpdateExam] | None = None
        for at, (row, name) in enumerate(missing):
            start = time.monotonic()
            if judge is None or judge[0] is not row:
                exam = self._methods.exam(row)
                judge = row, Judge(self._methods.engine, row, self._neutral), exam
            result = self._result(row, name, *judge[1:])
            write_atomically(self._path(row, name), json.dumps(result, indent=1) + "\n")
            self._seconds.setdefault(name, []).append(time.monotonic() - start)
            self._tell(result, missing[at + 1 :])

    def of(self, row: Row, name: str) -> Result:
        """A result that is there."""
        result: Result = json.loads(self._path(row, name).read_text(encoding="utf-8"))
        return result

    def has(self, row: Row, name: str) -> bool:
        """Whether a result is there."""
        return self._path(row, name).exists()

    def _path(self, row: Row, name: str) -> Path:
        return self._folder / f"{row.file}-{row.index:05}-{name}.json"

    def _result(self, row: Row, name: str, judge: Judge, exam: UpdateExam) -> Result:
        device = self._methods.engine.model.device.type
        clock = time.process_time if device == "cpu" else time.monotonic
        start = clock()
        provenance: Result
        # An edit that cannot be made leaves the model as it is; the row counts all the same.
        delta = Delta(BaseRef(None, None, self._methods.engine.base.fingerprint), {})
        metrics: Result | None = None
        best: list[list[int]] = []
        try:
            if name == "correction":
                update = draft(self._methods.context, UpdateRequest(row.case, row.to))
                delta, metrics = update.delta, update.metrics
                provenance = {key: update.found.get(key) for key in SOLVED}
                provenance |= {"method": update.method, "faults": update.faults}
                best = [[one["layer"], one["index"]] for one in update.found["neurons"]]
            else:
                slots: list[NeuronId] = []
                if name in ON_ITS_SLOTS:
                    slots = [NeuronId(*each) for each in self.of(row, "correction")["neurons"]]
                delta, provenance = self._methods.edit(name, row, slots)
        except KnEditError as error:
            provenance = {"error": str(error)}
        if metrics is None:
            metrics = exam.measure(self._methods.context, delta).metrics
        seconds = clock() - start
        return {
            "file": row.file,
            "row": row.index,
            "subject": row.case.fact.subject,
            "target": row.to,
            "method": name,
            **judge(delta),
            **{key: metrics.get(key) for pair in COUNTED.items() for key in pair},
            "seconds": seconds,
            "device": device,
            "bytes": len(delta.to_bytes()),
            "story": provenance,
            "neurons": best,
        }

    def _tell(self, result: Result, rest: Sequence[tuple[Row, str]]) -> None:
        """A line about a result, and how long the rest will take, on stderr."""
        known = {name: fmean(seconds) for name, seconds in self._seconds.items()}
        usual = fmean(known.values())
        left = sum(known.get(name, usual) for _, name in rest)
        shares = " ".join(f"{key} {fmean(result[key] or [math.nan]):.2f}" for key in ASKED)
        print(
            f"{result['file']} {result['row']} {result['method']}: {shares}, "
            f"neutral {result['neutral']:.3f}, {result['seconds']:.0f} s; "
            f"{len(rest)} to go, {duration(left)} left",
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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--share", type=_share, default=(1, 1), metavar="K/N")
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
        Workspace.init("demo", Path(folder), device=chosen.device) as workspace,
    ):
        methods = Methods(workspace.engine)
        files = {
            path: drawn(workspace.engine, path, chosen.results, draw_of) for path in chosen.files
        }
        results = Table(methods, chosen.results, names)
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
