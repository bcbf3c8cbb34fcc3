"""Updates of capital facts on SmolLM2: calibrated, closed form, and random slots as a control.

    python benchmarks/update.py [--facts 12] [--seed 0] [--json FILE]

The facts are drawn, by the seed, from those whose answer the unedited model puts first on every
trained prompt; new answers are other capitals, drawn likewise. None is left out afterwards.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import Draft, EditContext
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.method import EditMethod, UpdateRequest
from kn_edit.editing.updates import Calibrated, ClosedForm
from kn_edit.facts import Case, Fact, Relation, load_relation
from kn_edit.models.questions import ask
from kn_edit.neurons.assess import assess
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.workspace import Workspace

METRICS = ("efficacy", "generalization", "specificity")


def draw(
    workspace: Workspace, relation: Relation, count: int, rng: random.Random
) -> tuple[list[Fact], int]:
    """So many facts, in random order, that the base answers right on every trained prompt.

    Also how many were looked at to find them.
    """
    order = rng.sample(relation.facts, len(relation.facts))
    found: list[Fact] = []
    with workspace.engine.at([]) as live:
        model = live.model
        for looked, fact in enumerate(order):
            if len(found) == count:
                return found, looked
            prompts = prompts_for(model, relation, fact)
            if all(one.right for one in assess(model, [ask(model, each) for each in prompts])):
                found.append(fact)
    return found, len(order)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    relation = load_relation("capital")
    rng = random.Random(chosen.seed)
    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, Workspace.init("demo", Path(folder)) as workspace:
        facts, looked = draw(workspace, relation, chosen.facts, rng)
        print(f"{len(facts)} facts that the model knows, among {looked} drawn", flush=True)
        for fact in facts:
            to = rng.choice([one.answer for one in relation.facts if one.answer != fact.answer])

            def edit(method: EditMethod, fact: Fact = fact, to: str = to) -> Draft:
                edit_context = EditContext(workspace.engine, progress=workspace.progress)
                return draft(edit_context, UpdateRequest(Case(relation, fact), to), method)

            start = time.monotonic()
            solved = edit(Calibrated())
            seconds = time.monotonic() - start
            own = tuple(neuron for neuron, _ in solved.neurons)
            random_slots = tuple(sorted(as_many_elsewhere(own, workspace.engine.model.d_ff, rng)))
            drafts = {
                "calibrated, chosen neurons": solved,
                "closed form (1, 8), same neurons": edit(ClosedForm(own)),
                "calibrated, random neurons": edit(Calibrated(random_slots)),
            }
            for name, one in drafts.items():
                row = {key: float(one.metrics[key]) for key in METRICS}
                results.setdefault(name, []).append(row | {"neurons": len(one.neurons)})
            provenance = solved.found
            print(
                f"{fact.subject}: {fact.answer} -> {to}, {len(own)} neurons "
                f"({provenance['added']} added), {provenance['steps']} steps, "
                f"divergence {provenance['kl']:.3f}, {seconds:.0f} s; "
                + "; ".join(
                    " ".join(f"{one.metrics[key]:.2f}" for key in METRICS)
                    for one in drafts.values()
                ),
                flush=True,
            )
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1))
    print(table(results))


def table(results: dict[str, list[dict[str, float]]]) -> str:
    lines = [
        f"| method | facts | neurons | {' | '.join(METRICS)} |",
        "|---|---|---|---|---|---|",
    ]
    for name, rows in results.items():
        cells = [spread([row[key] for row in rows]) for key in METRICS]
        neurons = mean(row["neurons"] for row in rows)
        lines.append(f"| {name} | {len(rows)} | {neurons:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {pstdev(values):.3f} (least {min(values):.2f})"


if __name__ == "__main__":
    main()
