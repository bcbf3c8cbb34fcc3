"""What is asked under each protocol, of the base and of a version, as shares of work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kn_edit.editing.asking_again import version_at
from kn_edit.editing.edited import EditedFacts
from kn_edit.editing.locating import Locator, Search, chains_for, prompts_for
from kn_edit.editing.neighbours import Neighbours, neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.evaluation.choice import ChoiceAnswers, choice_prompts, offerable
from kn_edit.evaluation.free import FreeAnswers, FreePrompt, Names, Replies, free_replies
from kn_edit.evaluation.locality import LocalityAnswers, Preserved, behind_statement
from kn_edit.evaluation.metrics import said_again, whole_answer, whole_answers
from kn_edit.evaluation.portability import PortabilityAnswers, consequences
from kn_edit.evaluation.protocols import FreeOptions
from kn_edit.facts import Case, Fact, Prompt, Relation
from kn_edit.facts.questions import questions_of
from kn_edit.models.chat import chat_frame
from kn_edit.models.greedy import Answer
from kn_edit.models.model import Model
from kn_edit.models.number_formats import Rounding
from kn_edit.models.questions import asked_text

QUESTIONS = 3  # that a fact is asked freely, at most

EditedFact = tuple[Case, str]  # a case and the new answer of its fact
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ProtocolContext:
    """What the shares of one evaluation have in common.

    rounding: of the weights, of the base and of the version alike
    edited: all facts that the version edits, which judge none of its edits
    """

    options: FreeOptions
    rounding: Rounding | None
    edited: EditedFacts

    @property
    def greedy(self) -> FreeOptions:
        """The options of protocols that ask for the likeliest text alone."""
        return replace(self.options, samples=0, entropy=False)


@dataclass(frozen=True, eq=False)
class FreeShare:
    """Updates about which both models are asked with nothing fed in."""

    facts: tuple[EditedFact, ...]
    context: ProtocolContext

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[FreeAnswers]:
        prompts = [
            free_prompts(engine.model, case.relation, case.fact, to) for case, to in self.facts
        ]
        return [
            FreeAnswers(names_of(case, to), *pair)
            for (case, to), *pair in zip(
                self.facts,
                *_generated(engine, deltas, self.context, prompts, self.context.options),
                strict=True,
            )
        ]


@dataclass(frozen=True, eq=False)
class ChoiceShare:
    """Updates whose old and new answers are offered to both models."""

    facts: tuple[EditedFact, ...]
    context: ProtocolContext

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[ChoiceAnswers]:
        names = [names_of(case, to) for case, to in self.facts]
        prompts = [
            self._prompts(engine.model, *pair) for pair in zip(self.facts, names, strict=True)
        ]
        generated = _generated(engine, deltas, self.context, prompts, self.context.greedy)
        return [ChoiceAnswers(*row) for row in zip(names, *generated, strict=True)]

    def _prompts(self, model: Model, fact: EditedFact, names: Names) -> tuple[FreePrompt, ...]:
        case, to = fact
        if not offerable(names):
            return ()
        asked = questions_about(model, case.relation, case.fact)[0]
        prompt = FreePrompt(asked, chat=chat_frame(model) is not None)
        return choice_prompts(prompt, to, names.old[0])


@dataclass(frozen=True, eq=False)
class PortabilityShare:
    """Updates whose consequences both models are asked."""

    facts: tuple[EditedFact, ...]
    context: ProtocolContext

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[PortabilityAnswers]:
        of_facts = [consequences(case, to) for case, to in self.facts]
        prompts = [tuple(each.prompt for each in of_fact) for of_fact in of_facts]
        generated = _generated(engine, deltas, self.context, prompts, self.context.greedy)
        return [PortabilityAnswers(*row) for row in zip(of_facts, *generated, strict=True)]


@dataclass(frozen=True, eq=False)
class LocalityShare:
    """Updates beside which other answers are to stay."""

    facts: tuple[EditedFact, ...]
    context: ProtocolContext

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[LocalityAnswers]:
        rounding, groups = self.context.rounding, self._groups(engine)
        counts = [self._tokens(engine.model, *fact) for fact in self.facts]
        with version_at(engine, [], rounding) as model:
            before = [
                {name: _whole(model, prompts, count) for name, prompts in of_fact.items()}
                for of_fact, count in zip(groups, counts, strict=True)
            ]
        with version_at(engine, deltas, rounding) as model:
            return [
                LocalityAnswers(
                    {
                        name: Preserved.of(
                            model,
                            prompts,
                            old[name],
                            said_again(model, prompts, [answer.path for answer in old[name]]),
                        )
                        for name, prompts in of_fact.items()
                    }
                )
                for of_fact, old in zip(groups, before, strict=True)
            ]

    def _groups(self, engine: Engine) -> list[dict[str, tuple[Prompt, ...]]]:
        """The prompts of each group for each update; the base as it is tells who judges."""
        with engine.at([]) as live:
            locator = Locator(live, Search(), engine.progress, self.context.options.seed)
            groups = []
            for index, (case, to) in enumerate(self.facts):
                engine.progress("asking others", index, len(self.facts))
                beside = self.context.edited.beside(case)
                spared = self.context.edited.spared(neighbours(live.model, locator, beside))
                groups.append(_by_group(live.model, spared, case, to))
            return groups

    @staticmethod
    def _tokens(model: Model, case: Case, to: str) -> int:
        """How many tokens of another answer count."""
        return whole_answer(chains_for(model, case.relation, case.fact, to))


def _by_group(
    model: Model, spared: Neighbours, case: Case, to: str
) -> dict[str, tuple[Prompt, ...]]:
    edited = prompts_for(model, case.relation, case.fact)[0]
    return {
        "other_subjects": spared.judges,
        "same_subject": spared.same_subject_judges,
        "behind_statement": behind_statement(spared.judges, edited, to),
    }


def _whole(model: Model, prompts: Sequence[Prompt], count: int) -> tuple[Answer, ...]:
    return whole_answers(model, prompts, [count] * len(prompts))


def _generated(
    engine: Engine,
    deltas: Sequence[Delta],
    context: ProtocolContext,
    prompts: Sequence[Sequence[FreePrompt]],
    options: FreeOptions,
) -> tuple[list[tuple[Replies, ...]], list[tuple[Replies, ...]]]:
    """What the base and what the version says to the prompts of each update."""

    def replies(model: Model, index: int) -> tuple[Replies, ...]:
        engine.progress("asking freely", index, len(prompts))
        return free_replies(model, prompts[index], options)

    base = _of_each(engine, [], context, replies, len(prompts))
    return base, _of_each(engine, deltas, context, replies, len(prompts))


def _of_each(
    engine: Engine,
    deltas: Sequence[Delta],
    context: ProtocolContext,
    ask: Callable[[Model, int], T],
    count: int,
) -> list[T]:
    with version_at(engine, deltas, context.rounding) as model:
        return [ask(model, index) for index in range(count)]


def names_of(case: Case, to: str) -> Names:
    """The answers that decide about an update, each by all of its names: the new one, and the old
    one if it is known."""
    old = (case.fact.answer,) if case.fact.stated else ()
    return Names(
        new=(to, *case.aliases), old=(*old, *case.answer_aliases), subject=case.fact.subject
    )


def questions_about(model: Model, relation: Relation, fact: Fact) -> tuple[str, ...]:
    """The questions by which a fact is asked freely, in words that no solver trained on."""
    held_out = prompts_for(model, relation, fact, held_out=True)
    prompts = held_out or prompts_for(model, relation, fact)
    templates = tuple(prompt.template for prompt in prompts)
    return tuple(dict.fromkeys(questions_of(relation, fact, templates)))[:QUESTIONS]


def free_prompts(model: Model, relation: Relation, fact: Fact, to: str) -> tuple[FreePrompt, ...]:
    """How a model is asked freely about a fact, in words that no solver trained on.

    With a chat format as a user's questions; without one, texts that the model goes on with.
    """
    if chat_frame(model) is not None:
        questions = questions_about(model, relation, fact)
        return tuple(FreePrompt(text, chat=True) for text in questions)
    paraphrases = judging_paraphrases(model, relation, fact, to)
    texts = dict.fromkeys(asked_text(prompt) for prompt in paraphrases)
    return tuple(FreePrompt(text) for text in texts)[:QUESTIONS]
