"""Attribution scores: integrated gradients of p(answer) over each layer's coefficients.

For one layer with coefficients w at the answer position, the score of neuron i is

    w_i * integral from 0 to 1 of  d p(answer | alpha w) / d w_i  d alpha

(Dai et al. 2022, equation 3): one layer at a time, all of its coefficients scaled jointly from
zero, the gradient of the probability.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question
from kn_edit.neurons.adaptive import Adaptive
from kn_edit.neurons.paths import Along, Paths, evaluate_many
from kn_edit.neurons.quadrature import riemann_nodes
from kn_edit.neurons.rule import Attribution, Rule, Walk, completeness_gap

__all__ = [
    "Adaptive",
    "Attribution",
    "Riemann",
    "Rule",
    "activations",
    "attribute",
    "attribute_chain",
    "attribute_chains",
    "attribute_many",
]

# Of the prompts that are under way together. Their rows share passes; but each holds what its
# layers were called with, and is lost where it is interrupted.
PROMPTS_HELD = 12
TOKENS_HELD = 512


@dataclass(frozen=True)
class Riemann:
    """The rule of the paper's code, for parity with it."""

    m: int = 20

    def walk(self, paths: Paths) -> RiemannWalk:
        """Begin to integrate one prompt's paths."""
        return RiemannWalk(paths, self.m)


class RiemannWalk:
    """One prompt's left Riemann sums: all nodes are asked for at once."""

    def __init__(self, paths: Paths, m: int) -> None:
        self.paths, self._m = paths, m
        self._along: Mapping[int, Along] | None = None

    @property
    def done(self) -> bool:
        """Whether the nodes are known."""
        return self._along is not None

    def wanted(self) -> dict[int, tuple[float, ...]]:
        """The nodes of every layer; the first is 0, which the gap needs."""
        return dict.fromkeys(range(self.paths.n_layers), riemann_nodes(self._m))

    def take(self, along: Mapping[int, Along]) -> None:
        """Take in the gradients at the nodes."""
        self._along = along

    def attribution(self) -> Attribution:
        """The scores, once the nodes are known."""
        assert self._along is not None
        paths, along = self.paths, self._along
        means = [
            in_float64(along[layer].gradients.cpu()).mean(0) for layer in range(paths.n_layers)
        ]
        scores = torch.stack(
            [mean * paths.coefficients_of(layer) for layer, mean in enumerate(means)]
        )
        zeros = [float(along[layer].p[0]) for layer in range(paths.n_layers)]
        return Attribution(
            scores=scores,
            gap=completeness_gap(scores, paths.p, zeros),
            nodes=torch.full((paths.n_layers,), self._m, dtype=torch.long, device="cpu"),
            p=paths.p,
            reached=True,
        )


def attribute(model: Model, question: Question, rule: Rule) -> Attribution:
    """Attribution scores of one question. Raises NotFinite."""
    ((_, attribution),) = attribute_many(model, [question], rule)
    return attribution


def attribute_many(
    model: Model, questions: Sequence[Question], rule: Rule
) -> Iterator[tuple[int, Attribution]]:
    """Attribution scores of many questions, each with its place as soon as it is known.

    The nodes that the questions need next are evaluated together, round by round. Raises NotFinite.
    """
    waiting = deque(enumerate(questions))
    walks: dict[int, Walk] = {}
    while waiting or walks:
        joining = dict(_joining(waiting, [questions[place] for place in walks]))
        with torch.inference_mode(False):  # where a caller works in one, there is no gradient
            joined_paths = Paths.of(model, list(joining.values()))
            walks |= {
                place: rule.walk(paths) for place, paths in zip(joining, joined_paths, strict=True)
            }
            requests = [(walk.paths, walk.wanted()) for walk in walks.values()]
            for walk, along in zip(walks.values(), evaluate_many(requests), strict=True):
                walk.take(along)
        for place in [place for place, walk in walks.items() if walk.done]:
            yield place, walks.pop(place).attribution()


def _joining(
    waiting: deque[tuple[int, Question]], held: Sequence[Question]
) -> Iterator[tuple[int, Question]]:
    """Take waiting questions for which there is room beside those that are held."""
    prompts, tokens = len(held), sum(len(question.ids) for question in held)
    while waiting and prompts < PROMPTS_HELD:
        length = len(waiting[0][1].ids)
        if prompts and tokens + length > TOKENS_HELD:
            return
        prompts, tokens = prompts + 1, tokens + length
        yield waiting.popleft()


def attribute_chain(model: Model, chain: Chain, rule: Rule) -> Attribution:
    """Attribution scores of a whole answer: the mean over the tokens of its chain."""
    ((_, attribution),) = attribute_chains(model, [chain], rule)
    return attribution


def attribute_chains(
    model: Model, chains: Sequence[Chain], rule: Rule
) -> Iterator[tuple[int, Attribution]]:
    """Attribution scores of many answers, each with its place as soon as it is known.

    Raises NotFinite.
    """
    owners = [
        (place, index)
        for place, chain in enumerate(chains)
        for index in range(len(chain.questions))
    ]
    parts: list[dict[int, Attribution]] = [{} for _ in chains]
    questions = [question for chain in chains for question in chain.questions]
    for number, attribution in attribute_many(model, questions, rule):
        place, index = owners[number]
        parts[place][index] = attribution
        if len(parts[place]) == len(chains[place].questions):
            yield place, _mean([parts[place][key] for key in sorted(parts[place])])
            parts[place] = {}


def _mean(parts: Sequence[Attribution]) -> Attribution:
    """The attribution of a chain from those of its questions."""
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
    for paths in Paths.of(model, chain.questions):
        parts.append(torch.stack([paths.coefficients_of(layer) for layer in range(paths.n_layers)]))
    return torch.stack(parts).mean(0)
