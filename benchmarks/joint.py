"""Many facts by one joint update: what it reaches, what it leaves alone, and what it takes.

    python benchmarks/joint.py [--facts 50] [--seed 0] [--relation NAME ...]
        [--model demo] [--json FILE]

Facts that the model knows, of several relations in turns, and their new answers, are those of
`kn-edit reproduce` with this seed; none is left out. Efficacy is asked on the prompts that were
solved for, generalization on held-out wordings, specificity by whole answers of other subjects
that no solver held. Brackets: 95% bootstrap intervals over the facts. Neutral text: its perplexity
after the edit, times that before. Seconds are those of the processor, of one thread, measuring
included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.method import UpdateRequest, UpdatesRequest
from kn_edit.editing.updates import Joint
from kn_edit.evaluation.statistics import mean
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.reproduce import plan_of
from kn_edit.experiments.sequence import in_turns
from kn_edit.experiments.updating import METRICS, new_answer
from kn_edit.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--relation", action="append", default=[])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init(chosen.model, Path(folder) / "work") as workspace,
    ):
        plan = plan_of(tuple(chosen.relation), seed=chosen.seed)
        plan = replace(plan, facts=-(-chosen.facts // len(plan.relations)))
        context = ExperimentContext.open(workspace.engine, plan, Path(folder) / "out")
        row = measured(context, chosen.facts) | {"model": chosen.model}
    if chosen.json:
        chosen.json.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(table(row))


def measured(context: ExperimentContext, facts: int) -> dict[str, object]:
    """One edit of so many facts, and its figures, each with those of every fact."""
    cases = [context.cases[name] for name in in_turns(context)[:facts]]
    requests = tuple(UpdateRequest(case, new_answer(context, case)) for case in cases)
    editing = EditContext(context.engine, search=context.search, seed=context.plan.seed)
    began = time.process_time()
    made = draft(editing, UpdatesRequest(requests), Joint())
    seconds = time.process_time() - began
    return {
        "relations": list(context.plan.relations),
        "facts": len(cases),
        "seed": context.plan.seed,
        "seconds": round(seconds, 1),
        "bytes": sum(change.nbytes for change in made.delta.tensors.values()),
        "neutral": made.metrics["neutral_after"] / made.metrics["neutral_before"],
        "found": {key: made.found[key] for key in ("layers", "places", "held_places", "share")},
        **{name: [fact.get(name) for fact in made.by_fact] for name in METRICS},
    }


def table(row: dict[str, object]) -> str:
    """The row as Markdown."""
    head = ("facts", *METRICS, "neutral text", "CPU s", "kB a fact")
    shares = []
    for name in METRICS:
        values = row[name]
        assert isinstance(values, list)
        shares.append(str(mean([value for value in values if value is not None])))
    facts, size = int(str(row["facts"])), float(str(row["bytes"]))
    cells = (facts, *shares, f"{row['neutral']:.3f}", row["seconds"], f"{size / facts / 1000:.1f}")
    lines = [head, ["---"] * len(head), cells]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
