"""What a rule of integration is: it asks for nodes of a prompt's paths, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from kn_edit.neurons.paths import Along, Paths


@dataclass(frozen=True, eq=False)
class Attribution:
    """The scores of one prompt and how far they can be trusted."""

    scores: Tensor  # float64, (layers, d_ff)
    gap: Tensor  # completeness gap of each layer, float64, (layers,)
    nodes: Tensor  # evaluations spent on each layer, (layers,)
    p: float  # p(answer)
    reached: bool  # the tolerance; always True for a rule that has none


class Walk(Protocol):
    """The integration of one prompt's paths, under way."""

    @property
    def paths(self) -> Paths:
        """The paths of the prompt."""
        ...

    @property
    def done(self) -> bool:
        """Whether nothing more is to be evaluated."""
        ...

    def wanted(self) -> Mapping[int, Sequence[float]]:
        """The nodes to evaluate next: layer -> places alpha on its path."""
        ...

    def take(self, along: Mapping[int, Along]) -> None:
        """Take in p(answer) and its gradients at the nodes that were wanted."""
        ...

    def attribution(self) -> Attribution:
        """The scores, once nothing more is to be evaluated."""
        ...


class Rule(Protocol):
    """How to integrate along the paths of a prompt."""

    def walk(self, paths: Paths) -> Walk:
        """Begin to integrate one prompt's paths."""
        ...


def integrated(rule: Rule, paths: Paths) -> Attribution:
    """Integrate along the paths of one prompt."""
    walk = rule.walk(paths)
    while not walk.done:
        walk.take(paths.evaluate(walk.wanted()))
    return walk.attribution()


def completeness_gap(scores: Tensor, p: float, zeros: Sequence[float]) -> Tensor:
    """What each layer's scores miss of p(answer) minus p(answer) without the layer, (layers,).

    scores: (layers, d_ff); zeros: p(answer) with a layer's coefficients at 0, by layer
    """
    return scores.sum(1) - (p - torch.tensor(zeros, dtype=torch.float64, device="cpu"))
