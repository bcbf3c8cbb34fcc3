"""Rules for integrating along a path from 0 to 1, as data: nodes and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_PLACES, _SHARES = np.polynomial.legendre.leggauss(64)
FEW, MANY = 3, 5  # nodes of a panel at its first look and at its second


@dataclass(frozen=True)
class Weights:
    """What a panel's nodes tell, each as weights of the values at the nodes.

    integral: over the panel; opinion: the same by a lower rule on some of the nodes
    first_half: over the panel's left half, by the polynomial through all nodes
    """

    integral: tuple[float, ...]
    opinion: tuple[float, ...]
    first_half: tuple[float, ...]

    def scaled(self, width: float) -> Weights:
        """The weights for a panel of another width."""
        rules = (self.integral, self.opinion, self.first_half)
        integral, opinion, first_half = (tuple(width * w for w in rule) for rule in rules)
        return Weights(integral, opinion, first_half)


WEIGHTS = {  # of a panel of width 1
    FEW: Weights(  # Simpson beside the trapezoid
        integral=(1 / 6, 4 / 6, 1 / 6),
        opinion=(1 / 2, 0.0, 1 / 2),
        first_half=(5 / 24, 8 / 24, -1 / 24),
    ),
    MANY: Weights(  # Boole beside Simpson
        integral=(7 / 90, 32 / 90, 12 / 90, 32 / 90, 7 / 90),
        opinion=(1 / 6, 0.0, 4 / 6, 0.0, 1 / 6),
        first_half=(29 / 360, 124 / 360, 24 / 360, 4 / 360, -1 / 360),
    ),
}


@dataclass(frozen=True)
class Panel:
    """A stretch of one layer's path, with nodes at equal distances, its ends among them.

    A closer look at it uses every node again: 3 nodes become 5, and 5 become 3 in each half.
    """

    layer: int
    start: float
    end: float
    count: int = FEW

    @property
    def width(self) -> float:
        return self.end - self.start

    @property
    def nodes(self) -> tuple[float, ...]:
        """The points of the path that the rule evaluates, from left to right."""
        last = self.count - 1
        return tuple(self.start + self.width * place / last for place in range(self.count))

    def closer(self) -> tuple[Panel, ...]:
        """The panels to look at where p(answer) bends too much for this one.

        In the first layers of pre-norm models it oscillates, and fixed rules pick other neurons
        (docs/attribution.md).
        """
        if self.count == FEW:
            return (Panel(self.layer, self.start, self.end, MANY),)
        middle = (self.start + self.end) / 2
        return Panel(self.layer, self.start, middle), Panel(self.layer, middle, self.end)


@dataclass(frozen=True)
class Grading:
    """A variable t from 0 to 1 in which a path that a norm bends next to 0 is smooth.

    Behind an FFN, a norm makes alpha / sqrt(alpha^2 + bend^2) of alpha, up to a factor: that is t.
    Every gradient by a coefficient has 1 / sqrt(alpha^2 + bend^2) as a factor, which rises so
    steeply that it is integrated exactly; the rest is as smooth as without the norm. The straight
    path, alpha = t, is the limit of a large bend.
    """

    bend: float = math.inf

    @property
    def straight(self) -> bool:
        """Whether alpha itself is the variable."""
        return math.isinf(self.bend)

    def alpha(self, t: float) -> float:
        """The place on the path, 0 at 0 and 1 at 1."""
        if self.straight or t in (0.0, 1.0):
            return t
        return self.bend * t / math.sqrt(self.bend**2 + (1 - t) * (1 + t))

    def weights(self, panel: Panel) -> Weights:
        """The weights of a panel's gradients; the panel and its nodes are of the variable t."""
        if self.straight:
            return WEIGHTS[panel.count].scaled(panel.width)
        every, second = list(range(panel.count)), list(range(0, panel.count, 2))
        return Weights(
            integral=self._product_rule(panel, every, panel.end),
            opinion=self._product_rule(panel, second, panel.end),
            first_half=self._product_rule(panel, every, panel.nodes[panel.count // 2]),
        )

    def _product_rule(self, panel: Panel, places: list[int], end: float) -> tuple[float, ...]:
        """Weights that are exact where the rest is the polynomial through some nodes of a panel.

        places: of the nodes; end: where the integral from the panel's start on ends
        """
        nodes = np.array(panel.nodes)
        top = math.sqrt(1 + self.bend**2)
        # d alpha / sqrt(alpha^2 + bend^2) is d s, where alpha = bend sinh s, so t = top tanh s.
        start, stop = (math.asinh(self.alpha(t) / self.bend) for t in (panel.start, end))
        t = top * np.tanh((start + stop) / 2 + (stop - start) / 2 * _PLACES)
        weights = np.zeros(panel.count)
        for place in places:
            factors = [
                (t - nodes[root]) / (nodes[place] - nodes[root]) for root in places if root != place
            ]
            basis = np.prod(factors, axis=0)
            divisor = math.hypot(self.alpha(panel.nodes[place]), self.bend)
            weights[place] = divisor * (stop - start) / 2 * float(_SHARES @ basis)
        return tuple(weights.tolist())


def riemann_nodes(m: int) -> tuple[float, ...]:
    """The left Riemann rule of the paper's code: alpha = i/m for i = 0..m-1, weights 1/m."""
    return tuple(i / m for i in range(m))
