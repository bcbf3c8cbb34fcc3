"""Erase experiment (the paper's Table 6): a relation's own perplexity against that of the others.

Neurons that serve the relation and little else, or those of at least m facts, or the most frequent;
set to the unknown token's embedding, where there is one, or to zero; and as many random slots of
the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.erasing import SPARE
from kn_edit.editing.erasures import EraseMethod, Frequent, Shared, Specific
from kn_edit.editing.method import EraseRequest
from kn_edit.edits.delta import Delta
from kn_edit.edits.erase import overwritten, unknown_token, written_slot
from kn_edit.errors import NoNeurons
from kn_edit.evaluation.section import Claim, Section, Table
from kn_edit.evaluation.statistics import percent
from kn_edit.experiments.context import ExperimentContext, own_generator
from kn_edit.experiments.rows import Row
from kn_edit.facts import Case
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, accuracy, assess, perplexity_of
from kn_edit.neurons.selection import as_many_elsewhere

AIM = 4.0  # times as perplexing, on the facts that an erasure looks at; it is less on all others
VARIANTS: dict[str, EraseMethod] = {
    "serving it only, unknown token": Specific(times=AIM),
    "serving it only, zero": Specific(zero=True, times=AIM),
    "m = 5, unknown token": Shared(least=5),
    "m = 5, zero": Shared(least=5, zero=True),
    "m = 3, zero": Shared(least=3, zero=True),
    "20 most frequent, zero": Frequent(top=20, zero=True),
}
RANDOM = {  # beside these, as many random slots of the same layers are overwritten alike
    "serving it only, unknown token": "random slots, unknown token",
    "serving it only, zero": "random slots, zero",
}
TWICE, LITTLE = 2.0, 0.10  # what the erased relation's perplexity is to reach, the others' not


def measure(context: ExperimentContext) -> list[Row]:
    """One row a relation: perplexity and accuracy of it and of the others, by variant."""
    settings: dict[str, object] = {"variants": list(VARIANTS), "aim": AIM}
    return context.measured("erasing", list(context.relations), _row, **settings)


def _row(context: ExperimentContext, name: str) -> Row:
    variants: dict[str, Any] = {}
    unknown = unknown_token(context.engine.model)
    for variant, method in VARIANTS.items():
        if unknown is None and not method.zero:
            continue
        try:
            edit_context = EditContext(context.engine, seed=context.plan.seed)
            erasure = draft(edit_context, EraseRequest(context.relations[name]), method)
        except NoNeurons:
            continue
        neurons = [neuron for neuron, _ in erasure.neurons]
        variants[variant] = {"neurons": len(neurons)} | _figures(context, name, [erasure.delta])
        if variant in RANDOM:
            control = _elsewhere(context, name, neurons, None if method.zero else unknown)
            variants[RANDOM[variant]] = {"neurons": len(neurons)} | _figures(
                context, name, [control]
            )
    return {"relation": name, "base": _figures(context, name, []), "variants": variants}


def _elsewhere(
    context: ExperimentContext, name: str, neurons: Sequence[NeuronId], token: int | None
) -> Delta:
    """An erasure of as many random slots of the same layers: a control."""
    draw, model = own_generator(context.plan.seed, name), context.engine.model
    drawn = sorted(as_many_elsewhere(neurons, model.d_ff, draw))
    return overwritten(context.engine.place, drawn, written_slot(model, token))


def _figures(context: ExperimentContext, name: str, deltas: Sequence[Delta]) -> Row:
    """Accuracy and perplexity of the erased relation, its paraphrases, and other relations."""
    with context.engine.at(deltas) as live:
        model = live.model

        def assessments(relation: str, *, held_out: bool = False) -> list[Assessment]:
            cases = [Case(context.relations[relation], fact) for fact in context.facts[relation]]
            chains = [c for case in cases for c in context.chains(model, case, held_out=held_out)]
            return assess(model, chains, finite=False)  # NaN counts as impossible

        other_answers = [
            answer
            for other_name in context.relations
            if other_name != name
            for answer in assessments(other_name)
        ]
        return {
            "own": _summary(assessments(name)),
            "held_out": _summary(assessments(name, held_out=True)),
            "others": _summary(other_answers),
        }


def _summary(answers: Sequence[Assessment]) -> Row:
    """What is known of some answers; nothing where there are none."""
    return {
        "perplexity": perplexity_of(answers) if answers else None,
        "accuracy": accuracy(answers),
    }


def rise(row: Row, variant: str, group: str) -> float | None:
    """Relative rise of a group's perplexity; None where nothing of the group is asked."""
    after, before = row["variants"][variant][group], row["base"][group]
    if after["perplexity"] is None or before["perplexity"] is None:
        return None
    return float(after["perplexity"] / before["perplexity"] - 1)


def _as_percent(change: float | None) -> str:
    return "" if change is None else percent(change)


def _accuracies(base: Row, after: Row) -> str:
    pair = (base["accuracy"], after["accuracy"])
    return "" if None in pair else f"{pair[0]:.2f} -> {pair[1]:.2f}"


def _spares(row: Row, variant: str) -> bool:
    """Whether an erasure does what it shall to its relation, and little to the others."""
    erased, rest = rise(row, variant, "own"), rise(row, variant, "others")
    return erased is not None and erased >= TWICE - 1 and (rest is None or rest < LITTLE)


def section(rows: Sequence[Row]) -> Section:
    lines = []
    for row in rows:
        for variant, figures in row["variants"].items():
            lines.append(
                (
                    row["relation"],
                    variant,
                    str(figures["neurons"]),
                    *(
                        _as_percent(rise(row, variant, group))
                        for group in ("own", "held_out", "others")
                    ),
                    *(
                        _accuracies(row["base"][group], figures[group])
                        for group in ("own", "others")
                    ),
                )
            )
    columns = (
        "relation",
        "neurons chosen, written",
        "slots",
        "perplexity, erased",
        "erased, held out",
        "others",
        "accuracy, erased",
        "others",
    )
    good = {
        variant: [
            row["relation"] for row in rows if variant in row["variants"] and _spares(row, variant)
        ]
        for variant in VARIANTS
        if any(variant in row["variants"] for row in rows)
    }
    claims = tuple(
        Claim(
            f"{variant}: the relation's perplexity doubles and the others' rises less than "
            f"{LITTLE:.0%} for {len(relations)} of {len(rows)} relations.",
            2 * len(relations) >= len(rows),
        )
        for variant, relations in good.items()
    )
    claims += tuple(_against_random(rows, *pair) for pair in RANDOM.items() if pair[0] in good)
    text = (
        "Perplexity is exp of the mean of -log p(answer) over the sample's prompts. Neurons that "
        f"serve the relation only are taken until {EraseMethod.facts} known facts of it are "
        f"{AIM:g} times as perplexing, passing over those that make other relations {SPARE:.0%} "
        "more so; facts of the sample may be among these, their held-out paraphrases are not. The "
        "paper (unknown token): +36.7% to +141.2% for the erased relation, +1.1% to +10.1% for "
        "others."
    )
    return Section(
        title="Erase",
        text=text,
        tables=(Table("Erased relations", columns, tuple(lines)),),
        claims=claims,
    )


def _against_random(rows: Sequence[Row], variant: str, control: str) -> Claim:
    erased, random_slots = (
        fmean(rise(row, which, "own") or 0.0 for row in rows if which in row["variants"])
        for which in (variant, control)
    )
    words = f"{variant}: perplexity rises by {erased:.0%}, mean over relations; with {control}"
    return Claim(f"{words}, by {random_slots:.0%}.", erased > random_slots)
