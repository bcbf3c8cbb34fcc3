"""The formulas of other editors, in float64: shifts of a layer's value slots, (d_ff, d_model).

Value slots are the rows of V, so that a layer with coefficients k writes k V. The papers write
W = V^T and keys as columns; here the keys are the rows of K, and what is missing at each of them
is a row of R.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rome_shift(key: Tensor, missing: Tensor, moment: Tensor) -> Tensor:
    """Rank one: the smallest change, as C measures it, by which a key gets what it misses.

    Meng et al., 2022 (ROME), equation 2: (v* - W k*) (C^-1 k*)^T / ((C^-1 k*)^T k*).
    key: (d_ff,); missing: v* - W k*, (d_model,); moment: C, (d_ff, d_ff)
    """
    direction = torch.linalg.solve(moment, key.double())
    return torch.outer(direction, missing.double()) / (direction @ key.double())


def memit_shift(
    keys: Tensor, missing: Tensor, moment: Tensor, weight: float, history: Tensor | None = None
) -> Tensor:
    """Least squares over a batch of keys, with what was written before held where it was.

    Meng et al., 2023 (MEMIT), equation 14: R K^T (C + K K^T)^-1.
    moment, weight: E[k k^T] and what C is in units of it
    history: sum of k k^T over earlier batches, added to C, (d_ff, d_ff)
    """
    k = keys.double()
    curvature = weight * moment + k.T @ k
    if history is not None:
        curvature += history
    return torch.linalg.solve(curvature, k.T @ missing.double())


def null_space(moment: Tensor, share: float) -> Tensor:
    """The projection onto the directions that ordinary text uses least, (d_ff, d_ff).

    Fang et al., 2025 (AlphaEdit), section 3.1: eigenvectors of K0 K0^T with small eigenvalues. They
    take those below 0.02; here it is a share of all directions, which means the same for any model.
    """
    vectors = torch.linalg.eigh(moment).eigenvectors  # by rising eigenvalue
    least = vectors[:, : round(share * len(moment))]
    return least @ least.T


def alphaedit_shift(
    keys: Tensor, missing: Tensor, projection: Tensor, history: Tensor | None = None
) -> Tensor:
    """Least squares over a batch of keys within the null space of ordinary text.

    Fang et al., 2025 (AlphaEdit), equation 14: R K1^T P (Kp Kp^T P + K1 K1^T P + I)^-1.
    projection: P; history: sum of k k^T over earlier batches
    """
    k = keys.double()
    gram = k.T @ k if history is None else history + k.T @ k
    curvature = projection @ gram + torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(curvature, projection @ k.T @ missing.double())


def ridge_shift(keys: Tensor, wanted: Tensor, ridge: float = 1.0) -> Tensor:
    """Ridge regression of what is to be written more on keys.

    Gu et al., 2025 (UltraEdit), section 4: (H^T H + I)^-1 H^T V.
    """
    k = keys.double()
    curvature = k.T @ k + ridge * torch.eye(k.shape[1], dtype=k.dtype)
    return torch.linalg.solve(curvature, k.T @ wanted.double())
