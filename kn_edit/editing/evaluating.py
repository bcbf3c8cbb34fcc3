"""Evaluate a version against the base: what its edits reach, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean

from kn_edit.canonical import short
from kn_edit.editing.earlier import refusal
from kn_edit.editing.locating import Locator, Search, chains_for, prompts_for
from kn_edit.editing.neighbours import JUDGES, neighbours, probes
from kn_edit.editing.neutral import unseen_texts
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.requests import earlier_updates
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.evaluation.fluency import entropy, generated, perplexity
from kn_edit.evaluation.metric import (
    EFFICACY,
    GENERALIZATION,
    SPECIFICITY,
    Metric,
    measured_of_updates,
)
from kn_edit.evaluation.metrics import (
    Metrics,
    Readings,
    compare,
    said_again,
    whole_answer,
    whole_answers,
)
from kn_edit.evaluation.statistics import Estimate, harmonic, mean
from kn_edit.facts import ByFact, Case, Prompt, fact_key
from kn_edit.ledger.records import EditRecord
from kn_edit.models.greedy import Answer
from kn_edit.models.model import Model
from kn_edit.models.questions import ask, asked_text
from kn_edit.neurons.assess import assess
from kn_edit.progress import Progress
from kn_edit.seeds import USUAL, generator

DRAWS = 3  # times that neighbours are drawn
GENERATED = 8  # texts that are generated freely


@dataclass(frozen=True)
class Update:
    """What is left of one update at the version."""

    case: Case
    target: str
    metrics: Metrics  # judged by the neighbours of all seeds
    says: str  # freely, after the first prompt; empty for a masked LM
    answer: str  # what it says there, greedily, as many tokens as the target has

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
class Comparison:
    """A figure of the base and of the version."""

    base: float
    version: float


@dataclass(frozen=True)
class Evaluation:
    """A version against the base. Estimates are over updates, with bootstrap intervals."""

    updates: tuple[Update, ...]
    estimates: Mapping[str, Estimate | None]  # by metric
    by_seed: tuple[float, ...]  # specificity of each seed's neighbours
    perplexity: Comparison  # on neutral text
    entropy: Comparison | None  # n-gram entropy of free generation, bits; None for a masked LM
    passed_over: tuple[str, ...] = ()  # edits that cannot be asked again, and why
    seed: int = USUAL  # of the neighbours that are drawn

    @property
    def efficacy(self) -> Estimate | None:
        return self.estimates[EFFICACY.name]

    @property
    def generalization(self) -> Estimate | None:
        return self.estimates[GENERALIZATION.name]

    @property
    def specificity(self) -> Estimate | None:
        return self.estimates[SPECIFICITY.name]

    @property
    def score(self) -> float | None:
        """The harmonic mean of efficacy, generalization and specificity."""
        estimates = [self.efficacy, self.generalization, self.specificity]
        values = [estimate.value for estimate in estimates if estimate is not None]
        return harmonic(values) if len(values) == len(estimates) else None


@dataclass(frozen=True)
class _AskableUpdate:
    """An update that is asked again. judges: prompts about other subjects, by seed"""

    case: Case
    target: str
    judges: tuple[tuple[Prompt, ...], ...]

    @property
    def every_judge(self) -> tuple[Prompt, ...]:
        """The judging prompts of all seeds; a prompt that several seeds drew stands there again."""
        return tuple(prompt for prompts in self.judges for prompt in prompts)

    def readings(
        self, model: Model, answers: Mapping[Prompt, Answer], *, says: bool = False
    ) -> Readings:
        """What a model says of it. answers: to the prompts that judge; says: in full, too"""
        relation, fact = self.case.relation, self.case.fact
        prompts = prompts_for(model, relation, fact)
        held_out = judging_paraphrases(model, relation, fact, self.target)
        edited, paraphrases = (
            assess(model, [ask(model, prompt, self.target) for prompt in group], says=says)
            for group in (prompts, held_out)
        )
        neighbours = tuple(answers[prompt] for prompt in self.every_judge)
        return Readings(tuple(edited), tuple(paraphrases), neighbours)


def evaluate(
    engine: Engine,
    deltas: Sequence[Delta],
    edits: Sequence[EditRecord],
    progress: Progress,
    seed: int = USUAL,
) -> Evaluation:
    """Ask the base and the version the same things. seed: of the neighbours that are drawn"""
    updates, passed_over = earlier_updates(edits)
    askable = []
    with engine.at([]) as live:
        model = live.model
        for update in updates.values():
            why_not = refusal(model, update.case, update.to)
            if why_not is None:
                askable.append((update.case, update.to))
            else:
                passed_over.append(f"{short(update.edit)} cannot be asked: {why_not}")
    evaluation = ask_again(engine, deltas, askable, progress, seed)
    return replace(evaluation, passed_over=tuple(passed_over))


def ask_again(
    engine: Engine,
    deltas: Sequence[Delta],
    cases: Sequence[tuple[Case, str]],
    progress: Progress,
    seed: int = USUAL,
) -> Evaluation:
    """Evaluate deltas that no ledger knows.

    cases: facts that they update, and the answers; seed: of the neighbours that are drawn
    """
    edited = _Edited(
        ByFact((fact_key(case.relation, case.fact), True) for case, _ in cases),
        frozenset(p.cloze for case, _ in cases for p in case.relation.prompts(case.fact)),
    )
    texts = unseen_texts()
    with engine.at([]) as live:
        model = live.model
        locator = Locator(live, Search(), progress, seed)
        askable = [
            _AskableUpdate(case, to, _judges(model, locator, case, edited)) for case, to in cases
        ]
        base_answers = _base_answers(model, askable, progress)
        progress("neutral text", 0, 0)
        old = perplexity(model, texts)
        beginnings = [text.rsplit(" ", 6)[0] for text in texts[:GENERATED]]
        before = entropy(generated(model, beginnings)) if model.causal else None
        readings = [update.readings(model, base_answers) for update in askable]
    with engine.at(deltas) as live:
        model = live.model
        progress("asking others", 0, 0)
        again = said_again(model, [*base_answers], [*base_answers.values()])
        version_answers = dict(zip(base_answers, again, strict=True))
        updates = []
        for index, update in enumerate(askable):
            progress("asking again", index, len(askable))
            updates.append(_update(model, update, readings[index], version_answers))
        new = perplexity(model, texts)
        after = entropy(generated(model, beginnings)) if model.causal else None
    preserved = {
        prompt: answer.kept_by(version_answers[prompt]) for prompt, answer in base_answers.items()
    }
    return Evaluation(
        updates=tuple(updates),
        estimates=_estimates(updates),
        by_seed=_by_seed(askable, preserved),
        perplexity=Comparison(old, new),
        entropy=None if before is None or after is None else Comparison(before, after),
        seed=seed,
    )


@dataclass(frozen=True)
class _Edited:
    """What the version edits, and what therefore judges none of its edits."""

    facts: ByFact[bool]
    prompts: frozenset[str]


def _judges(
    model: Model, locator: Locator, case: Case, edited: _Edited
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


def _base_answers(
    model: Model, updates: Sequence[_AskableUpdate], progress: Progress
) -> dict[Prompt, Answer]:
    """What is said to each prompt that judges; updates share many of these."""
    progress("asking others", 0, 0)
    counts: dict[Prompt, int] = {}
    for update in updates:
        chains = chains_for(model, update.case.relation, update.case.fact, update.target)
        for prompt in update.every_judge:
            counts[prompt] = max(counts.get(prompt, 0), whole_answer(chains))
    return dict(zip(counts, whole_answers(model, [*counts], [*counts.values()]), strict=True))


def _by_seed(
    updates: Sequence[_AskableUpdate], preserved: Mapping[Prompt, bool]
) -> tuple[float, ...]:
    """Specificity over the prompts of all updates that one seed drew."""
    drawn = [[p for update in updates for p in update.judges[index]] for index in range(DRAWS)]
    return tuple(fmean(preserved[p] for p in prompts) for prompts in drawn if prompts)


def _update(
    model: Model, update: _AskableUpdate, before: Readings, answers: Mapping[Prompt, Answer]
) -> Update:
    """Ask a version about an update. before: what the base says; answers: to what judges, now"""
    after = update.readings(model, answers, says=True)
    first = after.edited[0]
    return Update(
        case=update.case,
        target=update.target,
        metrics=compare(before, after),
        says=generated(model, [asked_text(first.prompt)], 8)[0].strip() if model.causal else "",
        answer=first.says,
    )


def _estimates(updates: Sequence[Update]) -> dict[str, Estimate | None]:
    """The mean of each metric over the updates that have it, by its name."""
    return {
        metric.name: _over([update.value_of(metric) for update in updates])
        for metric in measured_of_updates()
    }


def _over(values: Sequence[float | None]) -> Estimate | None:
    measured = [value for value in values if value is not None]
    return mean(measured) if measured else None
