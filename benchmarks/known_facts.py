"""Updates of the 60 known facts of docs/results.md on SmolLM2, by the calibrated method alone.

    python benchmarks/known_facts.py [--rows docs/measured/known-facts.jsonl]

Facts, new answers and settings are those of `kn-edit reproduce` with seed 0, without its other
experiments and controls. A row is written as soon as it is measured, so a run that was stopped goes
on. Rows of another state of the code belong into another file. Seconds are those of the processor,
of one thread, search for neurons and measuring included. Specificity compares whole answers of
other subjects; *first token* looks at the first token of each alone, as kn-edit did when the tables
of `kn-edit reproduce` were made.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import torch

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import Draft, EditContext
from kn_edit.editing.method import UpdateRequest
from kn_edit.evaluation.metric import SPECIFICITY
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.reproduce import plan_of
from kn_edit.experiments.updating import METRICS, new_answer
from kn_edit.facts import Case
from kn_edit.workspace import Workspace

FIRST_TOKEN = "first token"
SHARES = (*METRICS, FIRST_TOKEN)

Row: TypeAlias = Mapping[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("docs/measured/known-facts.jsonl"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.rows.parent.mkdir(parents=True, exist_ok=True)
    chosen.rows.touch()
    rows = [json.loads(line) for line in chosen.rows.read_text(encoding="utf-8").splitlines()]
    done = {row["name"] for row in rows}
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init("demo", Path(folder) / "work") as workspace,
        chosen.rows.open("a", encoding="utf-8") as file,
    ):
        context = ExperimentContext.open(workspace.engine, plan_of(), Path(folder) / "out")
        for name, case in context.cases.items():
            if name not in done:
                rows.append({"name": name, **measured(workspace, context, case)})
                print(json.dumps(rows[-1], ensure_ascii=False), file=file, flush=True)
                print(f"{name}: {len(rows)} of {len(context.cases)}", flush=True)
    print(table(rows))


def measured(workspace: Workspace, context: ExperimentContext, case: Case) -> Row:
    """The update of a fact: the new answer, its metrics, neurons and cost."""
    began = time.process_time()
    to = new_answer(context, case)
    editing = EditContext(workspace.engine, search=context.search, seed=0)
    edit = draft(editing, UpdateRequest(case, to), context.method)
    return row_of(edit, to, time.process_time() - began)


def row_of(edit: Draft, to: str, seconds: float) -> Row:
    """The row of an update to a new answer. seconds: of the processor, that it took"""
    at_once = sum(change.place == 1 for change in edit.changed)
    return {
        "to": to,
        "neurons": len(edit.neurons),
        "seconds": round(seconds, 1),
        **{name: edit.metrics[name] for name in METRICS},
        FIRST_TOKEN: 1 - at_once / edit.metrics[SPECIFICITY.count_name],
    }


def table(rows: Iterable[Row]) -> str:
    """Means of the rows by relation, and of all."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row["name"]).partition(":")[0], []).append(row)
    groups["all"] = [row for group in groups.values() for row in group]
    head = ("relation", "facts", "neurons", *SHARES, "CPU s, mean (most)")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for relation, group in groups.items():
        shares = [f"{_mean(group, name):.3f}" for name in SHARES]
        most = max(float(str(row["seconds"])) for row in group)
        cost = f"{_mean(group, 'seconds'):.0f} ({most:.0f})"
        neurons = f"{_mean(group, 'neurons'):.1f}"
        lines.append(f"| {' | '.join((relation, str(len(group)), neurons, *shares, cost))} |")
    return "\n".join(lines)


def _mean(rows: Iterable[Row], name: str) -> float:
    return fmean(float(str(row[name])) for row in rows)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
