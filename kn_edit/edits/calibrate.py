"""The calibrated update: solve for the shifts of a few value slots.

Minimised by Adam from zero:

    mean max(0, m - lead(t')) + w_loc KL(before, after) + w_norm sum (|b| / |v|)^2
        + w_spill mean |sum c b|^2 / |sum c* v|^2

where lead(t') is how far the log-probability of t' is above that of every other token on a prompt,
and the KL divergence is taken on prompts whose answers must stay. The last term is what the shifts
write at many other places, where the coefficients are c, in units of what the same slots write for
the fact, whose coefficients are c*: it needs no run of the model, so the places can be many more
than the prompts (the second moment of the keys plays the same part in Meng et al., 2022).

It stops as soon as t' leads on every prompt by a margin *and* the KL divergence is under its limit.
A hinge, and not -log p(t'): once t' leads, nothing should push further while the divergence comes
down (docs/results.md).
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


@dataclass(frozen=True, eq=False)
class Fired:
    """Coefficients of some neurons, for a fact and elsewhere."""

    neurons: tuple[NeuronId, ...]
    own: Tensor  # at the prompts of the fact, (prompts, n)
    elsewhere: Tensor  # (places, n)

    def of(self, neurons: Sequence[NeuronId]) -> Fired:
        """The same of some of the neurons."""
        columns = [self.neurons.index(neuron) for neuron in neurons]
        return Fired(tuple(neurons), self.own[:, columns], self.elsewhere[:, columns])


@dataclass(frozen=True)
class Aims:
    """What an update is to change and to keep."""

    change: tuple[Question, ...]  # each asks for a token of the new answer
    keep: tuple[Question, ...]  # what is predicted here must stay; their tokens are not used
    fired: Fired | None = None  # of all candidates; None where nothing is known of other places


@dataclass(frozen=True)
class Settings:
    """Weights of the loss, and when to stop. Chosen by measurement (docs/results.md)."""

    w_loc: float = 100.0
    w_norm: float = 1e-3
    w_spill: float = 300.0
    rate: float = 0.1  # length of Adam's first step, in units of |v|
    betas: tuple[float, float] = (0.8, 0.9)  # short memory: the first gradients are far larger
    margin: float = 8.0  # of log-probability over the next token
    slack: float = 0.5  # what the loss asks for beyond it
    kl_limit: float = 0.005  # nats, mean over the prompts to keep
    most_steps: int = 30
    fewest: int = 20  # neurons to begin with
    more: int = 5  # neurons added at a time where those cannot carry the change
    most_neurons: int = 30


@dataclass(frozen=True)
class Solution:
    """Shifts found for some neurons, and how well they do."""

    neurons: tuple[NeuronId, ...]
    b: Tensor  # float32, (n, d_model), in the order of `neurons`
    steps: int
    margin: float  # the least lead over the prompts
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
    asked = _Asked(model, lowest, [*aims.change, *aims.keep])
    changed = len(aims.change)
    wanted = torch.tensor([question.token for question in aims.change], device=model.device)
    # A slot of zeros (an erased one, say) stays as it is: it has no size to move by.
    sizes = slot_norms(model, neurons).clamp_min(torch.finfo(torch.float32).tiny)  # (n, 1)
    with torch.no_grad():
        before = asked.log_p()[changed:]  # (kept prompts, vocabulary)

    spill = None if aims.fired is None else _spill(model, aims.fired.of(neurons))
    if start is None:
        start = torch.zeros(len(neurons), model.d_model, device=model.device)
    u = (start / sizes).requires_grad_()  # b in units of |v|, (n, d_model)
    adam = torch.optim.Adam([u], lr=settings.rate / math.sqrt(model.d_model), betas=settings.betas)
    best: _Best | None = None
    for step in range(settings.most_steps + 1):
        with torch.enable_grad(), shifted(model, _by_layer(neurons, u * sizes)):
            log_p = asked.log_p()  # (changed and kept prompts, vocabulary)
            kl = _divergence(before, log_p[changed:]) if aims.keep else u.sum() * 0
            lead = _lead(log_p[:changed], wanted)  # (changed prompts,)
        now = _Best(u.detach().clone(), step, float(lead.detach().min()), float(kl.detach()))
        if best is None or now.rank(settings) > best.rank(settings):
            best = now
        tick(step, now.margin)
        if now.reached(settings) or step == settings.most_steps:
            break
        loss = (settings.margin + settings.slack - lead).relu().mean()
        loss = loss + settings.w_loc * kl + settings.w_norm * u.square().sum()
        if spill is not None:
            loss = loss + settings.w_spill * (spill @ (u * sizes)).square().sum()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    assert best is not None
    b = (best.u * sizes).float().cpu()
    return Solution(tuple(neurons), b, step, best.margin, best.kl, best.reached(settings))


@dataclass(frozen=True, eq=False)
class _Best:
    """A step of the solver."""

    u: Tensor
    step: int
    margin: float
    kl: float

    def reached(self, settings: Settings) -> bool:
        return self.margin >= settings.margin and self.kl <= settings.kl_limit

    def rank(self, settings: Settings) -> tuple[float, float]:
        """Enough margin first, then the least divergence."""
        return min(self.margin, settings.margin), -self.kl


def slot_norms(model: Model, neurons: Sequence[NeuronId]) -> Tensor:
    """|v| of each neuron's value slot, float32, (n, 1)."""
    rows = [model.slots(neuron.layer)[neuron.index] for neuron in neurons]
    norms: Tensor = torch.stack(rows).float().norm(dim=1, keepdim=True)
    return norms


def _spill(model: Model, fired: Fired) -> Tensor:
    """C with |C b|^2 = mean |sum c b|^2 / |sum c* v|^2 for shifts b, (places, n)."""
    slots = [model.slots(neuron.layer)[neuron.index] for neuron in fired.neurons]
    written = fired.own.float().mean(0) @ torch.stack(slots).float()  # (d_model,)
    size = written.square().sum().clamp_min(torch.finfo(torch.float32).tiny)
    return fired.elsewhere.float() / (size * max(len(fired.elsewhere), 1)).sqrt()


def _by_layer(neurons: Sequence[NeuronId], b: Tensor) -> dict[int, Shift]:
    shifts = {}
    for layer in sorted({neuron.layer for neuron in neurons}):
        rows = [row for row, neuron in enumerate(neurons) if neuron.layer == layer]
        index = torch.tensor([neurons[row].index for row in rows], device=b.device)
        shifts[layer] = Shift(index, b[rows])
    return shifts


class _Asked:
    """Questions of every length, each group of similar length one batch: small ones are slow."""

    def __init__(self, model: Model, layer: int, questions: Sequence[Question]) -> None:
        groups = of_similar_length(questions)
        places = {question: at for at, question in enumerate(q for some in groups for q in some)}
        self._parts = [Suffix(model, layer, batched(model, some)) for some in groups]
        self._order = torch.tensor([places[question] for question in questions])

    def log_p(self) -> Tensor:
        """Log-probabilities in the order of the questions, (questions, vocabulary)."""
        return torch.cat([part.log_p() for part in self._parts])[self._order]


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """Mean KL(before, after) over rows of log-probabilities, in nats."""
    return (before.exp() * (before - after)).sum(-1).mean()


def _lead(log_p: Tensor, wanted: Tensor) -> Tensor:
    """By how much the wanted token leads every other, in log-probability, (rows,)."""
    own = log_p.gather(1, wanted[:, None]).squeeze(1)
    others = log_p.scatter(1, wanted[:, None], -torch.inf).max(-1).values
    return own - others
