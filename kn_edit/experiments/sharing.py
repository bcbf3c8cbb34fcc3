"""Where neurons lie and how facts share them (the paper's Figure 3 and Table 3).

By integrated gradients, and by the activation baseline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from statistics import fmean

from kn_edit.editing.locating import Locator, Search
from kn_edit.evaluation.plots import bars
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.rows import Row
from kn_edit.neuron import NeuronId

METHODS = {"adaptive": "integrated gradients", "activation": "activation baseline"}
PAPER = {  # neurons a fact, shared within and across relations; "": not verified
    "adaptive": ("4.13", "1.23", "0.09"),
    "activation": ("3.96", "", "1.92"),
}


def measure(context: ExperimentContext) -> list[Row]:
    """One row a relation and method: the refined neurons of each fact, before any filter."""
    names = [f"{relation} {method}" for relation in context.relations for method in METHODS]
    return context.measured("sharing", names, _row)


def _row(context: ExperimentContext, row_name: str) -> Row:
    name, method = row_name.rsplit(" ", 1)
    with context.base() as (model, base):
        locator: Locator = base.by(Search.by(method))
        results = locator.relation(context.relations[name], context.facts[name])
        layers = model.n_layers
    neurons = {
        result.fact.subject: [str(neuron) for neuron, _ in result.neurons]
        + [str(n) for n in result.dropped]
        for result in results
    }
    return {"relation": name, "method": method, "layers": layers, "neurons": neurons}


def section(rows: Sequence[Row]) -> Section:
    lines, claims = [], []
    for method, words in METHODS.items():
        sets = {
            row["relation"]: [frozenset(neurons) for neurons in row["neurons"].values()]
            for row in rows
            if row["method"] == method
        }
        within, across = _within(sets), _across(sets)
        mean_size = _mean([len(neurons) for group in sets.values() for neurons in group])
        lines.append((words, f"{mean_size:.2f}", f"{within:.2f}", f"{across:.2f}"))
        lines.append((f"{words}, the paper", *PAPER[method]))
        if method == "adaptive":
            claims.append(
                Claim(
                    "Facts of one relation share more neurons than facts of different relations: "
                    f"{within:.2f} against {across:.2f}.",
                    within > across,
                )
            )
    table = Table(
        "Knowledge neurons of a fact, before the relation filter",
        ("method", "neurons", "shared within a relation", "shared across relations"),
        tuple(lines),
    )
    text = "Means over facts, and over pairs of facts."
    shares = {
        words: [100 * share for share in layer_shares(rows, method)]
        for method, words in METHODS.items()
    }
    layers = [str(layer) for layer in range(rows[0]["layers"])]
    drawn = bars(shares, layers, "layer", "share of knowledge neurons, %")
    plot = Plot("layers", "Where knowledge neurons lie", drawn)
    return Section(
        title="Neurons of a relation",
        text=text,
        tables=(table, by_layer(rows)),
        claims=tuple(claims),
        plots=(plot,),
    )


def by_layer(rows: Sequence[Row]) -> Table:
    """The share of knowledge neurons in each layer, by method."""
    n_layers = rows[0]["layers"]
    shares = {method: layer_shares(rows, method) for method in METHODS}
    lines = [
        (str(layer), *(f"{shares[method][layer]:.1%}" for method in METHODS))
        for layer in range(n_layers)
    ]
    return Table("Share of neurons by layer", ("layer", *METHODS.values()), tuple(lines))


def layer_shares(rows: Sequence[Row], method: str) -> list[float]:
    counts = Counter(
        NeuronId.parse(neuron).layer
        for row in rows
        if row["method"] == method
        for neurons in row["neurons"].values()
        for neuron in neurons
    )
    total = max(sum(counts.values()), 1)
    return [counts[layer] / total for layer in range(rows[0]["layers"])]


Sets = dict[str, list[frozenset[str]]]


def _within(sets: Sets) -> float:
    return _mean([len(a & b) for group in sets.values() for a, b in combinations(group, 2)])


def _across(sets: Sets) -> float:
    return _mean([len(a & b) for a, b in _pairs_across(sets)])


def _pairs_across(sets: Sets) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    for first, second in combinations(sets.values(), 2):
        yield from product(first, second)


def _mean(values: Sequence[int]) -> float:
    return fmean(values) if values else 0.0
