"""The least step by which figures rise as far as they are wanted to, as their gradients tell.

With the gradients of n figures as rows of G, (n, d), and what each misses in b, (n,), it is

    argmin |x|^2 + sum_i max(b_i - g_i x, 0)^2 / s

s is `SLACK` times the mean |g_i|^2, so that figures that cannot all be reached end no step. The
dual is solved, a problem of n numbers: x = G^T a, where a >= 0 minimises
a^T (G G^T + s) a / 2 - b^T a, one number of a after the other (Hildreth, 1957).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SLACK = 1e-3
SWEEPS = 400  # over all figures, at most
EXACT = 1e-9  # of the largest number of a, by which it may change still


def least_step(gradients: Tensor, missing: Tensor) -> Tensor:
    """The least step by which each figure rises by what it misses, about; (d,).

    gradients: of each figure, (n, d); missing: by how much each is to rise, or may fall where it is
    below zero, (n,). In float64 on the CPU, and of the type and on the device of the gradients.
    """
    rows = gradients.detach().double().cpu().numpy()
    wanted = missing.detach().double().cpu().numpy()
    products = rows @ rows.T
    scale = products.trace() / max(len(rows), 1)
    if not scale > 0:
        return torch.zeros_like(gradients[0])
    curvature = products + SLACK * scale * np.eye(len(rows))
    multipliers = np.zeros(len(rows))
    for _ in range(SWEEPS):
        before = multipliers.copy()
        for number in range(len(rows)):
            short = wanted[number] - curvature[number] @ multipliers
            risen = multipliers[number] + short / curvature[number, number]
            multipliers[number] = max(risen, 0.0)
        if np.abs(multipliers - before).max() <= EXACT * multipliers.max():
            break
    return torch.from_numpy(rows.T @ multipliers).to(gradients)
