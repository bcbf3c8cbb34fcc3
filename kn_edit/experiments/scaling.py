"""Suppress and amplify (the paper's Figures 4 and 5): p(answer) while a fact's neurons are scaled.

Beside the fact itself: other facts of its relation, facts of other relations, and as many random
neurons of the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from kn_edit.evaluation.plots import curves
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.evaluation.statistics import Estimate, change
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.rows import Row
from kn_edit.neurons.intervention import p_when_scaled

FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
GROUPS = {
    "own": "the fact itself",
    "relation": "other facts of its relation",
    "others": "facts of other relations",
    "random": "the fact, with random neurons",
}
PAPER = {0.0: -0.2903, 2.0: 0.3117}  # Dai et al. (2022), sections 4.4; bert-base-cased
STRONGER = 5.0  # times, that a fact is to change more than the controls


def measure(context: ExperimentContext) -> list[Row]:
    """One row a fact: p(answer) of each group at each factor, the mean over its prompts."""
    return context.measured("scaling", list(context.cases), _row, factors=FACTORS)


def _row(context: ExperimentContext, name: str) -> Row:
    case = context.cases[name]
    neurons = [neuron for neuron, _ in context.located(case).neurons]
    elsewhere = context.random_neurons(case, neurons)
    with context.base() as (model, _):
        fact_chains = context.chains(model, case)
        groups = {
            "own": (fact_chains, neurons),
            "relation": (context.firsts(model, context.same_relation(case)), neurons),
            "others": (context.firsts(model, context.other_relations(case)), neurons),
            "random": (fact_chains, elsewhere),
        }
        p = {
            group: [fmean(p_when_scaled(model, chains, chosen, factor)) for factor in FACTORS]
            for group, (chains, chosen) in groups.items()
            if chains
        }
    return {"neurons": [str(neuron) for neuron in neurons], "p": p}


def effects(rows: Sequence[Row]) -> dict[str, dict[float, Estimate]]:
    """Relative change of the mean p(answer) by group and factor, over facts that have neurons."""
    having = [row for row in rows if row["neurons"]]
    unscaled = FACTORS.index(1.0)
    return {
        group: {
            factor: change(
                [row["p"][group][unscaled] for row in having],
                [row["p"][group][index] for row in having],
            )
            for index, factor in enumerate(FACTORS)
        }
        for group in GROUPS
        if having and all(group in row["p"] for row in having)
    }


def section(rows: Sequence[Row]) -> Section:
    by_group = effects(rows)
    without = sum(not row["neurons"] for row in rows)
    columns = ("p(answer) of", *(f"x {factor:g}" for factor in FACTORS if factor != 1.0))
    lines = [
        (words, *(by_group[group][factor].as_change() for factor in FACTORS if factor != 1.0))
        for group, words in GROUPS.items()
        if group in by_group
    ]
    lines.append(
        ("the paper, the fact itself", *(_paper(factor) for factor in FACTORS if factor != 1.0))
    )
    text = (
        f"Change of the mean p(answer) while a fact's knowledge neurons are scaled, {len(rows)} "
        f"facts ({without} of them without a neuron of their own, and left out). Brackets: 95% "
        "bootstrap intervals over facts."
    )
    table = Table("Suppress (x 0) and amplify", columns, tuple(lines))
    lines_of = {GROUPS[group]: by_factor for group, by_factor in by_group.items()}
    drawn = curves(lines_of, "coefficients times", "change of p(answer), %", unit=0.01)
    plot = Plot("dose-response", "p(answer) while a fact's neurons are scaled", drawn)
    return Section(
        title="Suppress and amplify",
        text=text,
        tables=(table,),
        claims=_claims(by_group),
        plots=(plot,),
    )


def _claims(by_group: dict[str, dict[float, Estimate]]) -> tuple[Claim, ...]:
    if not by_group:
        return (Claim("No fact of the sample has a neuron of its own.", False),)
    off = {group: by_factor[0.0].value for group, by_factor in by_group.items()}
    twice = by_group["own"][2.0].value
    claims = [
        Claim(f"Suppressing a fact's neurons lowers p(answer): {off['own']:+.1%}.", off["own"] < 0),
        Claim(f"Amplifying them raises it: {twice:+.1%}.", twice > 0),
    ]
    for group in sorted(
        {"others", "random"} & by_group.keys()
    ):  # a run of one relation has no others
        holds = off["own"] < 0 and -off["own"] >= STRONGER * abs(off[group])
        claims.append(
            Claim(
                f"Suppressing changes it {STRONGER:g} times as much as for {GROUPS[group]}"
                f" ({off[group]:+.1%}).",
                holds,
            )
        )
    return tuple(claims)


def _paper(factor: float) -> str:
    return f"{PAPER[factor]:+.1%}" if factor in PAPER else ""
