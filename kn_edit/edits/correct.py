"""The correction of a fact that a model has wrong: shifts of many slots, a few prompts at a time.

Minimised by Adam from zero:

    mean over prompts of sum over answer tokens of max(0, m - lead)
        + w_keep (KL near + KL same + KL text) + w_spill spill + w_norm sum |u|^2

KL is the mean divergence of what is predicted, before and after, at prompts about other subjects,
at other prompts about this one, and in neutral text. lead is by how much the log-probability of a
token of the answer is above that of every other one, u are the shifts in units of what the FFN of
their layer usually writes, and spill is the mean over many places of |sum c b|^2, c the
coefficients there, in the same units. No run of the model is needed for the spill, so the places
can be thousands.

Summed over the tokens of an answer, not averaged: often one token is hard, the first one after a
question for instance, where the model wants to break the line; in a mean over eight tokens, seven
of which lead already, it would starve (decision 0020).

Each step sees the user's own prompts and a few others, drawn anew. Steps are taken in coordinates
in which the spill is rounder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from kn_edit.edits.calibrate import Solution, Tick, by_layer, divergence, rounder_coordinates
from kn_edit.edits.suffix import shifted
from kn_edit.errors import require_number, require_whole
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.predict import log_p as answers_of
from kn_edit.models.questions import Question, batched, grouped_by_length
from kn_edit.models.trace import trace
from kn_edit.neuron import NeuronId

SEED = 0
MOST_ROWS = 32  # texts that run side by side
Asked = tuple[Question, ...]  # about one text


@dataclass(frozen=True)
class CorrectionSettings:
    """Weights of the loss, how much each step sees, and when to stop (decision 0020)."""

    slots: int = 200
    steps: int = 40
    rate: float = 1.0  # length of Adam's first step, in units of a slot's part of a usual write
    betas: tuple[float, float] = (0.8, 0.95)
    margin: float = 4.0  # of log-probability over the next token
    w_keep: float = 10.0
    w_spill: float = 20.0
    w_norm: float = 1e-3
    even: float = 0.1  # of the median curvature is added to all, so that no direction is left out
    reworded: int = 4  # of each kind, seen by one step
    near: int = 4
    same: int = 3
    text: int = 5
    patience: int = 3  # steps in a row without anything missing, before the last look

    def __post_init__(self) -> None:
        for name in ("w_keep", "w_spill", "even"):
            require_number(f"the correction's {name}", getattr(self, name), least=0)
        for name in ("rate", "margin", "w_norm"):
            require_number(f"the correction's {name}", getattr(self, name), above=0)
        for name, least in (("slots", 1), ("steps", 0), ("patience", 1)):
            require_whole(f"the correction's {name}", getattr(self, name), least)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a correction is to change, and what to keep."""

    own: Sequence[Asked]  # the user's prompts, each with the tokens of the new answer
    reworded: Sequence[Asked]  # the same in other words
    near: Sequence[Asked]  # prompts about other subjects, whose predictions must stay
    same: Sequence[Asked]  # and other prompts about this one
    text: Sequence[Asked]  # and places in other texts
    elsewhere: Tensor  # coefficients of the slots' neurons at many places, (places, n)
    largest: Tensor  # and their largest size at the prompts that are to change, (n,)
    usual: Tensor  # |what the FFN of each one's layer usually writes|, (n,)

    @property
    def kept(self) -> list[Asked]:
        """All whose predictions must stay."""
        return [*self.near, *self.same, *self.text]


def corrected(
    model: Model,
    lesson: Lesson,
    neurons: Sequence[NeuronId],
    settings: CorrectionSettings,
    *,
    tick: Tick = lambda step, margin: None,
) -> Solution:
    """Solve for the shifts of these neurons' slots. Changes no weight.

    tick: told the step and the least lead on the user's own prompts. Raises NotFinite where the
    model's answers are NaN before anything is shifted.
    """
    with torch.inference_mode(False):
        return _Solver(model, lesson, neurons, settings).solved(tick)


