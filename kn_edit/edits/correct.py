"""The correction of a fact that a model has wrong: a few keys, what each writes solved for.

Minimised by Adam from zero:

    mean over prompts of sum over answer tokens of max(0, m - lead)
        + w_keep (w_near KL near + w_same KL same + KL text) + w_spill spill + w_norm sum |d|^2

lead is by how much the log-probability of a token of the answer is above that of every other one.
KL is the mean divergence of what is predicted, before and after, at prompts about other subjects,
at other prompts about this one, and in neutral text. d are what the keys write where they answer
loudest, in units of what the FFN of their layer usually writes, and spill is the sum of
|noise d|^2, noise a key's response everywhere else: the mean square of what is written there. No
run of the model is needed for it, so the places can be thousands.

Summed over the tokens of an answer, not averaged: often one token is hard, the first one after a
question for instance, where the model wants to break the line; in a mean over eight tokens, seven
of which lead already, it would starve (decision 0020).

Where the answer does not lead on the own prompts after that, more steps press for it: what is held
counts for less, and what is missing on the own prompts in full.

Each step sees the user's own prompts and a few others, drawn anew. At the end what is written is
scaled down as far as the answer still leads: what reaches other subjects shrinks with it. A key
over all slots of a layer and what it writes are a change of rank one: two vectors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from random import Random

import torch
from torch import Tensor

from kn_edit.edits.calibrate import Outcome, Tick, divergence
from kn_edit.edits.keys import Keys
from kn_edit.edits.suffix import LowRankShift, shifted
from kn_edit.errors import require_number, require_whole
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.predict import log_p as answers_of
from kn_edit.models.questions import Question, batched, grouped_by_length
from kn_edit.models.trace import trace

SEED = 0
SCALES = (0.9, 0.8, 0.7, 0.6)  # of what is written, tried at the end
SLACK = 0.05  # of log-probability, by which rewordings may fall short more for it
SETTLED = 0.75  # of the margin: from there on, what is kept counts more
MOST_ROWS = 32  # texts that run side by side
Asked = tuple[Question, ...]  # about one text


@dataclass(frozen=True)
class CorrectionSettings:
    """Weights of the loss, how much each step sees, and when to stop (decision 0020)."""

    slots: int | None = None  # written at most, in all layers together; None: as many as there are
    rank: int = 1  # keys of each layer
    steps: int = 32
    extra: int = 12  # steps, where the answer does not lead after these
    pressing: int = 24  # where it still does not: steps that hold everything else less
    pressed: float = 0.3  # times all that is held, in these
    rate: float = 1.0  # length of Adam's first step of all layers, in units of a usual write
    betas: tuple[float, float] = (0.8, 0.95)
    margin: float = 4.0  # of log-probability over the next token
    w_keep: float = 10.0
    w_near: float = 3.0
    w_settled: float = 10.0  # times w_near, where the answer leads by nearly the margin
    w_same: float = 0.3
    w_spill: float = 5.0
    w_norm: float = 1e-3
    reworded: int = 6  # of each kind, seen by one step
    near: int = 9
    same: int = 1
    text: int = 3
    patience: int = 3  # steps in a row without anything missing, before the last look

    def __post_init__(self) -> None:
        for name in ("w_keep", "w_near", "w_settled", "w_same", "w_spill", "pressed"):
            require_number(f"the correction's {name}", getattr(self, name), least=0)
        for name in ("rate", "margin", "w_norm"):
            require_number(f"the correction's {name}", getattr(self, name), above=0)
        for name in ("steps", "extra", "pressing"):
            require_whole(f"the correction's {name}", getattr(self, name), 0)
        for name in ("rank", "patience"):
            require_whole(f"the correction's {name}", getattr(self, name), 1)
        if self.slots is not None:
            require_whole("the correction's slots", self.slots, 1)


# A masked LM's fact is said at one place, in few tokens, so steps are cheap; what tells subjects
# apart there lies in more directions than at a subject's own tokens (decision 0020).
MASKED = CorrectionSettings(rank=8, steps=80, extra=16, near=12, w_near=3.0, w_settled=1.0)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a correction is to change, and what to keep."""

    own: Sequence[Asked]  # the user's prompts, each with the tokens of the new answer
    reworded: Sequence[Asked]  # the same in other words
    near: Sequence[Asked]  # prompts about other subjects, whose predictions must stay
    same: Sequence[Asked]  # and other prompts about this one
    text: Sequence[Asked]  # and places in other texts
    keys: Sequence[Keys]  # one layer's each
    usual: Tensor  # |what the FFN of each of these layers usually writes|, (layers,)

    @property
    def kept(self) -> list[Asked]:
        """All whose predictions must stay."""
        return [*self.near, *self.same, *self.text]


@dataclass(frozen=True, kw_only=True)
class Factors(Outcome):
    """What makes a model say something new, and how well it does.

    by_layer: u, (r, d_ff), and v, (r, d_model), float32: slot j gets the sum over k of
    u[k, j] v[k] added
    """

    by_layer: Mapping[int, tuple[Tensor, Tensor]]


def corrected(
    model: Model,
    lesson: Lesson,
    settings: CorrectionSettings,
    *,
    tick: Tick = lambda step, margin: None,
) -> Factors:
    """Solve for what the keys write. Changes no weight.

    tick: told the step and the least lead on the user's own prompts. Raises NotFinite where the
    model's answers are NaN before anything is shifted.
    """
    with torch.inference_mode(False):
        return _Solver(model, lesson, settings).solved(tick)


