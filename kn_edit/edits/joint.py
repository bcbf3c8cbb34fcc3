"""Shifts of all value slots of one layer for many facts at once: a single least-squares solution.

Each fact has keys, the coefficients of the layer where its subject ends, and a target, what the
layer is to write there beside what it writes. With the keys as rows of K, a target for each row
of them in R, and the coefficients H where nothing is to change, the shifts D, (d_ff, d_model), are

    argmin |K D - R|^2 + |H D|^2 + w_text tr(D^T C D)

with each row of H times the root of its weight, where C is the second moment of coefficients in
ordinary text (Meng et al., 2023, MEMIT, has the first and the last term). With
A = K^T K + H^T H + w_text C this is A^-1 K^T R: its rank is the number of targets, so it is kept
as one direction of coefficients and one of values for each.

What is solved for is a set: all sums are in float64, over rows in the order in which they are
given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.models.float64 import in_float64

_RIDGE = 1e-5  # of the mean curvature is added to all directions, so that none is left out


@dataclass(frozen=True, eq=False)
class JointTask:
    """What one layer is to write.

    keys: coefficients where targets are wanted, (rows, d_ff); target_of: which target each row has,
    (rows,); targets: (t, d_model); held: coefficients where nothing is to change, (places, d_ff);
    weights: of held places, in units of a row, (places,); moment: E[c c^T] in ordinary text,
    (d_ff, d_ff); w_text: its weight, in units of a row
    """

    keys: Tensor
    target_of: Tensor
    targets: Tensor
    held: Tensor
    weights: Tensor
    moment: Tensor
    w_text: float


@dataclass(frozen=True, eq=False)
class JointSolution:
    """Shifts u^T v of a layer's value slots.

    reach: |what is written| at the held places in the mean, in units of that at the rows
    """

    u: Tensor  # float32, (r, d_ff)
    v: Tensor  # float32, (r, d_model)
    reach: float


def solve_jointly(task: JointTask) -> JointSolution:
    """The shifts that bring every target to its rows and leave what is held as it is."""
    keys, targets, held = map(in_float64, (task.keys, task.targets, task.held))
    weighted = held * in_float64(task.weights).sqrt()[:, None]
    curvature = keys.T @ keys + weighted.T @ weighted + task.w_text * in_float64(task.moment)
    curvature.diagonal().add_(_RIDGE * curvature.diagonal().mean())
    target_of = task.target_of.to(keys.device)
    sums = keys.new_zeros(len(targets), keys.shape[1]).index_add_(0, target_of, keys)
    directions = torch.linalg.solve(curvature, sums.T).T  # (t, d_ff)
    written = keys @ directions.T @ targets  # (rows, d_model)
    reached = (held @ directions.T @ targets).norm(dim=1).sum() / max(len(held), 1)
    u, v = _smaller(directions, targets)
    size = written.norm(dim=1).mean().clamp_min(torch.finfo(written.dtype).tiny)
    return JointSolution(u=u.float(), v=v.float(), reach=float(reached / size))


def _smaller(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The same u^T v of no higher rank than a slot is long."""
    width = v.shape[1]
    if len(u) <= width:
        return u, v
    return (u.T @ v).T, torch.eye(width, dtype=v.dtype, device=v.device)
