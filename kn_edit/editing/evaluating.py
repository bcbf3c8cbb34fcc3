"""Evaluate a version against the base: what its edits reach, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

from kn_edit.canonical import short
from kn_edit.editing.asking_again import (
    DRAWS,
    AnswersShare,
    AskableUpdate,
    Edited,
    JudgesShare,
    Update,
    UpdatesShare,
    version_at,
)
from kn_edit.editing.earlier import refusal
from kn_edit.editing.neutral import unseen_texts
from kn_edit.editing.protocols import check_protocols, with_protocols
from kn_edit.editing.requests import earlier_updates
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import shared
from kn_edit.evaluation.fluency import entropy, generated, perplexity
from kn_edit.evaluation.metric import (
    EFFICACY,
    GENERALIZATION,
    SPECIFICITY,
    measured_of_updates,
)
from kn_edit.evaluation.protocols import (
    TEACHER_FORCED_ONLY,
    EvaluationProtocol,
    ProtocolPlan,
)
from kn_edit.evaluation.statistics import Estimate, harmonic, mean, mean_of_shared
from kn_edit.facts import ByFact, Case, Prompt, fact_key
from kn_edit.ledger.records import EditRecord
from kn_edit.models.model import Model
from kn_edit.models.number_formats import Rounding
from kn_edit.progress import Progress
from kn_edit.seeds import USUAL

GENERATED = 8  # texts that are generated freely
UPDATES, PROMPTS = 8, 64  # of a share


@dataclass(frozen=True)
class Comparison:
    """A figure of the base and of the version."""

    base: float
    version: float


@dataclass(frozen=True)
class Evaluation:
    """A version against the base. Estimates are over updates, with bootstrap intervals; that of
    specificity is resampled in the prompts too, many of which judge several updates."""

    updates: tuple[Update, ...]
    estimates: Mapping[str, Estimate | None]  # by metric
    by_seed: tuple[float, ...]  # specificity of each seed's neighbours
    perplexity: Comparison  # on neutral text
    entropy: Comparison | None  # n-gram entropy of free generation, bits; None for a masked LM
    passed_over: tuple[str, ...] = ()  # edits that cannot be asked again, and why
    seed: int = USUAL  # of the neighbours that are drawn
    rounding: Rounding | None = None  # of the weights of both models

    @property
    def unrounded(self) -> Estimate | None:
        """The efficacy where no weight is rounded; None where none is."""
        return _over([update.unrounded for update in self.updates])

    @property
    def efficacy_left(self) -> float | None:
        """The efficacy with rounded weights as a share of that without; None where none is."""
        if self.efficacy is None or self.unrounded is None or not self.unrounded.value:
            return None
        return self.efficacy.value / self.unrounded.value

    @property
    def protocols(self) -> dict[EvaluationProtocol, dict[str, Estimate | None]]:
        """The mean of each figure of each protocol that was asked for, over the updates."""
        answers = [update.protocols for update in self.updates]
        names = dict.fromkeys(name for protocols in answers for name in protocols)
        return {name: _means([protocols[name].figures for protocols in answers]) for name in names}

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


def evaluate(
    engine: Engine,
    deltas: Sequence[Delta],
    edits: Sequence[EditRecord],
    progress: Progress,
    seed: int = USUAL,
    plan: ProtocolPlan = TEACHER_FORCED_ONLY,
) -> Evaluation:
    """Ask the base and the version the same things.

    seed: of the neighbours that are drawn; plan: protocols beside the teacher-forced one. Raises
    CannotContinue where these need a causal LM.
    """
    check_protocols(plan, engine.model)
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
    evaluation = ask_again(engine, deltas, askable, progress, seed=seed, rounding=plan.rounding)
    every_protocol = with_protocols(engine, deltas, askable, evaluation.updates, plan)
    return replace(evaluation, updates=every_protocol, passed_over=tuple(passed_over))


def ask_again(
    engine: Engine,
    deltas: Sequence[Delta],
    cases: Sequence[tuple[Case, str]],
    progress: Progress,
    seed: int = USUAL,
    rounding: Rounding | None = None,
) -> Evaluation:
    """Evaluate deltas that no ledger knows.

    cases: facts that they update, and the answers; seed: of the neighbours that are drawn
    rounding: of the weights, of the base and of the version alike; the neighbours are those that
    the base knows as it is
    """
    edited = Edited(
        ByFact((fact_key(case.relation, case.fact), True) for case, _ in cases),
        frozenset(p.cloze for case, _ in cases for p in case.relation.prompts(case.fact)),
    )
    asking_others = partial(engine.progress, "asking others")
    judges_share = partial(JudgesShare, edited=edited, seed=seed)
    askable = shared(engine.workers, deltas, cases, judges_share, UPDATES, tell=asking_others)
    counts = _most_tokens(askable)
    answers_share = partial(AnswersShare, rounding=rounding)
    answer_pairs = shared(
        engine.workers, deltas, [*counts.items()], answers_share, PROMPTS, tell=asking_others
    )
    answers = dict(zip(counts, answer_pairs, strict=True))
    preserved = {prompt: old.kept_by(new) for prompt, (old, new) in answers.items()}
    pairs = [(update, update.answers_among(answers)) for update in askable]
    updates_share = partial(UpdatesShare, rounding=rounding)
    asking_again = partial(engine.progress, "asking again")
    updates = shared(engine.workers, deltas, pairs, updates_share, UPDATES, tell=asking_again)
    progress("neutral text", 0, 0)
    with version_at(engine, [], rounding) as model:
        before = _Neutral.of(model)
    with version_at(engine, deltas, rounding) as model:
        after = _Neutral.of(model)
    return Evaluation(
        updates=tuple(updates),
        estimates=_estimates(updates) | {SPECIFICITY.name: _specificity(askable, preserved)},
        by_seed=_by_seed(askable, preserved),
        perplexity=Comparison(before.perplexity, after.perplexity),
        entropy=None
        if before.entropy is None or after.entropy is None
        else Comparison(before.entropy, after.entropy),
        seed=seed,
        rounding=rounding,
    )


@dataclass(frozen=True)
class _Neutral:
    """What is left of a model's command of ordinary text."""

    perplexity: float
    entropy: float | None  # n-gram entropy of free generation, bits; None for a masked LM

    @classmethod
    def of(cls, model: Model) -> _Neutral:
        texts = unseen_texts()
        beginnings = [text.rsplit(" ", 6)[0] for text in texts[:GENERATED]]
        freely = entropy(generated(model, beginnings)) if model.causal else None
        return cls(perplexity(model, texts), freely)


