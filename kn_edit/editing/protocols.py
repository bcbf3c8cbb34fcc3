"""Updates of a version under the protocols that are asked for, as shares of work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from kn_edit.editing.asking_again import Update
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import Share, shared
from kn_edit.errors import CannotContinue
from kn_edit.evaluation.free import FreeAnswers, FreePrompt, Names, Replies, free_replies
from kn_edit.evaluation.protocols import (
    EvaluationProtocol,
    FreeOptions,
    ProtocolAnswers,
    ProtocolPlan,
)
from kn_edit.facts import Case, Fact, Relation
from kn_edit.facts.questions import questions_of
from kn_edit.models.chat import chat_frame
from kn_edit.models.model import Model
from kn_edit.models.questions import asked_text

QUESTIONS = 3  # that a fact is asked freely, at most

PER_SHARE = 8  # updates of a share

EditedFact = tuple[Case, str]  # a case and the new answer of its fact


def check_protocols(plan: ProtocolPlan, model: Model) -> None:
    """Raise CannotContinue where a masked LM would have to generate text."""
    if plan.names and not model.causal:
        raise CannotContinue(model.family.model_type)


def with_protocols(
    engine: Engine,
    deltas: Sequence[Delta],
    facts: Sequence[EditedFact],
    updates: Sequence[Update],
    plan: ProtocolPlan,
) -> tuple[Update, ...]:
    """The updates of these facts, with what each protocol says of them. Raises NotFinite."""
    for name in plan.names:
        share_of = partial(_SHARES[name], options=plan.free)
        answers = shared(engine.workers, deltas, facts, share_of, PER_SHARE)
        updates = [
            replace(update, protocols={**update.protocols, name: answer})
            for update, answer in zip(updates, answers, strict=True)
        ]
    return tuple(updates)


@dataclass(frozen=True, eq=False)
class FreeShare:
    """Updates about which the base and the version are asked freely."""

    facts: tuple[EditedFact, ...]
    options: FreeOptions

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[FreeAnswers]:
        """What both say about each update, and what decides whether it is right."""
        prompts = [
            free_prompts(engine.model, case.relation, case.fact, to) for case, to in self.facts
        ]
        base, version = (self._replies(engine, version, prompts) for version in ([], deltas))
        return [
            FreeAnswers(names_of(case, to), *pair)
            for (case, to), *pair in zip(self.facts, base, version, strict=True)
        ]

    def _replies(
        self, engine: Engine, deltas: Sequence[Delta], prompts: Sequence[Sequence[FreePrompt]]
    ) -> list[tuple[Replies, ...]]:
        replies = []
        with engine.at(deltas) as live:
            for index, of_fact in enumerate(prompts):
                engine.progress("asking freely", index, len(prompts))
                replies.append(free_replies(live.model, of_fact, self.options))
        return replies


def names_of(case: Case, to: str) -> Names:
    """The answers that decide about an update: the new one, and the old one if it is known."""
    old = (case.fact.answer,) if case.fact.stated else ()
    return Names(new=(to,), old=old, subject=case.fact.subject)


def free_prompts(model: Model, relation: Relation, fact: Fact, to: str) -> tuple[FreePrompt, ...]:
    """How a model is asked freely about a fact, in words that no solver trained on.

    With a chat format as a user's questions; without one, texts that the model goes on with.
    """
    if chat_frame(model) is not None:
        held_out = prompts_for(model, relation, fact, held_out=True)
        prompts = held_out or prompts_for(model, relation, fact)
        templates = tuple(prompt.template for prompt in prompts)
        questions = dict.fromkeys(questions_of(relation, fact, templates))
        return tuple(FreePrompt(text, chat=True) for text in questions)[:QUESTIONS]
    paraphrases = judging_paraphrases(model, relation, fact, to)
    texts = dict.fromkeys(asked_text(prompt) for prompt in paraphrases)
    return tuple(FreePrompt(text) for text in texts)[:QUESTIONS]


_SHARES: Mapping[EvaluationProtocol, Callable[..., Share[Sequence[ProtocolAnswers]]]] = {
    EvaluationProtocol.FREE: FreeShare,
}
