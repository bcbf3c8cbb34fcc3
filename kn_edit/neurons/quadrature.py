"""Rules for integrating along a path from 0 to 1, as data: nodes and weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# A Gauss-Legendre rule of 3 nodes inside its Kronrod extension of 7 (Kronrod 1965): seven
# evaluations give an integral (exact to degree 11) and a second opinion on it (to degree 5).
_PLACES = (0.960491268708020283, 0.774596669241483377, 0.434243749346802558, 0.0)
_KRONROD = (0.104656226026467265, 0.268488089868333441, 0.401397414775962223, 0.450916538658474142)
_GAUSS = (0.0, 5 / 9, 0.0, 8 / 9)


def _mirrored(half: tuple[float, ...], sign: int = 1) -> tuple[float, ...]:
    """A symmetric rule on [-1, 1] from its right half, outermost first."""
    return tuple(sign * value for value in half[:3]) + tuple(reversed(half))


PLACES = _mirrored(_PLACES, sign=-1)
KRONROD = _mirrored(_KRONROD)
GAUSS = _mirrored(_GAUSS)
NODES = len(PLACES)


@dataclass(frozen=True)
class Panel:
    """A stretch of one layer's path."""

    layer: int
    start: float
    end: float

    @property
    def width(self) -> float:
        return self.end - self.start

    @property
    def nodes(self) -> tuple[float, ...]:
        """The points of the path that the rule evaluates, from left to right."""
        middle, half = (self.start + self.end) / 2, self.width / 2
        return tuple(middle + half * place for place in PLACES)

    def halved(self) -> tuple[Panel, Panel]:
        """Split where p(answer) bends too much for one panel.

        In the first layers of pre-norm models it oscillates, and fixed rules pick other neurons
        (docs/attribution.md).
        """
        middle = (self.start + self.end) / 2
        return Panel(self.layer, self.start, middle), Panel(self.layer, middle, self.end)

    def integral(self, gradients: Tensor, weights: tuple[float, ...]) -> Tensor:
        """The integral of the gradients over the panel, float64.

        gradients: at the panel's nodes, (NODES, d_ff); weights: KRONROD or GAUSS
        """
        rule = torch.tensor(weights, dtype=torch.float64, device="cpu")[:, None]
        rule = rule * (self.width / 2)
        return (rule * gradients.double().cpu()).sum(0)  # (d_ff,)


def riemann_nodes(m: int) -> tuple[float, ...]:
    """The left Riemann rule of the paper's code: alpha = i/m for i = 0..m-1, weights 1/m."""
    return tuple(i / m for i in range(m))