class _Solver:
    def __init__(self, model: Model, lesson: Lesson, settings: CorrectionSettings) -> None:
        self._model, self._lesson, self._settings = model, lesson, settings
        self._draw = Random(SEED)
        self._noise = torch.cat([keys.noise for keys in lesson.keys])[:, None]  # (r, 1)
        self._before = _Before(model, lesson.kept)

    def solved(self, tick: Tick) -> Factors:
        settings = self._settings
        d = torch.zeros(len(self._noise), self._model.d_model, device=self._model.device)
        d.requires_grad_()
        rate = settings.rate / math.sqrt(self._model.d_model) / len(self._lesson.keys)
        adam = torch.optim.Adam([d], lr=rate, betas=settings.betas)
        content, best = 0, torch.zeros_like(d)
        step = 0
        unpressed = settings.steps + settings.extra  # the last step that holds all in full
        for step in range(unpressed + settings.pressing + 1):
            with torch.enable_grad():
                loss, least, missing = self._loss(d, pressed=step > unpressed)
            if step == settings.steps and least < -settings.margin / 2:
                unpressed = step  # too far behind for a few more steps of the same
            tick(step, least)
            if not math.isfinite(float(loss.detach())):
                break
            best = d.detach().clone()
            content = content + 1 if missing == 0 else 0
            led = step >= settings.steps and least >= settings.margin / 2
            last = step == unpressed + settings.pressing
            if content >= settings.patience or led or last:
                break
            for group in adam.param_groups:
                group["lr"] = rate * _slower(step / max(settings.steps, 1))
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return self._seen_whole(self._least(best), step)

    def _loss(self, d: Tensor, *, pressed: bool) -> tuple[Tensor, float, float]:
        """The loss where keys write d, (r, d_model), of what one step sees.

        pressed: the own prompts count in full, and what is held for less
        With it, the least lead on the own prompts, and what is missing of the margin.
        """
        settings, lesson = self._settings, self._lesson
        reworded = self._some(lesson.reworded, settings.reworded)
        near = self._some(lesson.near, settings.near)
        same = self._some(lesson.same, settings.same)
        text = self._some(lesson.text, settings.text)
        change = [*lesson.own, *reworded]
        with shifted(self._model, self._shifts(d)):
            rows = _log_p(self._model, [*change, *near, *same, *text])
        counts = [sum(map(len, groups)) for groups in (change, near, same, text)]
        changed, *kept = torch.split(rows, counts)
        leads = _leads(changed, change)
        missing = (settings.margin - leads).relu().sum() / len(change)
        pairs = zip((near, same, text), kept, strict=True)
        one, other, rest = (self._before.divergence(*pair) for pair in pairs)
        own = leads[: sum(map(len, lesson.own))].detach()
        w_near = settings.w_near
        if float(own.min()) >= SETTLED * settings.margin:
            w_near *= settings.w_settled
        kl = w_near * one + settings.w_same * other + rest
        held = settings.w_keep * kl + settings.w_spill * self._spill(d)
        if pressed:
            lacking = (settings.margin - leads[: len(own)]).relu().sum() / len(lesson.own)
            loss = missing + lacking + settings.pressed * held
        else:
            loss = missing + held
        loss = loss + settings.w_norm * d.square().sum()
        return loss, float(own.min()), float(missing.detach())

    def _least(self, d: Tensor) -> Tensor:
        """d scaled down as far as the answer leads by half the margin as it does with d itself."""
        change = [*self._lesson.own, *self._lesson.reworded]
        own = sum(map(len, self._lesson.own))

        def missing(scale: float) -> Tensor:
            with torch.no_grad(), shifted(self._model, self._shifts(scale * d)):
                leads = _leads(_log_p(self._model, change), change)
            lack = (self._settings.margin / 2 - leads).relu()
            return torch.stack((lack[:own].sum(), lack.sum() / len(change)))

        most = missing(1.0) + torch.tensor((0.0, SLACK), device=d.device)
        enough = takewhile(lambda scale: bool((missing(scale) <= most).all()), SCALES)
        return min(enough, default=1.0) * d

    def _seen_whole(self, d: Tensor, steps: int) -> Factors:
        """The factors where keys write d, judged by all prompts."""
        lesson, settings = self._lesson, self._settings
        with torch.no_grad(), shifted(self._model, self._shifts(d)):
            own = _log_p(self._model, lesson.own)
            kl = self._before.divergence(lesson.kept, _log_p(self._model, lesson.kept))
        margin = float(_leads(own, lesson.own).min())
        return Factors(
            by_layer={
                layer: (shift.u.cpu(), shift.v.float().cpu())
                for layer, shift in self._shifts(d).items()
            },
            steps=steps,
            margin=margin,
            kl=float(kl),
            spill=float(self._spill(d)),
            reached=margin >= settings.margin / 2,
        )

    def _shifts(self, d: Tensor) -> dict[int, LowRankShift]:
        """What each layer's slots are shifted by where keys write d."""
        keys = self._lesson.keys
        parts = torch.split(d, [len(one.u) for one in keys])
        return {
            one.layer: LowRankShift(one.u, usual * part)
            for one, usual, part in zip(keys, self._lesson.usual, parts, strict=True)
        }

    def _spill(self, d: Tensor) -> Tensor:
        return (self._noise * d).square().sum()

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


def _leads(log_p: Tensor, groups: Sequence[Asked]) -> Tensor:
    """By how much the questions' tokens lead every other, (questions,)."""
    wanted = [question.token for group in groups for question in group]
    return lead(log_p, torch.tensor(wanted, device=log_p.device))


def _slower(done: float) -> float:
    """The rate's part at this share of the steps: whole at first, then down to a fifth.

    Whole again in the extra ones.
    """
    return 1.0 if done < 0.6 or done >= 1 else max(0.2, 1 - (done - 0.6) / 0.4)


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
