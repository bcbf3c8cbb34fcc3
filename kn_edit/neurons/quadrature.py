"""Rules for integrating along a path from 0 to 1, as data: nodes and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

FEW, MANY = 3, 5  # nodes of a panel at its first look and at its second


@dataclass(frozen=True)
class Weights:
    """What a panel's nodes tell, each as weights for a panel of width 1.

    integral: over the panel; opinion: the same by a lower rule on some of the nodes
    first_half: over the panel's left half, by the polynomial through all nodes
    """

    integral: tuple[float, ...]
    opinion: tuple[float, ...]
    first_half: tuple[float, ...]


WEIGHTS = {
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
    """A variable t from 0 to 1 in which a path that bends next to 0 is smooth.

    alpha = bend sinh(t asinh(1 / bend)). A norm behind the FFN divides what it writes by
    sqrt(alpha^2 + bend^2), up to a factor; in t that is a hyperbolic cosine. The straight path,
    alpha = t, is the limit of a large bend.
    """

    bend: float = math.inf

    @property
    def straight(self) -> bool:
        return math.isinf(self.bend)

    @property
    def _stretch(self) -> float:
        return math.asinh(1 / self.bend)

    def alpha(self, t: float) -> float:
        """The place on the path, 0 at 0 and 1 at 1."""
        if self.straight or t in (0.0, 1.0):
            return t
        return self.bend * math.sinh(t * self._stretch)

    def slope(self, t: float) -> float:
        """d alpha / d t."""
        if self.straight:
            return 1.0
        return self.bend * self._stretch * math.cosh(t * self._stretch)


def riemann_nodes(m: int) -> tuple[float, ...]:
    """The left Riemann rule of the paper's code: alpha = i/m for i = 0..m-1, weights 1/m."""
    return tuple(i / m for i in range(m))
