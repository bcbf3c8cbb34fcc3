"""Integrated gradients the slow way, to compare with: no trick, and none of kn_edit's hooks.

The whole network runs over the whole prompt, forward and backward, for each layer and node anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.pytorch_utils import Conv1D

EQUAL = [panel / 25 for panel in range(26)]
GRADED = [0.0, *(2.0**-k for k in range(20, -1, -1))]  # for what happens next to 0


def down_projections(net: nn.Module, d_model: int, d_ff: int) -> list[nn.Module]:
    """Found by shape alone: in the tiny models no other weight maps d_ff to d_model."""
    found = []
    for module in net.modules():
        if isinstance(module, (nn.Linear, Conv1D)):
            slots = module.weight if isinstance(module, Conv1D) else module.weight.T
            if slots.shape == (d_ff, d_model):
                found.append(module)
    return found


class Plain:
    """One token asked of one prompt."""

    def __init__(self, net: Any, downs: Sequence[Any], ids: Any, position: int, token: int) -> None:
        self.net, self.downs = net, downs
        self.ids, self.position, self.token = torch.tensor([list(ids)]), position, token
        with torch.no_grad():
            self.p = float(self._p())
            self.own = [self._coefficients(down) for down in downs]  # (d_ff,) each

    def _p(self) -> Tensor:
        logits = self.net(input_ids=self.ids, use_cache=False).logits
        return torch.softmax(logits[0, self.position], dim=0)[self.token]

    def _coefficients(self, down: Any) -> Tensor:
        seen: list[Tensor] = []
        handle = down.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        self._p()
        handle.remove()
        return seen[0].reshape(self.ids.shape[1], -1)[self.position].clone()

    def at(self, layer: int, alpha: float) -> tuple[float, Tensor]:
        """p(answer) with the layer's coefficients scaled, and its gradient by them, (d_ff,)."""
        leaf = (alpha * self.own[layer]).clone().requires_grad_()

        def put(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            flat = given[0].reshape(self.ids.shape[1], -1)  # (tokens, d_ff)
            rows = [leaf if at == self.position else row for at, row in enumerate(flat)]
            return (torch.stack(rows).view_as(given[0]),)

        handle: RemovableHandle = self.downs[layer].register_forward_pre_hook(put)
        try:
            with torch.enable_grad():
                p = self._p()
                (gradient,) = torch.autograd.grad(p, leaf)
        finally:
            handle.remove()
        return float(p.detach()), gradient

    def integrated(self, layer: int, nodes: Sequence[float], weights: Sequence[float]) -> Tensor:
        """The scores of one layer under any rule, float64, (d_ff,)."""
        total = torch.zeros(len(self.own[layer]), dtype=torch.float64)
        for alpha, weight in zip(nodes, weights, strict=True):
            total += weight * self.at(layer, alpha)[1].double()
        return total * self.own[layer].double()

    def left_riemann(self, m: int) -> Tensor:
        """The rule of the paper's code, (layers, d_ff)."""
        nodes = [i / m for i in range(m)]
        return torch.stack(
            [self.integrated(layer, nodes, [1 / m] * m) for layer in range(len(self.downs))]
        )

    def reference(self, bounds: Sequence[float] = EQUAL, order: int = 20) -> Tensor:
        """Gauss-Legendre on each panel: 500 nodes a layer unless told, (layers, d_ff)."""
        places, shares = np.polynomial.legendre.leggauss(order)
        panels = list(pairwise(bounds))
        nodes = [start + (end - start) * (1 + x) / 2 for start, end in panels for x in places]
        weights = [(end - start) * share / 2 for start, end in panels for share in shares]
        return torch.stack(
            [self.integrated(layer, nodes, weights) for layer in range(len(self.downs))]
        )
