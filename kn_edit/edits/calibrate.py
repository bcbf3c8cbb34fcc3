"""The calibrated update: solve for the shifts of a few value slots.

Minimised by Adam from zero:

    mean -log p(t' | prompts) + w_loc KL(before, after) + w_norm sum (|b| / |v|)^2

where the KL divergence is taken on prompts whose answers must stay. It stops as soon as every
token of t' is first on every prompt by a margin *and* the KL divergence is under its limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.edits.suffix import Shift, Suffix, shifted
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched, of_similar_length
from kn_edit.neuron import NeuronId


@dataclass(frozen=True)
class Aims:
    """What an update is to change and to keep."""

    change: tuple[Question, ...]  # each asks for a token of the new answer
    keep: tuple[Question, ...]  # what is predicted here must stay; their tokens are not used


@dataclass(frozen=True)
class Settings:
    """Weights of the loss, and when to stop. Chosen by measurement (docs/results.md)."""

    w_loc: float = 8.0
    w_norm: float = 1e-3
    rate: float = 0.3  # length of Adam's first step, in units of |v|
    margin: float = 1.0  # of log-probability over the next token
    slack: float = 0.5  # what the loss asks for beyond it
    kl_limit: float = 0.02  # nats, mean over the prompts to keep
    most_steps: int = 40
    more: int = 4  # neurons added at a time where the first ones cannot carry the change
    most_neurons: int = 40


@dataclass(frozen=True)
class Solution:
    """Shifts found for some neurons, and how well they do."""

    neurons: tuple[NeuronId, ...]
    b: Tensor  # float32, (n, d_model), in the order of `neurons`
    steps: int
    margin: float  # the least over the prompts, after the last step
    kl: float
    reached: bool


Tick = Callable[[int, float], None]


def solve(
    model: Model,
    aims: Aims,
    neurons: Sequence[NeuronId],
    settings: Settings,
    *,
    start: Tensor | None = None,
    tick: Tick = lambda step, margin: None,
) -> Solution:
    """Solve for the shifts of these neurons' slots. Changes no weight.

    start: shifts to begin with, (n, d_model); tick: told the step and margin so far.
    """
    lowest = min(neuron.layer for neuron in neurons)
    change = Suffix(model, lowest, batched(model, aims.change))
    keep = [Suffix(model, lowest, batched(model, some)) for some in of_similar_length(aims.keep)]
    wanted = torch.tensor([question.token for question in aims.change], device=model.device)
    # A slot of zeros (an erased one, say) stays as it is: it has no size to move by.
    sizes = slot_norms(model, neurons).clamp_min(torch.finfo(torch.float32).tiny)  # (n, 1)
    with torch.no_grad():
        before = _joined(keep)  # (kept prompts, vocabulary)

    if start is None:
        start = torch.zeros(len(neurons), model.d_model, device=model.device)
    u = (start / sizes).requires_grad_()  # b in units of |v|, (n, d_model)
    adam = torch.optim.Adam([u], lr=settings.rate / math.sqrt(model.d_model))
    for step in range(settings.most_steps + 1):
        with torch.enable_grad(), shifted(model, _by_layer(neurons, u * sizes)):
            log_p = change.log_p()  # (prompts, vocabulary)
            kl = _divergence(before, _joined(keep)) if keep else u.sum() * 0
            lead = _lead(log_p, wanted)  # (prompts,)
        margin = float(lead.detach().min())
        reached = margin >= settings.margin and float(kl.detach()) <= settings.kl_limit
        tick(step, margin)
        if reached or step == settings.most_steps:
            break
        loss = (settings.margin + settings.slack - lead).relu().mean()
        loss = loss + settings.w_loc * kl + settings.w_norm * u.square().sum()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    b = (u.detach() * sizes).float().cpu()
    return Solution(tuple(neurons), b, step, margin, float(kl.detach()), reached)


def slot_norms(model: Model, neurons: Sequence[NeuronId]) -> Tensor:
    """|v| of each neuron's value slot, float32, (n, 1)."""
    rows = [model.slots(neuron.layer)[neuron.index] for neuron in neurons]
    norms: Tensor = torch.stack(rows).float().norm(dim=1, keepdim=True)
    return norms


def _by_layer(neurons: Sequence[NeuronId], b: Tensor) -> dict[int, Shift]:
    shifts = {}
    for layer in sorted({neuron.layer for neuron in neurons}):
        rows = [row for row, neuron in enumerate(neurons) if neuron.layer == layer]
        index = torch.tensor([neurons[row].index for row in rows], device=b.device)
        shifts[layer] = Shift(index, b[rows])
    return shifts


def _joined(parts: Sequence[Suffix]) -> Tensor:
    return torch.cat([part.log_p() for part in parts]) if parts else torch.empty(0)


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """Mean KL(before, after) over rows of log-probabilities, in nats."""
    return (before.exp() * (before - after)).sum(-1).mean()


def _lead(log_p: Tensor, wanted: Tensor) -> Tensor:
    """By how much the wanted token leads every other, in log-probability, (rows,)."""
    own = log_p.gather(1, wanted[:, None]).squeeze(1)
    others = log_p.scatter(1, wanted[:, None], -torch.inf).max(-1).values
    return own - others