def _most_tokens(updates: Sequence[AskableUpdate]) -> dict[Prompt, int]:
    """How many tokens each prompt that judges is asked for; updates share many of these."""
    counts: dict[Prompt, int] = {}
    for update in updates:
        for prompt in update.every_judge:
            counts[prompt] = max(counts.get(prompt, 0), update.tokens)
    return counts


def _by_seed(
    updates: Sequence[AskableUpdate], preserved: Mapping[Prompt, bool]
) -> tuple[float, ...]:
    """Specificity over the prompts of all updates that one seed drew."""
    drawn = [[p for update in updates for p in update.judges[index]] for index in range(DRAWS)]
    return tuple(fmean(preserved[p] for p in prompts) for prompts in drawn if prompts)


def _estimates(updates: Sequence[Update]) -> dict[str, Estimate | None]:
    """The mean of each metric over the updates that have it, by its name."""
    return {
        metric.name: _over([update.value_of(metric) for update in updates])
        for metric in measured_of_updates()
    }


def _specificity(
    updates: Sequence[AskableUpdate], preserved: Mapping[Prompt, bool]
) -> Estimate | None:
    """The mean over the updates that anything judges; many of these prompts judge several."""
    rows = [
        [(prompt, float(preserved[prompt])) for prompt in update.every_judge] for update in updates
    ]
    judged = [row for row in rows if row]
    return mean_of_shared(judged) if judged else None


def _means(several: Sequence[Mapping[str, float | None]]) -> dict[str, Estimate | None]:
    """The mean of each figure over the updates that have it."""
    names = dict.fromkeys(name for figures in several for name in figures)
    return {name: _over([figures.get(name) for figures in several]) for name in names}


def _over(values: Sequence[float | None]) -> Estimate | None:
    measured = [value for value in values if value is not None]
    return mean(measured) if measured else None
