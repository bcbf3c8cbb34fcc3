"""A sequential run: updates made one on top of the other and all kept. Does the model collapse?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

from kn_edit.atomic import write_atomically
from kn_edit.editing.asking_again import DRAWS
from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.evaluating import ask_again
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.requests import Earlier
from kn_edit.edits.delta import Delta
from kn_edit.evaluation.metric import SPECIFICITY
from kn_edit.evaluation.plots import series
from kn_edit.evaluation.report import made_folder
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.evaluation.statistics import Estimate, mean
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.rows import Row
from kn_edit.experiments.updating import METRICS, new_answer, score
from kn_edit.progress import silent

LOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # after so many edits everything is measured
ENOUGH, COLLAPSE = 0.90, 1.2  # mean efficacy, and neutral perplexity in units of the base's


def measure(context: ExperimentContext, edits: int) -> list[Row]:
    """One row an edit; those of LOOKS, and the last, with all so far asked again."""
    cases = in_turns(context)[:edits]
    rows = context.rows("sequence", edits=edits, solver=context.solver, looks=LOOKS)
    names = [f"{number} {name}" for number, name in enumerate(cases, 1)]
    return rows.all(
        names, lambda name: _row(context, cases, int(name.split()[0])), context.progress
    )


def in_turns(context: ExperimentContext) -> list[str]:
    """The sample's facts, relations in turns."""
    by_relation = [
        [name for name, case in context.cases.items() if case.relation.name == relation]
        for relation in context.relations
    ]
    turns = zip_longest(*by_relation)
    return [name for turn in turns for name in turn if name is not None]


def _row(context: ExperimentContext, names: Sequence[str], number: int) -> Row:
    before = [_recorded_delta(context, position) for position in range(1, number)]
    case = context.cases[names[number - 1]]
    to = new_answer(context, case)
    recipe = tuple(delta.id for delta in before)
    earlier = tuple(
        Earlier(delta.id, context.cases[name], new_answer(context, context.cases[name]))
        for delta, name in zip(before, names, strict=False)
    )
    edit_context = EditContext(
        engine=context.engine,
        recipe=recipe,
        deltas=before,
        search=context.search,
        earlier=earlier,
        seed=context.plan.seed,
    )
    update = draft(edit_context, UpdateRequest(case, to), context.method)
    file = _file(context, number)
    made_folder(file.parent)
    write_atomically(file, update.delta.to_bytes())
    row: Row = {"to": to, "metrics": update.metrics, "neurons": len(update.neurons)}
    if number in LOOKS or number == len(names):
        row["look"] = _look(context, names[:number], [*before, update.delta])
    return row


def _file(context: ExperimentContext, number: int) -> Path:
    return context.out / "rows" / "sequence" / f"{number:04}.safetensors"


def _recorded_delta(context: ExperimentContext, number: int) -> Delta:
    return Delta.from_bytes(_file(context, number).read_bytes())


def _look(context: ExperimentContext, names: Sequence[str], deltas: Sequence[Delta]) -> Row:
    """Every update so far asked again, one value each, and what the model has become."""
    cases = [(context.cases[name], new_answer(context, context.cases[name])) for name in names]
    engine, seed = context.engine, context.plan.seed
    evaluation = ask_again(engine, deltas, cases, silent, seed)
    shares = {key: [getattr(update, key) for update in evaluation.updates] for key in METRICS}
    specificity = evaluation.specificity
    return shares | {
        # Many prompts judge several updates, so shares of these alone do not tell how sure it is.
        "specificity_estimate": None if specificity is None else asdict(specificity),
        "perplexity": asdict(evaluation.perplexity),
        "entropy": None if evaluation.entropy is None else asdict(evaluation.entropy),
    }


def section(rows: Sequence[Row]) -> Section:
    looks = {number: row["look"] for number, row in enumerate(rows, 1) if "look" in row}
    estimates = {number: _estimates(look) for number, look in looks.items()}
    ratios: dict[float, float] = {
        number: _ratio(look["perplexity"]) for number, look in looks.items()
    }
    lines = [
        (
            str(number),
            f"{score(estimates[number]):.3f}",
            *(str(estimates[number].get(key, "")) for key in METRICS),
            f"{ratios[number]:.3f}",
            "" if look["entropy"] is None else f"{_ratio(look['entropy']):.3f}",
        )
        for number, look in looks.items()
    ]
    count = len(rows)
    efficacy, ratio = estimates[count]["efficacy"], ratios[count]
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
        f"and no update names, drawn with {DRAWS} seeds, beside the base's first tokens; the "
        "score is their harmonic mean. Perplexity is that of text that no solver saw, n-gram "
        "entropy that of what a causal LM says freely. Brackets: 95% bootstrap intervals over "
        "updates, of specificity also over the prompts that judge."
    )
    curves: dict[str, dict[float, float]] = {
        key: {number: estimates[number][key].value for number in looks if key in estimates[number]}
        for key in METRICS
    }
    curves["neutral perplexity / base"] = ratios
    drawn = series(curves, "updates kept together", "share; times the base's")
    plot = Plot("sequence", "Updates made one on top of the other", drawn)
    table = Table("Sequence", columns, tuple(lines))
    return Section(
        title="Many updates together", text=text, tables=(table,), claims=claims, plots=(plot,)
    )


def _estimates(look: Row) -> dict[str, Estimate]:
    values_by_metric = {key: [value for value in look[key] if value is not None] for key in METRICS}
    estimates = {key: mean(values) for key, values in values_by_metric.items() if values}
    if look.get("specificity_estimate"):
        estimates[SPECIFICITY.name] = Estimate(**look["specificity_estimate"])
    return estimates


def _ratio(pair: Mapping[str, float]) -> float:
    return pair["version"] / pair["base"]
