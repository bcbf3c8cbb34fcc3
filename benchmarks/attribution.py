"""Errors of integration rules on SmolLM2, against a reference of 220 nodes per layer.

    python benchmarks/attribution.py [--cache DIR] [--prompts N]

Writes the tables of docs/results.md. References take half a minute each; --cache keeps them.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch
from attribution_prompts import PROMPTS

from kn_edit.models.demo import demo_folder
from kn_edit.models.model import Model, load
from kn_edit.models.questions import Question
from kn_edit.neurons.attribution import Adaptive, Riemann, Rule
from kn_edit.neurons.paths import Paths
from kn_edit.neurons.rule import integrated

# Panels graded to 0, where the first layers oscillate, and uniform beyond; 10 Gauss nodes on each.
EDGES = [0.0, *(2.0**-k for k in range(10, 3, -1)), *(i / 16 for i in range(2, 17))]
NODES = 10

DEFAULT = "adaptive (default)"
RULES: dict[str, Rule] = {
    "left Riemann, 20": Riemann(20),
    "left Riemann, 100": Riemann(100),
    DEFAULT: Adaptive(),
}


def reference(paths: Paths) -> torch.Tensor:
    """Scores by composite Gauss-Legendre quadrature, (layers, d_ff)."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    scores = torch.zeros(paths.n_layers, paths.d_ff, dtype=torch.float64)
    for start, end in pairwise(EDGES):
        half = (end - start) / 2
        nodes = ((start + end) / 2 + half * x).tolist()
        along = paths.evaluate(dict.fromkeys(range(paths.n_layers), nodes))
        for layer, path in along.items():
            weights = torch.tensor(half * w)[:, None]
            scores[layer] += (weights * path.gradients.double()).sum(0) * paths.coefficients_of(
                layer
            )
    return scores


def question(model: Model, text: str, answer: str) -> Question:
    ids = tuple(model.tokenizer(text)["input_ids"])
    return Question(ids, len(ids) - 1, model.tokenizer(f" {answer}")["input_ids"][0])


def coarse(scores: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(place) for place in (scores >= 0.2 * scores.max()).nonzero().tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    chosen = parser.parse_args()
    model = load(demo_folder())
    print(f"| prompt | p | {' | '.join(RULES)} | its nodes per layer |")
    print("|---|---|" + "---|" * (len(RULES) + 1))
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in RULES}
    for number, (text, answer) in enumerate(PROMPTS[: chosen.prompts]):
        paths = Paths.of_one(model, question(model, text, answer))
        kept = chosen.cache / f"{number}.npy" if chosen.cache else None
        if kept is not None and kept.is_file():
            truth = torch.from_numpy(np.load(kept))
        else:
            truth = reference(paths)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.save(kept, truth.numpy())
        line = [f"{text} {answer}", f"{paths.p:.2f}"]
        for name, rule in RULES.items():
            found = integrated(rule, paths)
            error = float((found.scores - truth).abs().max() / truth.max())
            one, other = coarse(found.scores), coarse(truth)
            overlap = len(one & other) / len(one | other)
            nodes = float(found.nodes.float().mean())
            rows[name].append((error, overlap, nodes))
            line += [f"{error:.2%}", *([f"{nodes:.1f}"] if name == DEFAULT else [])]
        print(f"| {' | '.join(line)} |", flush=True)
    columns = ("rule", "nodes per layer", "error, median", "worst", "over 2%", "overlap, worst")
    print(f"\n| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    for name, results in rows.items():
        errors, overlaps, nodes = zip(*results, strict=True)
        print(
            f"| {name} | {sum(nodes) / len(nodes):.1f} | {median(errors):.2%} | {max(errors):.2%} "
            f"| {sum(error > 0.02 for error in errors)} of {len(errors)} | {min(overlaps):.2f} |"
        )


if __name__ == "__main__":
    main()
