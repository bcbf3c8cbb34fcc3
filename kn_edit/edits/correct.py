"""The correction of a fact that a model has wrong: a few keys, what each writes solved for.

Minimised by Adam from zero:

    mean over prompts of sum over answer tokens of max(0, m - lead)
        + w_keep (w_near KL near + w_same KL same + KL text)
        + w_off_target off_target + w_norm sum |d|^2

lead is by how much the log-probability of a token of the answer is above that of every other one.
KL is the mean divergence of what is predicted, before and after, at prompts about other subjects,
at other prompts about this one, and in neutral text. d are what the keys write where they answer
loudest, in units of what the FFN of their layer usually writes, and off_target is the sum of
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
from dataclasses import dataclass, field
from itertools import takewhile

import torch
from torch import Tensor

from kn_edit.edits.calibrate import Outcome, Tick, divergence
from kn_edit.edits.keys import Keys
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.edits.suffix import LowRankShift, Suffix, shifted
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.predict import log_p as answers_of
from kn_edit.models.questions import Question
from kn_edit.models.usage import Ids
from kn_edit.seeds import USUAL, generator

SCALES = (0.9, 0.8, 0.7, 0.6)  # of what is written, tried at the end
TOLERANCE = 0.05  # of log-probability, by which rewordings may fall short more for it
SETTLED = 0.75  # of the margin: from there on, what is kept counts more
QuestionGroup = tuple[Question, ...]  # about one text


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a correction is to change, and what to keep."""

    prompts: Sequence[QuestionGroup]  # the user's, each with the tokens of the new answer
    rewordings: Sequence[QuestionGroup]  # of these prompts, with the same tokens
    other_subjects: Sequence[QuestionGroup]  # prompts about them; their predictions must stay
    same_subject: Sequence[QuestionGroup]  # other prompts about it; these must stay as well
    text: Sequence[QuestionGroup]  # places in other texts; these must stay as well
    keys: Sequence[Keys]  # one layer's each
    typical_norms: Tensor  # |what the FFN of each of these layers usually writes|, (layers,)
    mark: Mapping[int, LowRankShift] = field(default_factory=dict)  # of lower layers; it stays

    @property
    def preserved(self) -> list[QuestionGroup]:
        """All questions whose predictions must stay."""
        return [*self.other_subjects, *self.same_subject, *self.text]

    @property
    def texts(self) -> list[Ids]:
        """The texts of all questions."""
        groups = [*self.prompts, *self.rewordings, *self.preserved]
        return [question.ids for group in groups for question in group]


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
    seed: int = USUAL,
    tick: Tick = lambda step, margin: None,
) -> Factors:
    """Solve for what the keys write. Changes no weight.

    seed: of what each step sees; tick: told the step and the least lead on the user's own prompts
    Raises NotFinite where the model's answers are NaN before anything is shifted.
    """
    with torch.inference_mode(False):
        return _Solver(model, lesson, settings, seed).solved(tick)


