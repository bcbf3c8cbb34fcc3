"""What of a layer hears one subject and little else: the keys of a correction.

A key is a direction w over some value slots. Shifts b = w d^T of these slots write (c w) d at every
token, c the coefficients there. Of all directions, those that solve the generalised eigenproblem
S w = l N w make (c w)^2 largest at the subject's tokens against everywhere else, S and N the second
moments of c at both. With one token at the subject w is N^-1 c, the key of Meng et al., 2022.

With a few keys in place of free shifts of every slot, a solver cannot move along the hundreds of
directions that the subject does not stand out in, where each step spills and nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.neuron import NeuronId

RIDGE = 0.1  # of the median noise is added to all: what was never seen to fire may still do so
SHRUNK = 0.1  # part of N's correlations left out: they are of fewer places than there are pairs
SILENT = 1e-3  # of what stands out most, or of the noise: below it the subject is not heard
CANDIDATES = 2048  # slots of a layer that correlations are looked at for, those that stand out most


@dataclass(frozen=True, eq=False)
class Keys:
    """The keys of one layer.

    The strongest of a key's responses at the subject's tokens is 1. noise: the root of the mean
    square of its responses elsewhere, in that unit, with what is added to all
    """

    layer: int
    slots: Tensor  # (n,), sorted
    weights: Tensor  # (n, r), float32
    noise: Tensor  # (r,)
    scores: Tensor  # each slot's largest part in a key's response at the subject, (n,)

    @property
    def neurons(self) -> tuple[NeuronId, ...]:
        """Whose slots are written."""
        return tuple(NeuronId(self.layer, slot) for slot in self.slots.tolist())


def keys_of(
    layer: int,
    heard: Tensor,
    elsewhere: Sequence[Tensor],
    *,
    most: int,
    rank: int,
    only: Sequence[int] = (),
) -> Keys:
    """At most `rank` keys over at most so many slots of a layer.

    heard: coefficients at the subject's tokens, (tokens, d_ff); elsewhere: at other places, each
    kind of the same weight, (places, d_ff); only: over these slots and no others
    """
    kinds = [part for part in elsewhere if len(part)]
    if only:
        slots = torch.tensor(sorted(only), dtype=torch.long, device=heard.device)
    else:
        slots = _loudest(heard, kinds, CANDIDATES)
        weights, _ = _directions(heard[:, slots], [part[:, slots] for part in kinds], rank)
        parts = _parts(heard[:, slots], weights)
        slots = slots[parts.topk(min(most, len(parts))).indices].sort().values
    mine = heard[:, slots]
    weights, noise = _directions(mine, [part[:, slots] for part in kinds], rank)
    return Keys(layer, slots, weights, noise, _parts(mine, weights))


def _loudest(heard: Tensor, elsewhere: Sequence[Tensor], most: int) -> Tensor:
    """At most so many slots that the subject stands out in, each by itself, sorted."""
    noise = sum((part.square().mean(0) for part in elsewhere), torch.zeros_like(heard[0]))
    floor = (RIDGE * noise.median()).clamp_min(torch.finfo(noise.dtype).tiny)
    apart = heard.square().amax(0) / (noise + floor)
    return apart.topk(min(most, len(apart))).indices.sort().values


def _directions(heard: Tensor, elsewhere: Sequence[Tensor], rank: int) -> tuple[Tensor, Tensor]:
    """The directions that stand out most, best first, (n, r), and their noise, (r,)."""
    root = _root(_moment(heard, elsewhere))
    white = torch.linalg.solve_triangular(root, heard.double().T, upper=False).T  # (tokens, n)
    _, sizes, axes = torch.linalg.svd(white, full_matrices=False)
    # One in which the subject is not heard at all carries nothing.
    kept = max(1, int((sizes[:rank] > SILENT * sizes[0]).sum()))
    directions = torch.linalg.solve_triangular(root.T, axes[:kept].T, upper=True)  # of noise 1
    loudest = (heard.double() @ directions).abs().amax(0).clamp_min(SILENT)
    return (directions / loudest).float(), (1 / loudest).float()


def _moment(heard: Tensor, elsewhere: Sequence[Tensor]) -> Tensor:
    """N, float64, (n, n), with what is added to its diagonal."""
    moment = heard.new_zeros(heard.shape[1], heard.shape[1], dtype=torch.float64)
    for part in elsewhere:
        moment += (part.double().T @ part.double()) / len(part)
    alone = moment.diagonal().clone()
    floor = (RIDGE * alone.median()).clamp_min(torch.finfo(torch.float32).tiny)
    moment = moment * (1 - SHRUNK)
    moment.diagonal().copy_(alone + floor)
    return moment


def _root(moment: Tensor) -> Tensor:
    """L, lower triangular, with L L^T the moment; without correlations where rounding hides it."""
    root, failed = torch.linalg.cholesky_ex(moment)
    return torch.diag(moment.diagonal().sqrt()) if int(failed) else root


def _parts(heard: Tensor, weights: Tensor) -> Tensor:
    """Each slot's largest part in a response at the subject's tokens, (n,)."""
    return (heard.abs().amax(0)[:, None] * weights.abs()).amax(1)
