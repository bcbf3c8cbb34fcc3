"""Neurons of facts in 16 bits beside those in float32, on SmolLM2.

    python benchmarks/formats.py [--facts 6] [--relation capital] [--formats bfloat16,float16]

Facts are the first of the relation whose answer the float32 model puts first on every prompt. Their
neurons are chosen as `locate` chooses them, without the relation's filter. Writes the table of
docs/attribution.md.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from statistics import mean

import torch

from kn_edit.editing.locating import prompts_for
from kn_edit.engine.scores import LocalScorer
from kn_edit.facts import Fact, load_relation
from kn_edit.models.demo import demo_folder
from kn_edit.models.model import Model, load
from kn_edit.models.questions import Chain, ask
from kn_edit.neurons.assess import assess
from kn_edit.neurons.locate import Located, located
from kn_edit.neurons.selection import Thresholds

CANDIDATES = 20  # value slots that an update begins with


@dataclass(frozen=True)
class Choice:
    """What is chosen for one fact."""

    refined: frozenset[object]
    candidates: frozenset[object]
    best: float  # the largest mean score
    scores: dict[object, float]


def chosen(found: Located) -> Choice:
    return Choice(
        refined=frozenset(neuron for neuron, _ in found.neurons),
        candidates=frozenset(neuron for neuron, _ in found.ranking[:CANDIDATES]),
        best=found.ranking[0][1],
        scores=dict(found.ranking[:CANDIDATES]),
    )


def overlap(one: frozenset[object], other: frozenset[object]) -> float:
    """Neurons in both, as a share of those in either."""
    return len(one & other) / len(one | other) if one | other else 1.0


def facts_known(model: Model, name: str, count: int) -> dict[Fact, list[Chain]]:
    relation = load_relation(name)
    known: dict[Fact, list[Chain]] = {}
    for fact in relation.facts:
        if len(known) == count:
            break
        chains = [ask(model, prompt) for prompt in prompts_for(model, relation, fact)]
        if all(answer.right for answer in assess(model, chains)):
            known[fact] = chains
    return known


def choices(model: Model, facts: dict[Fact, list[Chain]]) -> list[Choice]:
    limits, found = Thresholds(), []
    for fact, chains in facts.items():
        scores = dict(LocalScorer(model).scores(chains, "adaptive", 20))
        in_order = [scores[place] for place in range(len(chains))]
        found.append(chosen(located(fact, in_order, frozenset(), limits, limits.shared)))
        print(f"{fact.subject}: {len(found[-1].refined)} neurons in {model.dtype}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=6)
    parser.add_argument("--relation", default="capital")
    parser.add_argument("--formats", default="bfloat16,float16")
    options = parser.parse_args()
    whole = load(demo_folder(), dtype=torch.float32)
    facts = facts_known(whole, options.relation, options.facts)
    reference = choices(whole, facts)
    rows = []
    for name in options.formats.split(","):
        found = choices(load(demo_folder(), dtype=getattr(torch, name)), facts)
        pairs = list(zip(found, reference, strict=True))
        shared = [
            abs(one.scores[neuron] - other.scores[neuron]) / other.best
            for one, other in pairs
            for neuron in one.candidates & other.candidates
        ]
        refined = [overlap(one.refined, other.refined) for one, other in pairs]
        candidates = [overlap(one.candidates, other.candidates) for one, other in pairs]
        rows.append((name, mean(refined), min(refined), mean(candidates), min(candidates), shared))
    print(f"\n{len(facts)} facts: {', '.join(fact.subject for fact in facts)}\n")
    print(
        "| format | refined neurons, mean; least | 20 candidates, mean; least | scores, largest |"
    )
    print("|---|---|---|---|")
    for name, refined, least, candidates, fewest, shared in rows:
        print(
            f"| {name} | {refined:.2f}; {least:.2f} | {candidates:.2f}; {fewest:.2f} "
            f"| {max(shared):.1%} |"
        )


if __name__ == "__main__":
    main()
