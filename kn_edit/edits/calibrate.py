"""The calibrated update: solve for the shifts of a few value slots.

Minimised by Adam from zero:

    m mean max(0, 1 - lead(t') / m)^p + w_loc KL(before, after) + w_norm sum (|b| / |v|)^2
        + w_off_target mean |sum c b / s|^2

where lead(t') is how far the log-probability of t' is above that of every other token on a prompt,
and the KL divergence is taken on prompts whose answers must stay. The last term, the off-target
effect, is what the shifts write at many other places, where the coefficients are c, in units of
what the FFN of the same layer usually writes, s. It needs no run of the model, so the places can be
many more than the prompts (the second moment of the keys plays the same part in Meng et al., 2022).

Replies of a chat add a hinge of the same form, and w_chat times the KL divergence around them. They
change as far as the rest allows, and never ask for more neurons (decision 0062).

It stops as soon as t' leads on every prompt by a margin *and* both the KL divergence and the
off-target effect are under their limits. A hinge, and not -log p(t'): once t' leads, nothing should
push further while the others come down (docs/results.md).

The last two terms are quadratic in b, with a curvature that differs a thousandfold between
directions. Adam's steps are therefore taken in coordinates in which they are rounder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kn_edit.edits.settings import Settings
from kn_edit.edits.suffix import Shift, Suffix, shifted
from kn_edit.models.finite import first_non_finite
from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.questions import Question, batched
from kn_edit.neuron import NeuronId

_LinAlgError = torch.linalg.LinAlgError  # type: ignore[attr-defined]  # torch does not list it
_DAMPING = 0.1  # of the median curvature is added to all, so that no direction is left out


@dataclass(frozen=True, eq=False)
class Activations:
    """Coefficients of some neurons at places where an edit is not wanted."""

    neurons: tuple[NeuronId, ...]
    coefficients: Tensor  # (places, n)
    typical_square: Tensor  # |FFN output|^2 of each neuron's layer at the median place, (n,)

    def of(self, neurons: Sequence[NeuronId]) -> Activations:
        """Select the coefficients and the typical squares of these neurons, in their order."""
        columns = [self.neurons.index(neuron) for neuron in neurons]
        return Activations(
            neurons=tuple(neurons),
            coefficients=self.coefficients[:, columns],
            typical_square=self.typical_square[columns],
        )


@dataclass(frozen=True)
class Aims:
    """What an update is to change and to keep."""

    change: tuple[Question, ...]  # each asks for a token of the new answer
    keep: tuple[Question, ...]  # what is predicted here must stay; their tokens are not used
    elsewhere: Activations | None = None  # of all candidates; None where nothing is known of them
    chat: tuple[Question, ...] = ()  # to change as well, as far as what must stay allows
    chat_keep: tuple[Question, ...] = ()  # to stay as well, as far as what must change allows

    @property
    def wanted(self) -> tuple[Question, ...]:
        """All questions that ask for a token."""
        return (*self.change, *self.chat)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How well a solver did."""

    steps: int
    margin: float  # the least lead over the prompts
    kl: float
    off_target: float  # 0 where nothing is known of other places
    reached: bool

    def record(self) -> dict[str, Any]:
        """How it was found, to be recorded with an edit: JSON knows neither NaN nor infinity."""
        return {
            "steps": self.steps,
            "margin": _finite(self.margin),
            "kl": _finite(self.kl),
            "spill": _finite(self.off_target),
            "reached": self.reached,
        }