class _Solver:
    def __init__(
        self, model: Model, lesson: Lesson, settings: CorrectionSettings, seed: int
    ) -> None:
        self._model, self._lesson, self._settings = model, lesson, settings
        self._draw = generator(seed, "steps of the solver")
        self._noise = torch.cat([keys.noise for keys in lesson.keys])[:, None]  # (r, 1)
        self._before = _Before(model, lesson.preserved)
        lowest = min(keys.layer for keys in lesson.keys)
        with shifted(model, lesson.mark):  # of layers below
            self._suffix = Suffix(model, lowest, lesson.texts)

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
                loss, least, shortfall = self._loss(d, pressed=step > unpressed)
            if step == settings.steps and least < -settings.margin / 2:
                unpressed = step  # too far behind for a few more steps of the same
            tick(step, least)
            if not math.isfinite(float(loss.detach())):
                break
            best = d.detach().clone()
            content = content + 1 if shortfall == 0 else 0
            led = step >= settings.steps and least >= settings.margin / 2
            last = step == unpressed + settings.pressing
            if content >= settings.patience or led or last:
                break
            for group in adam.param_groups:
                group["lr"] = rate * _slower(step / max(settings.steps, 1))
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return self._judged(self._scaled_down(best), step)

    def _loss(self, d: Tensor, *, pressed: bool) -> tuple[Tensor, float, float]:
        """The loss where keys write d, (r, d_model), of what one step sees.

        pressed: the user's prompts count in full, and what is preserved for less

        Returns the loss, the least lead on the user's prompts, and the shortfall to the margin.
        """
        settings, lesson = self._settings, self._lesson
        rewordings = self._sample(lesson.rewordings, settings.reworded)
        other_subjects = self._sample(lesson.other_subjects, settings.near)
        same_subject = self._sample(lesson.same_subject, settings.same)
        text = self._sample(lesson.text, settings.text)
        changing = [*lesson.prompts, *rewordings]
        with shifted(self._model, self._shifts(d)):
            rows = self._log_p([*changing, *other_subjects, *same_subject, *text])
        counts = [
            sum(map(len, groups)) for groups in (changing, other_subjects, same_subject, text)
        ]
        changed_rows, *preserved_rows = torch.split(rows, counts)
        leads = _leads(changed_rows, changing)
        shortfall = (settings.margin - leads).relu().sum() / len(changing)
        pairs = zip((other_subjects, same_subject, text), preserved_rows, strict=True)
        kl_other_subjects, kl_same_subject, kl_text = (
            self._before.divergence(*pair) for pair in pairs
        )
        prompt_leads = leads[: sum(map(len, lesson.prompts))].detach()
        w_near = settings.w_near
        if float(prompt_leads.min()) >= SETTLED * settings.margin:
            w_near *= settings.w_settled
        kl = w_near * kl_other_subjects + settings.w_same * kl_same_subject + kl_text
        preservation_loss = settings.w_keep * kl + settings.w_off_target * self._off_target_effect(
            d
        )
        if pressed:
            differentiable = leads[: len(prompt_leads)]
            prompt_shortfall = (settings.margin - differentiable).relu().sum() / len(lesson.prompts)
            loss = shortfall + prompt_shortfall + settings.pressed * preservation_loss
        else:
            loss = shortfall + preservation_loss
        loss = loss + settings.w_norm * d.square().sum()
        return loss, float(prompt_leads.min()), float(shortfall.detach())

    def _scaled_down(self, d: Tensor) -> Tensor:
        """d scaled down as far as the answer leads by half the margin as it does with d itself.

        A shortfall is what the leads lack to half the margin: in sum over the user's prompts, and
        in the mean over these and the rewordings. The latter may grow by TOLERANCE.
        """
        changing = [*self._lesson.prompts, *self._lesson.rewordings]
        prompt_questions = sum(map(len, self._lesson.prompts))

        def shortfalls(scale: float) -> Tensor:
            with torch.no_grad(), shifted(self._model, self._shifts(scale * d)):
                leads = _leads(self._log_p(changing), changing)
            shortfall = (self._settings.margin / 2 - leads).relu()
            return torch.stack(
                (shortfall[:prompt_questions].sum(), shortfall.sum() / len(changing))
            )

        allowed = shortfalls(1.0) + torch.tensor((0.0, TOLERANCE), device=d.device)
        sufficient = takewhile(lambda scale: bool((shortfalls(scale) <= allowed).all()), SCALES)
        return min(sufficient, default=1.0) * d

    def _judged(self, d: Tensor, steps: int) -> Factors:
        """The factors where keys write d, judged by all prompts."""
        lesson, settings = self._lesson, self._settings
        with torch.no_grad(), shifted(self._model, self._shifts(d)):
            rows = self._log_p(lesson.prompts)
            kl = self._before.divergence(lesson.preserved, self._log_p(lesson.preserved))
        margin = float(_leads(rows, lesson.prompts).min())
        return Factors(
            by_layer={
                layer: (shift.u.cpu(), shift.v.float().cpu())
                for layer, shift in self._shifts(d).items()
            },
            steps=steps,
            margin=margin,
            kl=float(kl),
            off_target=float(self._off_target_effect(d)),
            reached=margin >= settings.margin / 2,
        )

    def _shifts(self, d: Tensor) -> dict[int, LowRankShift]:
        """What each layer's slots are shifted by where keys write d."""
        keys = self._lesson.keys
        parts = torch.split(d, [len(layer_keys.u) for layer_keys in keys])
        solved = {
            layer_keys.layer: LowRankShift(layer_keys.u, norm * part)
            for layer_keys, norm, part in zip(keys, self._lesson.typical_norms, parts, strict=True)
        }
        return {**self._lesson.mark, **solved}

    def _log_p(self, groups: Sequence[QuestionGroup]) -> Tensor:
        """Log-probabilities at each question, (questions, vocabulary), with what is shifted."""
        return self._suffix.log_p([question for group in groups for question in group])

    def _off_target_effect(self, d: Tensor) -> Tensor:
        return (self._noise * d).square().sum()

    def _sample(self, groups: Sequence[QuestionGroup], count: int) -> list[QuestionGroup]:
        return self._draw.sample(list(groups), min(count, len(groups)))


class _Before:
    """What a model predicts before anything is shifted."""

    def __init__(self, model: Model, groups: Sequence[QuestionGroup]) -> None:
        ordered = sorted(groups, key=_length)  # those of similar length run together
        questions = dict.fromkeys(question for group in ordered for question in group)
        rows = answers_of(model, list(questions))
        self._rows = dict(zip(questions, rows, strict=True))

    def divergence(self, groups: Sequence[QuestionGroup], after: Tensor) -> Tensor:
        """Mean KL(before, after) over questions, in nats; 0 where there are none."""
        if not len(after):
            return after.sum()
        before = torch.stack([self._rows[question] for group in groups for question in group])
        return divergence(before, after)


def _leads(log_p: Tensor, groups: Sequence[QuestionGroup]) -> Tensor:
    """By how much the questions' tokens lead every other, (questions,)."""
    tokens = [question.token for group in groups for question in group]
    return lead(log_p, torch.tensor(tokens, device=log_p.device))


def _length(group: QuestionGroup) -> int:
    return max(len(question.ids) for question in group)


def _slower(share: float) -> float:
    """Factor of the rate at this share of the steps: 1 at first, then down to a fifth.

    1 again in the extra ones.
    """
    return 1.0 if share < 0.6 or share >= 1 else max(0.2, 1 - (share - 0.6) / 0.4)
