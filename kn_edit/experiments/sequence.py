"""A sequential run: updates made one on top of the other and all kept. Does the model collapse?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

from kn_edit.atomic import write_atomically
from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import Bench
from kn_edit.editing.evaluating import SEEDS, ask_again
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.requests import Earlier
from kn_edit.edits.delta import Delta
from kn_edit.evaluation.plots import series
from kn_edit.evaluation.report import made_folder
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.evaluation.statistics import Estimate, mean
from kn_edit.experiments.lab import Lab
from kn_edit.experiments.rows import Row
from kn_edit.experiments.updating import METRICS, new_answer, score
from kn_edit.progress import silent

LOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # after so many edits everything is measured
ENOUGH, COLLAPSE = 0.90, 1.2  # mean efficacy, and neutral perplexity in units of the base's


def measure(lab: Lab, edits: int) -> list[Row]:
    """One row an edit; those of LOOKS, and the last, with all so far asked again."""
    cases = _in_turns(lab)[:edits]
    rows = lab.rows("sequence", edits=edits, solver=lab.solver, looks=LOOKS)
    names = [f"{number} {name}" for number, name in enumerate(cases, 1)]
    return rows.all(names, lambda name: _row(lab, cases, int(name.split()[0])), lab.progress)


def _in_turns(lab: Lab) -> list[str]:
    """The sample's facts, relations in turns."""
    by_relation = [
        [name for name, case in lab.cases.items() if case.relation.name == relation]
        for relation in lab.relations
    ]
    turns = zip_longest(*by_relation)
    return [name for turn in turns for name in turn if name is not None]


def _row(lab: Lab, names: Sequence[str], number: int) -> Row:
    before = [_kept(lab, at) for at in range(1, number)]
    case = lab.cases[names[number - 1]]
    to = new_answer(lab, case)
    recipe = tuple(delta.id for delta in before)
    earlier = tuple(
        Earlier(delta.id, lab.cases[name], new_answer(lab, lab.cases[name]))
        for delta, name in zip(before, names, strict=False)
    )
    bench = Bench(lab.workspace.engine, recipe, before, lab.search, earlier=earlier)
    update = draft(bench, UpdateRequest(case, to), lab.method)
    file = _file(lab, number)
    made_folder(file.parent)
    write_atomically(file, update.delta.to_bytes())
    row: Row = {"to": to, "metrics": update.metrics, "neurons": len(update.neurons)}
    if number in LOOKS or number == len(names):
        row["look"] = _look(lab, names[:number], [*before, update.delta])
    return row


def _file(lab: Lab, number: int) -> Path:
    return lab.out / "rows" / "sequence" / f"{number:04}.safetensors"


def _kept(lab: Lab, number: int) -> Delta:
    return Delta.from_bytes(_file(lab, number).read_bytes())


def _look(lab: Lab, names: Sequence[str], deltas: Sequence[Delta]) -> Row:
    """Every update so far asked again, one value each, and what the model has become."""
    cases = [(lab.cases[name], new_answer(lab, lab.cases[name])) for name in names]
    found = ask_again(lab.workspace.engine, deltas, cases, silent)
    shares = {key: [getattr(one, key) for one in found.updates] for key in METRICS}
    return shares | {
        "perplexity": asdict(found.perplexity),
        "entropy": None if found.entropy is None else asdict(found.entropy),
    }


def section(rows: Sequence[Row]) -> Section:
    looks = {number: row["look"] for number, row in enumerate(rows, 1) if "look" in row}
    found = {number: _estimates(look) for number, look in looks.items()}
    ratios: dict[float, float] = {at: _ratio(look["perplexity"]) for at, look in looks.items()}
    lines = [
        (
            str(number),
            f"{score(found[number]):.3f}",
            *(str(found[number].get(key, "")) for key in METRICS),
            f"{ratios[number]:.3f}",
            "" if look["entropy"] is None else f"{_ratio(look['entropy']):.3f}",
        )
        for number, look in looks.items()
    ]
    count = len(rows)
    efficacy, ratio = found[count]["efficacy"], ratios[count]
    claims = (
        Claim(
            f"After {count} updates kept together, mean efficacy is {efficacy}: at least "
            f"{ENOUGH:.2f}.",
            efficacy.value >= ENOUGH,
        ),
        Claim(
            f"Neutral perplexity is {ratio:.3f} times the base's: less than {COLLAPSE:g} times.",
            ratio < COLLAPSE,
        ),
    )
    columns = (
        "updates",
        "score",
        *METRICS,
        "neutral perplexity / base",
        "n-gram entropy / base",
    )
    text = (
        "Updates made one on top of the other, relations in turns, none taken back. After some of "
        "them all so far are asked again: efficacy on the prompts that were solved for, "
        "generalization on held-out paraphrases, specificity on other subjects that the base knows "
        f"and no update names, drawn with {len(SEEDS)} seeds, beside the base's first tokens; the "
        "score is their harmonic mean. Perplexity is that of text that no solver saw, n-gram "
        "entropy that of what a causal LM says freely. Brackets: 95% bootstrap intervals over "
        "updates."
    )
    curves: dict[str, dict[float, float]] = {
        key: {number: found[number][key].value for number in looks if key in found[number]}
        for key in METRICS
    }
    curves["neutral perplexity / base"] = ratios
    drawn = series(curves, "updates kept together", "share; times the base's")
    plot = Plot("sequence", "Updates made one on top of the other", drawn)
    table = Table("Sequence", columns, tuple(lines))
    return Section("Many updates together", text, (table,), claims, (plot,))


def _estimates(look: Row) -> dict[str, Estimate]:
    known = {key: [one for one in look[key] if one is not None] for key in METRICS}
    return {key: mean(values) for key, values in known.items() if values}


def _ratio(pair: Mapping[str, float]) -> float:
    return pair["version"] / pair["base"]