@dataclass(frozen=True, kw_only=True)
class Solution(Outcome):
    """Shifts found for some neurons, and how well they do."""

    neurons: tuple[NeuronId, ...]
    b: Tensor  # float32, (n, d_model), in the order of `neurons`


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


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
    Raises NotFinite where the model's answers are NaN before anything is shifted. Steps after
    which they are NaN are never the best one.
    """
    with torch.inference_mode(False):  # where a caller works in one, nothing can be solved
        return _solved(model, aims, neurons, settings, start=start, tick=tick)


def _solved(
    model: Model,
    aims: Aims,
    neurons: Sequence[NeuronId],
    settings: Settings,
    *,
    start: Tensor | None,
    tick: Tick,
) -> Solution:
    lowest = min(neuron.layer for neuron in neurons)
    questions = [*aims.wanted, *aims.keep, *aims.chat_keep]
    suffix = Suffix(model, lowest, (question.ids for question in questions))
    changed, certain = len(aims.wanted), len(aims.change)
    kept = changed + len(aims.keep)
    wanted = torch.tensor([question.token for question in aims.wanted], device=model.device)
    # A slot of zeros (an erased one, say) stays as it is: it has no size to move by.
    sizes = slot_norms(model, neurons).clamp_min(torch.finfo(torch.float32).tiny)  # (n, 1)
    with torch.no_grad():
        unshifted = suffix.log_p(questions)
    if bool(unshifted.isnan().any()):
        raise first_non_finite(model, batched(model, questions))
    before, chat_before = unshifted[changed:kept], unshifted[kept:]  # (kept prompts, vocabulary)

    off_target = _off_target_matrix(aims.elsewhere, neurons, sizes)  # (places, n)
    preconditioner = _preconditioner(off_target, settings.w_off_target, settings.w_norm)  # (n, n)
    if start is None:
        start = torch.zeros_like(sizes).expand(-1, model.d_model)
    z = _preconditioned(preconditioner, start / sizes).requires_grad_()  # (n, d_model)
    adam = torch.optim.Adam([z], lr=settings.rate / math.sqrt(model.d_model), betas=settings.betas)
    best: _Best | None = None
    for step in range(settings.most_steps + 1):
        with torch.enable_grad():
            u = preconditioner @ z  # b in units of |v|, (n, d_model)
            off_target_effect = (off_target @ u).square().sum()
            with shifted(model, by_layer(neurons, u * sizes)):
                log_p = suffix.log_p(questions)  # (changed and kept prompts, vocabulary)
            kl = divergence(before, log_p[changed:kept]) if aims.keep else u.sum() * 0
            leads = lead(log_p[:changed], wanted)  # (changed prompts,)
            chat_loss = hinge_loss(leads[certain:], settings, settings.chat_margin)
            if aims.chat_keep:
                chat_loss = chat_loss + settings.w_chat * divergence(chat_before, log_p[kept:])
            loss = hinge_loss(leads[:certain], settings, settings.margin) + chat_loss
            loss = loss + settings.w_loc * kl + settings.w_norm * u.square().sum()
            loss = loss + settings.w_off_target * off_target_effect
        reads = (leads[:certain].min(), kl, off_target_effect, chat_loss)
        current = _Best(u.detach().clone(), *(float(value.detach()) for value in reads))
        if best is None or current.rank(settings) > best.rank(settings):
            best = current
        tick(step, current.margin)
        if not current.finite or current.done(settings) or step == settings.most_steps:
            break
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    assert best is not None
    b = (best.u * sizes).float().cpu()
    return Solution(
        neurons=tuple(neurons),
        b=b,
        steps=step,
        margin=best.margin,
        kl=best.kl,
        off_target=best.off_target,
        reached=best.reached(settings),
    )


@dataclass(frozen=True, eq=False)
class _Best:
    """A step of the solver."""

    u: Tensor
    margin: float
    kl: float
    off_target: float
    chat: float  # loss of the prompts that change as far as they can

    @property
    def finite(self) -> bool:
        """Whether it is numbers: after a step that is not, no gradient is either."""
        return all(map(math.isfinite, (self.margin, self.kl, self.off_target, self.chat)))

    def reached(self, settings: Settings) -> bool:
        return self._preserved(settings) and self.margin >= settings.margin

    def done(self, settings: Settings) -> bool:
        """Whether more steps would bring nothing."""
        return self.reached(settings) and self.chat <= settings.chat_limit

    def rank(self, settings: Settings) -> tuple[float, bool, float]:
        """Enough margin first, then what must stay, then the least harm; NaN comes last."""
        if not self.finite:
            return -math.inf, False, -math.inf
        harm = settings.w_loc * self.kl + settings.w_off_target * self.off_target
        return min(self.margin, settings.margin), self._preserved(settings), -self.chat - harm

    def _preserved(self, settings: Settings) -> bool:
        return self.kl <= settings.kl_limit and self.off_target <= settings.off_target_limit


def slot_norms(model: Model, neurons: Sequence[NeuronId]) -> Tensor:
    """|v| of each neuron's value slot, float32, (n, 1)."""
    rows = [model.slots(neuron.layer)[neuron.index].to(model.device) for neuron in neurons]
    norms: Tensor = torch.stack(rows).float().norm(dim=1, keepdim=True)
    return norms


