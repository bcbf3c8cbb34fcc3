"""Ask a version again what its updates are about, in shares that do not depend on each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from kn_edit.editing.locating import Locator, Search, chains_for, prompts_for
from kn_edit.editing.neighbours import JUDGES, neighbours, probes
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.evaluation.fluency import generated
from kn_edit.evaluation.forced import ForcedAnswers
from kn_edit.evaluation.metric import GENERALIZATION, Metric
from kn_edit.evaluation.metrics import (
    Metrics,
    Readings,
    compare,
    said_again,
    whole_answer,
    whole_answers,
)
from kn_edit.evaluation.protocols import EvaluationProtocol, ProtocolAnswers
from kn_edit.facts import ByFact, Case, Prompt, fact_key
from kn_edit.models.greedy import Answer
from kn_edit.models.model import Model
from kn_edit.models.number_formats import Rounding
from kn_edit.models.questions import ask, asked_text
from kn_edit.models.rounding import rounded
from kn_edit.neurons.assess import assess
from kn_edit.seeds import generator

DRAWS = 3  # times that neighbours are drawn

AnswerPair = tuple[Answer, Answer]  # what the base says to a prompt, and what the version says


@dataclass(frozen=True)
class Update:
    """What is left of one update at the version."""

    case: Case
    target: str
    metrics: Metrics  # judged by the neighbours of all seeds
    says: str  # freely, after the first prompt; empty for a masked LM
    answer: str  # what it says there, greedily, as many tokens as the target has
    protocols: Mapping[EvaluationProtocol, ProtocolAnswers]  # what each of them says of it
    unrounded: float | None = None  # its efficacy where no weight is rounded; None where none is

    @property
    def efficacy(self) -> float:
        return self.metrics.efficacy

    @property
    def generalization(self) -> float | None:
        return self.value_of(GENERALIZATION)

    @property
    def specificity(self) -> float | None:
        return self.metrics.specificity

    def value_of(self, metric: Metric) -> float | None:
        """The value of a metric; None where nothing was asked."""
        return self.metrics.figures[metric.name].value


@dataclass(frozen=True)
class AskableUpdate:
    """An update that is asked again. judges: prompts about other subjects, by seed

    tokens: of the whole answer that other subjects are asked for
    """

    case: Case
    target: str
    judges: tuple[tuple[Prompt, ...], ...]
    tokens: int

    @property
    def every_judge(self) -> tuple[Prompt, ...]:
        """The judging prompts of all seeds; a prompt that several seeds drew stands there again."""
        return tuple(prompt for prompts in self.judges for prompt in prompts)

    def answers_among(self, answers: Mapping[Prompt, AnswerPair]) -> dict[Prompt, AnswerPair]:
        """What is said to the prompts that judge it."""
        return {prompt: answers[prompt] for prompt in self.every_judge}

    def efficacy(self, model: Model) -> float:
        """The share of its prompts on which a model says the whole new answer."""
        prompts = prompts_for(model, self.case.relation, self.case.fact)
        answers = assess(model, [ask(model, prompt, self.target) for prompt in prompts])
        return fmean(answer.right for answer in answers)

    def readings(
        self, model: Model, answers: Mapping[Prompt, AnswerPair], side: int, *, says: bool = False
    ) -> Readings:
        """What a model says of it. answers: to the prompts that judge; says: in full, too

        side: 0 for the base, 1 for the version
        """
        relation, fact = self.case.relation, self.case.fact
        prompts = prompts_for(model, relation, fact)
        held_out = judging_paraphrases(model, relation, fact, self.target)
        edited, paraphrases = (
            assess(model, [ask(model, prompt, self.target) for prompt in group], says=says)
            for group in (prompts, held_out)
        )
        neighbours = tuple(answers[prompt][side] for prompt in self.every_judge)
        return Readings(tuple(edited), tuple(paraphrases), neighbours)


@dataclass(frozen=True)
class Edited:
    """What the version edits, and what therefore judges none of its edits."""

    facts: ByFact[bool]
    prompts: frozenset[str]


@dataclass(frozen=True, eq=False)
class JudgesShare:
    """Updates of which the base is asked who judges them. seed: of the neighbours"""

    cases: tuple[tuple[Case, str], ...]
    edited: Edited
    seed: int

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[AskableUpdate]:
        with engine.at([]) as live:
            model = live.model
            locator = Locator(live, Search(), engine.progress, self.seed)
            engine.progress("asking others", 0, 0)
            return [
                AskableUpdate(
                    case=case,
                    target=to,
                    judges=_judges(model, locator, case, self.edited),
                    tokens=whole_answer(chains_for(model, case.relation, case.fact, to)),
                )
                for case, to in self.cases
            ]


@contextmanager
def version_at(
    engine: Engine, deltas: Sequence[Delta], rounding: Rounding | None
) -> Iterator[Model]:
    """The model at a version, its weights rounded, inside the block. Raises as `Engine.at`."""
    with engine.at(deltas) as live, rounded(live.model, rounding) as model:
        yield model


@dataclass(frozen=True, eq=False)
class AnswersShare:
    """Prompts that judge, each with how many tokens of its answer count.

    rounding: of the weights, of the base and of the version alike
    """

    prompts: tuple[tuple[Prompt, int], ...]
    rounding: Rounding | None = None

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[AnswerPair]:
        """What the base says to each, and what the version says."""
        prompts = [prompt for prompt, _ in self.prompts]
        engine.progress("asking others", 0, 0)
        with version_at(engine, [], self.rounding) as model:
            old = whole_answers(model, prompts, [tokens for _, tokens in self.prompts])
        with version_at(engine, deltas, self.rounding) as model:
            new = said_again(model, prompts, [answer.path for answer in old])
        return [*zip(old, new, strict=True)]


@dataclass(frozen=True, eq=False)
class UpdatesShare:
    """Updates that are asked again, each with what is said to the prompts that judge it.

    rounding: of the weights, of the base and of the version alike
    """

    updates: tuple[tuple[AskableUpdate, Mapping[Prompt, AnswerPair]], ...]
    rounding: Rounding | None = None

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Update]:
        with version_at(engine, [], self.rounding) as model:
            before = [update.readings(model, answers, 0) for update, answers in self.updates]
        with version_at(engine, deltas, self.rounding) as model:
            updates = []
            for index, (update, answers) in enumerate(self.updates):
                engine.progress("asking again", index, len(self.updates))
                updates.append(_update(model, update, before[index], answers))
        if self.rounding is None:
            return updates
        with engine.at(deltas) as live:
            unrounded = [update.efficacy(live.model) for update, _ in self.updates]
        return [
            replace(update, unrounded=efficacy)
            for update, efficacy in zip(updates, unrounded, strict=True)
        ]


def _judges(
    model: Model, locator: Locator, case: Case, edited: Edited
) -> tuple[tuple[Prompt, ...], ...]:
    """Known facts that the version does not edit, drawn several times.

    Of a relation without facts, those prompts that judged the update, two in three each time.
    """
    known_facts = [
        fact
        for fact in locator.known_facts(case.relation, case.fact)
        if not edited.facts.get(fact_key(case.relation, fact))
    ]
    if not case.relation.facts:
        judges = neighbours(model, locator, case).judges
        unedited = [prompt for prompt in judges if prompt.cloze not in edited.prompts]
        count = math.ceil(len(unedited) * 2 / 3)
        return tuple(tuple(draw.sample(unedited, count)) for draw in _generators(locator.seed))
    count = min(JUDGES, len(known_facts))
    draws = [draw.sample(known_facts, count) for draw in _generators(locator.seed)]
    return tuple(
        tuple(prompt for fact in facts for prompt in probes(model, case.relation, fact))
        for facts in draws
    )


def _generators(seed: int) -> list[Random]:
    """A generator for each draw of neighbours."""
    return [generator(seed, f"judges {number}", usual=number) for number in range(DRAWS)]


def _update(
    model: Model, update: AskableUpdate, before: Readings, answers: Mapping[Prompt, AnswerPair]
) -> Update:
    """Ask a version about an update. before: what the base says; answers: to what judges, now"""
    after = update.readings(model, answers, 1, says=True)
    first = after.edited[0]
    return Update(
        case=update.case,
        target=update.target,
        metrics=compare(before, after),
        says=generated(model, [asked_text(first.prompt)], 8)[0].strip() if model.causal else "",
        answer=first.says,
        protocols={
            EvaluationProtocol.TEACHER_FORCED: ForcedAnswers.of(after.edited, after.held_out)
        },
    )
