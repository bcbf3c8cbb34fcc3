"""Many facts by one joint update: what it reaches, what it leaves alone, and what it takes.

    python benchmarks/joint.py [--facts 50] [--seed 0] [--relation NAME ...]
        [--model demo] [--json FILE]

Facts that the model knows, of several relations in turns, and their new answers, are those of
`kn-edit reproduce` with this seed; none is left out. Efficacy is asked on the prompts that were
solved for, generalization on held-out wordings, specificity by whole answers of other subjects
that no solver held. Brackets: 95% bootstrap intervals over the facts; of specificity over the
relations, as the same prompts judge all facts of one. Neutral text: its perplexity
after the edit, times that before. Seconds are those of the processor, of one thread, measuring
included. The second table has the efficacy that is left where all weights of the edited model are
rounded, its share of the efficacy without rounding, and for comparison the share of its answers
about these facts that the base keeps where its weights are rounded.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from kn_edit.editing.asking_again import version_at
from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.locating import chains_for
from kn_edit.editing.method import UpdateRequest, UpdatesRequest
from kn_edit.editing.updates import Joint
from kn_edit.edits.delta import Delta
from kn_edit.evaluation.metric import SPECIFICITY
from kn_edit.evaluation.statistics import Estimate, mean, mean_of_groups
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.reproduce import plan_of
from kn_edit.experiments.sequence import in_turns
from kn_edit.experiments.updating import METRICS, new_answer
from kn_edit.facts import Case
from kn_edit.models.number_formats import Rounding
from kn_edit.neurons.assess import assess
from kn_edit.workspace import Workspace

FOUND = ("layers", "places", "held_places", "share", "answers")  # of how the edit was made


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
    answers = [(request.case, request.to) for request in requests]
    before = [(case, case.fact.answer) for case in cases]
    return {
        "relations": list(context.plan.relations),
        "facts": len(cases),
        "relation_of": [case.relation.name for case in cases],
        "seed": context.plan.seed,
        "seconds": round(seconds, 1),
        "bytes": sum(change.nbytes for change in made.delta.tensors.values()),
        "neutral": made.metrics["neutral_after"] / made.metrics["neutral_before"],
        "rounded": {each.value: rounded(context, [made.delta], answers, each) for each in Rounding},
        "base_rounded": {
            name: rounded(context, [], before, each)
            for name, each in (("float32", None), *((each.value, each) for each in Rounding))
        },
        "found": {key: made.found[key] for key in FOUND},
        **{name: [fact.get(name) for fact in made.by_fact] for name in METRICS},
    }


def rounded(
    context: ExperimentContext,
    deltas: Sequence[Delta],
    answers: Sequence[tuple[Case, str]],
    rounding: Rounding | None,
) -> list[float]:
    """The share of each fact's prompts that give an answer where all weights are rounded."""
    model = context.engine.model
    chains = [chains_for(model, case.relation, case.fact, answer) for case, answer in answers]
    with version_at(context.engine, deltas, rounding) as live:
        given = iter(assess(live, [chain for own in chains for chain in own], finite=False))
    return [fmean(next(given).right for _ in own) for own in chains]


def table(row: dict[str, object]) -> str:
    """The row as two Markdown tables."""
    head = ("facts", *METRICS, "neutral text", "CPU s", "kB a fact")
    shares = [str(_estimate(row, name)) for name in METRICS]
    facts, size = int(str(row["facts"])), float(str(row["bytes"]))
    cells = (facts, *shares, f"{row['neutral']:.3f}", row["seconds"], f"{size / facts / 1000:.1f}")
    return f"{_markdown(head, [cells])}\n\n{_markdown(*_of_rounding(row))}"


def _estimate(row: dict[str, object], name: str) -> Estimate:
    """The mean of a metric over the facts that have it."""
    values, relations = row[name], row["relation_of"]
    assert isinstance(values, list) and isinstance(relations, list)
    groups: dict[str, list[float]] = {}
    for relation, value in zip(relations, values, strict=True):
        if value is not None:
            groups.setdefault(relation, []).append(value)
    if name == SPECIFICITY.name:
        return mean_of_groups([*groups.values()])
    return mean([value for value in values if value is not None])


def _of_rounding(row: dict[str, object]) -> tuple[Sequence[str], list[Sequence[object]]]:
    exact, by_format, base = row["efficacy"], row["rounded"], row["base_rounded"]
    assert isinstance(exact, list) and isinstance(by_format, dict) and isinstance(base, dict)
    cells = [
        (name, mean(values), _share(values, exact), _share(base[name], base["float32"]))
        for name, values in by_format.items()
    ]
    return ("weights", "efficacy", "of the efficacy", "of the base's answers"), [*cells]


def _share(values: Sequence[float], exact: Sequence[float]) -> str:
    """What is left of a figure, in the mean; nothing where there was none."""
    return f"{fmean(values) / fmean(exact):.3f}" if fmean(exact) else ""


def _markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
