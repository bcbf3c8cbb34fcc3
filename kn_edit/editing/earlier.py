"""Updates that were made before: a later edit holds what they say in place, and is judged by it.

A ledger outlives the rules under which its edits were recorded, and edits come from other people's
ledgers: an answer that the tokenizer does not know, a prompt beyond the model's positions, words
after the answer of a causal LM. What this model cannot be asked is passed over, so that it stops
no command about another fact.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kn_edit.editing.locating import every_prompt, prompts_for
from kn_edit.editing.requests import Earlier
from kn_edit.errors import ExitCode, KnEditError
from kn_edit.facts import Case, Fact, Prompt, Relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_openly
from kn_edit.neurons.assess import assess

NEWEST = 64  # earlier updates that are asked again, the newest, and all others of their edits
PROMPTS = 8  # of an update of the same subject; of others, one each


def refusal(model: Model, case: Case, target: str | None = None) -> str | None:
    """Why a recorded case cannot be asked, in words; None where it can be.

    target: also the answer that must be askable; without one the prompts alone count
    """
    return _askable_prompts(model, case, target, every_prompt, None)[1]


@dataclass(frozen=True, eq=False)
class EarlierAnswers:
    """The prompts of earlier updates, each asked for the answer that the update gave it."""

    prompts: tuple[tuple[Earlier, Chain], ...]

    @classmethod
    def of(
        cls, model: Model, earlier: Sequence[Earlier], subjects: Collection[str] = ()
    ) -> EarlierAnswers:
        """The prompts that an edit is measured by. subjects: what the edit is about"""
        prompts = [
            (update, ask(model, prompt, update.to))
            for update, prompt in _prompts(model, earlier, subjects)
        ]
        return cls(tuple(prompts))

    def right(self, model: Model, *, finite: bool = True) -> list[bool]:
        """Whether the model answers each prompt as its update made it."""
        answers = assess(model, [chain for _, chain in self.prompts], finite=finite)
        return [answer.right for answer in answers]

    def compared(self, before: Sequence[bool], after: Sequence[bool]) -> EarlierKept:
        """What is left of the answers that were right before an edit."""
        pairs = zip(self.prompts, before, after, strict=True)
        comparisons = [(update, right) for (update, _), before_edit, right in pairs if before_edit]
        lost = {
            (update.edit, update.case.fact): update for update, right in comparisons if not right
        }
        return EarlierKept(
            fmean(right for _, right in comparisons) if comparisons else None,
            len(comparisons),
            tuple(lost.values()),
        )


@dataclass(frozen=True)
class EarlierKept:
    """How much of earlier updates an edit leaves."""

    share: float | None  # of their prompts that were right before; None where there is none
    prompts: int
    lost: tuple[Earlier, ...]  # updates of which a prompt is not right any more

    def metrics(self) -> dict[str, Any]:
        return {"earlier_kept": self.share, "earlier": self.prompts}

    def notices(self) -> tuple[str, ...]:
        return tuple(f"{update} no longer answers {update.to} everywhere" for update in self.lost)


def held_answers(
    model: Model, earlier: Sequence[Earlier], subject: str
) -> tuple[list[Question], list[Question]]:
    """The places where the solver holds what earlier updates say.

    Gives the prompts of updates of the same subject, and those of the others, one each.
    """
    same_subject: list[Question] = []
    other_subjects: list[Question] = []
    for update, prompt in _prompts(model, earlier, (subject,)):
        about_subject = update.case.fact.subject == subject
        (same_subject if about_subject else other_subjects).append(ask_openly(model, prompt))
    return same_subject, other_subjects


def newest(earlier: Sequence[Earlier]) -> Sequence[Earlier]:
    """The newest updates, so many or more: all that one edit made are taken, or none."""
    first = max(0, len(earlier) - NEWEST)
    while first and earlier[first - 1].edit == earlier[first].edit:
        first -= 1
    return earlier[first:]


def _prompts(
    model: Model, earlier: Sequence[Earlier], subjects: Collection[str]
) -> list[tuple[Earlier, Prompt]]:
    """Some prompts of every earlier update that this model can be asked."""
    pairs = []
    for place, update in enumerate(newest(earlier)):
        prompts, why_not = _askable_prompts(model, update.case, update.to, prompts_for, PROMPTS)
        if why_not is not None:  # recorded by others, who could ask their model
            continue
        if update.case.fact.subject not in subjects:
            prompts = (prompts[place % len(prompts)],)
        pairs += [(update, prompt) for prompt in prompts]
    return pairs


def _askable_prompts(
    model: Model,
    case: Case,
    target: str | None,
    choose: Callable[[Model, Relation, Fact], tuple[Prompt, ...]],
    most: int | None,
) -> tuple[tuple[Prompt, ...], str | None]:
    """The first prompts of a recorded case, or none and why this model cannot be asked them."""
    try:
        prompts = choose(model, case.relation, case.fact)[:most]
        for prompt in prompts:
            if target is None:
                ask_openly(model, prompt)
            else:
                ask(model, prompt, target)
    except KnEditError as error:
        if error.exit_code not in (ExitCode.USAGE, ExitCode.ERROR):
            raise
        return (), str(error).partition(";")[0]
    return prompts, None
