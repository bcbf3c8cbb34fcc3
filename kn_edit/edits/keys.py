"""What of a layer hears one subject and little else: the keys of a correction.

A key is a direction u over the value slots of a layer. Shifts u^T d of these slots write (c u) d at
every token, c the coefficients there. The first key answers alike wherever the subject is named: of
all directions it minimises

    mean over contexts of (c u - 1)^2 + DAMPING u N u

N the second moment of c everywhere else. In a single context it is N^-1 c but for its length, the
key of Meng et al., 2022. Without the first term the best direction is often that of one context
alone: at a text's beginning a name is heard several times as loud as behind other words.

Further keys are the directions in which contexts differ most, in units of the noise.

With a few keys in place of free shifts of every slot, a solver cannot move along the hundreds of
directions that the subject does not stand out in, where each step writes elsewhere and says
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.models.float64 import in_float64
from kn_edit.neuron import NeuronId

RIDGE = 0.1  # of the median noise is added to all: what was never seen to fire may still do so
SHRINKAGE = 0.1  # part of N's correlations left out: they are of fewer places than there are pairs
DAMPING = 3.0  # weight of noise, against uneven responses
SILENT = 1e-3  # of what stands out most, or of the noise: below it the subject is not heard
CANDIDATES = 2048  # slots of a layer that correlations are looked at for, those that stand out most


@dataclass(frozen=True, eq=False)
class Keys:
    """The keys of one layer.

    The strongest of a key's responses at the subject is 1. noise: the root of the mean square of
    its responses elsewhere, in that unit, with what is added to all
    """

    layer: int
    u: Tensor  # (r, d_ff), float32; 0 at slots that are not written
    noise: Tensor  # (r,)
    scores: Tensor  # each slot's largest part in a key's response at the subject, (d_ff,)

    def best(self, most: int) -> list[tuple[NeuronId, float]]:
        """The slots with the largest parts, with these, so many of them at most."""
        parts, slots = self.scores.topk(min(most, len(self.scores)))
        pairs = zip(slots.tolist(), parts.tolist(), strict=True)
        return [(NeuronId(self.layer, slot), part) for slot, part in pairs if part > 0]


def keys_of(
    layer: int,
    subject_coefficients: Tensor,
    elsewhere: Sequence[Tensor],
    *,
    rank: int,
    most: int | None = None,
    only: Sequence[int] = (),
) -> Keys:
    """At most `rank` keys over the slots of a layer.

    subject_coefficients: where the subject is named, (contexts, d_ff); elsewhere: at other places,
    each kind of the same weight, (places, d_ff); most: over so many slots, the best; only: over
    these and no others
    """
    kinds = [part for part in elsewhere if len(part)]
    if only:
        slots = torch.tensor(sorted(only), dtype=torch.long, device=subject_coefficients.device)
    else:
        slots = _loudest(subject_coefficients, kinds, CANDIDATES)
        if most is not None and most < len(slots):
            weights, _ = _directions(
                subject_coefficients[:, slots], [part[:, slots] for part in kinds], rank
            )
            parts = _parts(subject_coefficients[:, slots], weights)
            slots = slots[parts.topk(most).indices].sort().values
    slot_coefficients = subject_coefficients[:, slots]
    weights, noise = _directions(slot_coefficients, [part[:, slots] for part in kinds], rank)
    u = subject_coefficients.new_zeros(weights.shape[1], subject_coefficients.shape[1])
    u[:, slots] = weights.T
    scores = subject_coefficients.new_zeros(subject_coefficients.shape[1])
    scores[slots] = _parts(slot_coefficients, weights)
    return Keys(layer=layer, u=u, noise=noise, scores=scores)


def _loudest(subject_coefficients: Tensor, elsewhere: Sequence[Tensor], most: int) -> Tensor:
    """At most so many slots that the subject stands out in, each by itself, sorted."""
    noise = sum(
        (part.square().mean(0) for part in elsewhere), torch.zeros_like(subject_coefficients[0])
    )
    floor = (RIDGE * noise.median()).clamp_min(torch.finfo(noise.dtype).tiny)
    contrast = subject_coefficients.square().amax(0) / (noise + floor)
    return contrast.topk(min(most, len(contrast))).indices.sort().values


def _directions(
    subject_coefficients: Tensor, elsewhere: Sequence[Tensor], rank: int
) -> tuple[Tensor, Tensor]:
    """The keys over these slots, (n, r), and their noise, (r,)."""
    root = _root(_moment(subject_coefficients, elsewhere))
    # Of equal contexts, as there are many at a text's beginning, one counts.
    contexts = torch.unique(in_float64(subject_coefficients), dim=0)
    whitened = torch.linalg.solve_triangular(root, contexts.T, upper=False).T  # (contexts, n)
    common = _common(whitened)
    first_axis = common / common.norm().clamp_min(torch.finfo(common.dtype).tiny)
    residual = whitened - torch.outer(whitened @ first_axis, first_axis)
    _, sizes, axes = torch.linalg.svd(residual, full_matrices=False)
    # One in which the contexts do not differ carries nothing.
    count = int((sizes[: rank - 1] > SILENT * whitened.norm(dim=1).amax()).sum())
    axes = torch.cat([first_axis[None], axes[:count]])
    directions = torch.linalg.solve_triangular(root.T, axes.T, upper=True)  # of noise 1
    responses = in_float64(subject_coefficients) @ directions  # (contexts, r)
    loudest = responses.abs().amax(0).clamp_min(SILENT)
    device = subject_coefficients.device
    return (directions / loudest).float().to(device), (1 / loudest).float().to(device)


def _common(whitened: Tensor) -> Tensor:
    """The direction whose responses in all contexts are nearest to 1 at little noise, (n,).

    Minimises the mean of (response - 1)^2 plus DAMPING times the mean square of noise.
    """
    count = len(whitened)
    gram = whitened @ whitened.T / count
    gram.diagonal().add_(DAMPING)
    parts = torch.linalg.solve(gram, torch.full_like(gram[0], 1 / count))
    common: Tensor = whitened.T @ parts
    return common


def _moment(subject_coefficients: Tensor, elsewhere: Sequence[Tensor]) -> Tensor:
    """N, float64, (n, n), with what is added to its diagonal."""
    count = subject_coefficients.shape[1]
    moment = in_float64(subject_coefficients.new_zeros(count, count))
    for part in elsewhere:
        moment += in_float64(part.T @ part) / len(part)
    variances = moment.diagonal().clone()
    floor = (RIDGE * variances.median()).clamp_min(torch.finfo(torch.float32).tiny)
    moment = moment * (1 - SHRINKAGE)
    moment.diagonal().copy_(variances + floor)
    return moment


def _root(moment: Tensor) -> Tensor:
    """L, lower triangular, with L L^T the moment; without correlations where rounding hides it."""
    root, failed = torch.linalg.cholesky_ex(moment)
    return torch.diag(moment.diagonal().sqrt()) if int(failed) else root


def _parts(subject_coefficients: Tensor, weights: Tensor) -> Tensor:
    """Each slot's largest part in a response at the subject's tokens, (n,)."""
    return (subject_coefficients.abs().amax(0)[:, None] * weights.abs()).amax(1)