class _Solver:
    def __init__(
        self,
        model: Model,
        lesson: Lesson,
        neurons: Sequence[NeuronId],
        settings: CorrectionSettings,
    ) -> None:
        self._model, self._lesson, self._neurons = model, lesson, tuple(neurons)
        self._settings, self._draw = settings, Random(SEED)
        self._sizes = _sizes(lesson)  # (n, 1)
        self._spills = lesson.elsewhere * (self._sizes.squeeze(1) / lesson.usual)  # (places, n)
        self._spills = self._spills / math.sqrt(max(len(self._spills), 1))
        self._rounder = _by_blocks(self._spills, self._neurons, settings)  # (n, n)
        self._before = _Before(model, lesson.kept)

    def solved(self, tick: Tick) -> Solution:
        settings = self._settings
        z = torch.zeros(len(self._neurons), self._model.d_model, device=self._model.device)
        z.requires_grad_()
        rate = settings.rate / math.sqrt(self._model.d_model)
        adam = torch.optim.Adam([z], lr=rate, betas=settings.betas)
        content, best = 0, torch.zeros_like(z)
        step = 0
        for step in range(settings.steps + 1):
            with torch.enable_grad():
                u = self._rounder @ z  # (n, d_model)
                loss, least, missing = self._loss(u)
            tick(step, least)
            if not math.isfinite(float(loss.detach())):
                break
            best = u.detach()
            content = content + 1 if missing == 0 else 0
            if content >= settings.patience or step == settings.steps:
                break
            for group in adam.param_groups:
                group["lr"] = rate * _slower(step / settings.steps)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return self._seen_whole(best, step)

    def _loss(self, u: Tensor) -> tuple[Tensor, float, float]:
        """The loss at shifts u; the least lead on the own prompts; what is missing of the margin.

        Of what this step sees.
        """
        settings, lesson = self._settings, self._lesson
        reworded = self._some(lesson.reworded, settings.reworded)
        near = self._some(lesson.near, settings.near)
        same = self._some(lesson.same, settings.same)
        text = self._some(lesson.text, settings.text)
        change = [*lesson.own, *reworded]
        with shifted(self._model, by_layer(self._neurons, u * self._sizes)):
            rows = _log_p(self._model, [*change, *near, *same, *text])
        counts = [sum(map(len, groups)) for groups in (change, near, same, text)]
        changed, *kept = torch.split(rows, counts)
        leads = _leads(changed, change)
        missing = (settings.margin - leads).relu().sum() / len(change)
        pairs = zip((near, same, text), kept, strict=True)
        kl = sum((self._before.divergence(*pair) for pair in pairs), rows.new_zeros(()))
        spill = (self._spills @ u).square().sum()
        loss = missing + settings.w_keep * kl
        loss = loss + settings.w_spill * spill + settings.w_norm * u.square().sum()
        own = leads[: sum(map(len, lesson.own))].detach()
        return loss, float(own.min()), float(missing.detach())

    def _seen_whole(self, u: Tensor, steps: int) -> Solution:
        """The solution at shifts u, judged by all prompts."""
        lesson, settings = self._lesson, self._settings
        with torch.no_grad(), shifted(self._model, by_layer(self._neurons, u * self._sizes)):
            own = _log_p(self._model, lesson.own)
            kl = self._before.divergence(lesson.kept, _log_p(self._model, lesson.kept))
        margin = float(_leads(own, lesson.own).min())
        spill = float((self._spills @ u).square().sum())
        b = (u * self._sizes).float().cpu()
        reached = margin >= settings.margin / 2
        return Solution(self._neurons, b, steps, margin, float(kl), spill, reached)

    def _some(self, groups: Sequence[Asked], most: int) -> list[Asked]:
        return self._draw.sample(list(groups), min(most, len(groups)))


class _Before:
    """What a model predicts before anything is shifted."""

    def __init__(self, model: Model, groups: Sequence[Asked]) -> None:
        questions = dict.fromkeys(question for some in groups for question in some)
        rows = answers_of(model, list(questions))
        self._rows = dict(zip(questions, rows, strict=True))

    def divergence(self, groups: Sequence[Asked], after: Tensor) -> Tensor:
        """Mean KL(before, after) over questions, in nats; 0 where there are none."""
        if not len(after):
            return after.sum()
        before = torch.stack([self._rows[question] for some in groups for question in some])
        return divergence(before, after)


def _sizes(lesson: Lesson) -> Tensor:
    """The unit of each slot's shift: with it, all slots together write what is usual, (n, 1)."""
    floor = lesson.largest.median() * 0.1
    largest = lesson.largest.clamp_min(float(floor)).clamp_min(torch.finfo(torch.float32).tiny)
    sizes: Tensor = lesson.usual / largest / math.sqrt(len(largest))
    return sizes[:, None]


def _by_blocks(spills: Tensor, neurons: Sequence[NeuronId], settings: CorrectionSettings) -> Tensor:
    """P, (n, n), of `rounder_coordinates` in blocks, one of each layer."""
    rounder = torch.zeros(len(neurons), len(neurons), device=spills.device)
    for layer in sorted({neuron.layer for neuron in neurons}):
        rows = [row for row, neuron in enumerate(neurons) if neuron.layer == layer]
        weights = settings.w_spill, settings.w_norm, settings.even
        at = torch.tensor(rows, device=spills.device)
        rounder[at[:, None], at[None, :]] = rounder_coordinates(spills[:, rows], *weights)
    return rounder


def _leads(log_p: Tensor, groups: Sequence[Asked]) -> Tensor:
    """By how much the questions' tokens lead every other, (questions,)."""
    wanted = [question.token for group in groups for question in group]
    return lead(log_p, torch.tensor(wanted, device=log_p.device))


def _slower(done: float) -> float:
    """The rate's part at this share of the steps: whole at first, then down to a fifth."""
    return 1.0 if done < 0.6 else max(0.2, 1 - (done - 0.6) / 0.4)


def _log_p(model: Model, groups: Sequence[Asked]) -> Tensor:
    """Log-probabilities at each question, (questions, vocabulary), with a graph if there is one.

    Texts of similar length run together: a chat's frame is four times as long as a prompt.
    """
    parts = [torch.empty(0, model.n_tokens, device=model.device)] if not groups else []
    order: list[Question] = []
    for some in grouped_by_length(groups, _length, most=MOST_ROWS):
        asked = [question for group in some for question in group]
        batch = batched(model, asked)
        run = trace(model, batch.ids, mask=batch.mask)
        assert run.output is not None
        parts.append(model.logits(batch.at_answer(run.output)).float().log_softmax(-1))
        order += asked
    place = {question: at for at, question in enumerate(order)}
    rows = [place[question] for group in groups for question in group]
    return torch.cat(parts)[rows]


def _length(group: Asked) -> int:
    return max(len(question.ids) for question in group)