def _off_target_matrix(
    elsewhere: Activations | None, neurons: Sequence[NeuronId], sizes: Tensor
) -> Tensor:
    """C with |C u|^2 = mean |sum c b / s|^2 for shifts b = u |v|, (places, n)."""
    if elsewhere is None or not len(elsewhere.coefficients):
        return torch.zeros(1, len(neurons), dtype=sizes.dtype, device=sizes.device)
    activations = elsewhere.of(neurons)
    typical_norm = activations.typical_square.float().sqrt()
    # An FFN that writes nothing at the median place gives no unit to count in.
    typical_norm = typical_norm.masked_fill(typical_norm == 0, 1.0)
    typical_norm = typical_norm.clamp_min(torch.finfo(torch.float32).tiny)
    written = activations.coefficients.float() * (sizes.squeeze(1) / typical_norm)
    return written / math.sqrt(len(written))


def _preconditioner(off_target: Tensor, w_off_target: float, w_norm: float) -> Tensor:
    """P, (n, n): the quadratic terms of the loss curve less unevenly in z than in u = P z.

    P = (H / h)^(-1/2), H their Hessian plus a part of its median eigenvalue, h its least one.
    """
    exact = in_float64(off_target)
    hessian = w_off_target * (exact.T @ exact)
    hessian = hessian + w_norm * torch.eye(len(hessian), dtype=hessian.dtype, device=hessian.device)
    try:
        eigenvalues, eigenvectors = torch.linalg.eigh(hessian)
    except _LinAlgError:  # beyond what float64 resolves
        return torch.eye(len(hessian), dtype=torch.float32, device=off_target.device)
    if float(eigenvalues[0]) <= 0:  # rounding, where others are far larger
        eigenvalues = eigenvalues.clamp_min(w_norm)
    eigenvalues = eigenvalues + _DAMPING * eigenvalues.median()
    preconditioner: Tensor = (eigenvectors * (eigenvalues[0] / eigenvalues).sqrt()) @ eigenvectors.T
    return preconditioner.float().to(off_target.device)


def _preconditioned(preconditioner: Tensor, u: Tensor) -> Tensor:
    """z with P z = u; zeros where P is singular in floating point, so that it starts anew."""
    try:
        z: Tensor = torch.linalg.solve(preconditioner, u)
    except _LinAlgError:
        return torch.zeros_like(u)
    return z if bool(z.isfinite().all()) else torch.zeros_like(u)


def by_layer(neurons: Sequence[NeuronId], b: Tensor) -> dict[int, Shift]:
    """The shifts b of neurons' slots, (n, d_model), of each layer."""
    shifts = {}
    for layer in sorted({neuron.layer for neuron in neurons}):
        rows = [row for row, neuron in enumerate(neurons) if neuron.layer == layer]
        index = torch.tensor([neurons[row].index for row in rows], device=b.device)
        shifts[layer] = Shift(index, b[rows])
    return shifts


def hinge_loss(leads: Tensor, settings: Settings, margin: float) -> Tensor:
    """What the leads miss of a margin, m mean max(0, 1 - lead / m)^p, m with its buffer.

    leads: log-probability of the new answer's token over the next token, (prompts,); 0 for none
    """
    if not len(leads):
        return leads.sum()
    margin += settings.margin_buffer
    loss: Tensor = (1 - leads / margin).relu().pow(settings.power).mean() * margin
    return loss


def divergence(before: Tensor, after: Tensor) -> Tensor:
    """Mean KL(before, after) over rows of log-probabilities, in nats."""
    never = before == -torch.inf  # tokens that a model rules out add nothing; 0 times inf is NaN
    change = before.masked_fill(never, 0) - after.masked_fill(never, 0)
    return (before.exp() * change).sum(-1).mean()
