"""Attribution scores: integrated gradients of p(answer) over each layer's coefficients.

For one layer with coefficients w at the answer position, the score of neuron i is

    w_i * integral from 0 to 1 of  d p(answer | alpha w) / d w_i  d alpha

(Dai et al. 2022, equation 3): one layer at a time, all of its coefficients scaled jointly from
zero, the gradient of the probability.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question
from kn_edit.neurons.paths import Paths
from kn_edit.neurons.quadrature import GAUSS, KRONROD, NODES, Panel, riemann_nodes


@dataclass(frozen=True, eq=False)
class Attribution:
    """The scores of one prompt and how far they can be trusted."""

    scores: Tensor  # float64, (layers, d_ff)
    gap: Tensor  # completeness gap of each layer, float64, (layers,)
    nodes: Tensor  # evaluations spent on each layer, (layers,)
    p: float  # p(answer)
    reached: bool  # the tolerance; always True for a rule that has none


Rule = Callable[[Paths], Attribution]


@dataclass(frozen=True)
class Riemann:
    """The rule of the paper's code, for parity with it."""

    m: int = 20

    def __call__(self, paths: Paths) -> Attribution:
        nodes = riemann_nodes(self.m)  # the first is 0, which the gap needs
        along = paths.evaluate(dict.fromkeys(range(paths.n_layers), nodes))
        means = [along[layer].gradients.double().cpu().mean(0) for layer in range(paths.n_layers)]
        scores = torch.stack(
            [mean * paths.coefficients_of(layer) for layer, mean in enumerate(means)]
        )
        zeros = [float(along[layer].p[0]) for layer in range(paths.n_layers)]
        spent = torch.full((paths.n_layers,), self.m, dtype=torch.long, device="cpu")
        return Attribution(
            scores=scores, gap=_gap(scores, paths.p, zeros), nodes=spent, p=paths.p, reached=True
        )


@dataclass(frozen=True)
class Adaptive:
    """Panels are halved, in the layers that need it, until two rules agree on every neuron.

    tolerance: of the difference between the 7-node and the 3-node rule on a panel, relative to
    the prompt's largest score. The error of the 7-node rule is far below that difference
    (docs/attribution.md).
    gap: of a panel's completeness gap, relative to p(answer); not finer than the model's number
    format can tell, or a model in 16 bits would be halved down to its rounding noise.
    narrowest, most: the width of a panel and the nodes of a layer at which halving ends. Where a
    norm follows the FFN (Gemma, OLMo 2), all of p(answer)'s rise lies next to 0.
    """

    tolerance: float = 0.1
    gap: float = 3e-3
    narrowest: float = 2**-20
    most: int = 400

    def __call__(self, paths: Paths) -> Attribution:
        layers = range(paths.n_layers)
        scores = torch.zeros(paths.n_layers, paths.d_ff, dtype=torch.float64, device="cpu")
        walk = _Walk(paths)
        widest_gap = max(self.gap, 4 * paths.epsilon) * paths.p
        pending = [Panel(layer, 0.0, 1.0) for layer in layers]
        reached = True
        while pending:
            looks = walk.look(pending)
            sums = scores.clone()
            for look in looks:
                sums[look.panel.layer] += look.scores
            largest = float(sums.max())
            pending = []
            for look in looks:
                layer = look.panel.layer
                settled = look.doubt <= self.tolerance * largest and look.gap <= widest_gap
                room = look.panel.width > self.narrowest and walk.spent[layer] < self.most
                if room and not settled:
                    pending += look.panel.halved()
                else:
                    scores[layer] += look.scores
                    reached = reached and settled
        zeros = [walk.ends[layer, 0.0] for layer in layers]
        gap = _gap(scores, paths.p, zeros)
        return Attribution(scores=scores, gap=gap, nodes=walk.spent, p=paths.p, reached=reached)


@dataclass(frozen=True, eq=False)
class _Look:
    """One panel, evaluated."""

    panel: Panel
    scores: Tensor  # (d_ff,)
    doubt: float  # largest difference of a neuron's score between the two rules
    gap: float  # the panel's completeness gap


class _Walk:
    """Evaluates panels of all layers together, and remembers p(answer) at their ends."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.spent = torch.zeros(paths.n_layers, dtype=torch.long, device="cpu")
        self.ends = {(layer, 1.0): paths.p for layer in range(paths.n_layers)}

    def look(self, panels: list[Panel]) -> list[_Look]:
        """Evaluate panels, those of one layer side by side."""
        nodes: dict[int, list[float]] = defaultdict(list)
        for panel in panels:
            nodes[panel.layer] += panel.nodes
        for panel in panels:  # the ends follow the inner nodes
            for end in (panel.start, panel.end):
                if (panel.layer, end) not in self.ends:
                    self.ends[panel.layer, end] = float("nan")
                    nodes[panel.layer].append(end)
        along = self._paths.evaluate(nodes)
        for layer, alphas in nodes.items():
            self.spent[layer] += len(alphas)
            for alpha, p in zip(alphas, along[layer].p.tolist(), strict=True):
                if (layer, alpha) in self.ends:
                    self.ends[layer, alpha] = p
        used_nodes: dict[int, int] = defaultdict(int)
        looks = []
        for panel in panels:
            start = used_nodes[panel.layer]
            used_nodes[panel.layer] += NODES
            looks.append(self._judged(panel, along[panel.layer].gradients[start : start + NODES]))
        return looks

    def _judged(self, panel: Panel, gradients: Tensor) -> _Look:
        coefficients = self._paths.coefficients_of(panel.layer)
        scores = panel.integral(gradients, KRONROD) * coefficients  # (d_ff,)
        gauss_scores = panel.integral(gradients, GAUSS) * coefficients
        rise = self.ends[panel.layer, panel.end] - self.ends[panel.layer, panel.start]
        return _Look(
            panel=panel,
            scores=scores,
            doubt=float((scores - gauss_scores).abs().max()),
            gap=abs(float(scores.sum()) - rise),
        )


def attribute(model: Model, question: Question, rule: Rule) -> Attribution:
    """Attribution scores of one question. Raises NotFinite."""
    with torch.inference_mode(False):  # where a caller works in one, there is no gradient
        return rule(Paths(model, question))


def attribute_chain(model: Model, chain: Chain, rule: Rule) -> Attribution:
    """Attribution scores of a whole answer: the mean over the tokens of its chain."""
    parts = [attribute(model, question, rule) for question in chain.questions]
    if len(parts) == 1:
        return parts[0]
    return Attribution(
        scores=torch.stack([part.scores for part in parts]).mean(0),
        gap=torch.stack([part.gap for part in parts]).mean(0),
        nodes=torch.stack([part.nodes for part in parts]).sum(0),
        p=math.prod(part.p for part in parts),
        reached=all(part.reached for part in parts),
    )


def activations(model: Model, chain: Chain) -> Tensor:
    """The activation baseline: coefficients in place of scores, float64, (layers, d_ff)."""
    parts = []
    for question in chain.questions:
        paths = Paths(model, question)
        parts.append(torch.stack([paths.coefficients_of(layer) for layer in range(paths.n_layers)]))
    return torch.stack(parts).mean(0)


def _gap(scores: Tensor, p: float, zeros: list[float]) -> Tensor:
    """Completeness: what a layer's scores miss of p(answer) minus p(answer) without the layer."""
    return scores.sum(1) - (p - torch.tensor(zeros, dtype=torch.float64, device="cpu"))
