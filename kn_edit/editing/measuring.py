"""Measure a proposed edit on top of a version: what it reaches, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

from kn_edit.editing.drafts import EditContext, Measurement
from kn_edit.editing.earlier import EarlierAnswers
from kn_edit.editing.locating import chains_for
from kn_edit.editing.neighbours import OTHER_FACTS, PROBES, other_relations
from kn_edit.editing.neutral import neutral_perplexity, perplexity_metrics
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import ThisProcess, Workers, shared
from kn_edit.errors import BadField, EmptyField, listed
from kn_edit.evaluation.changes import changes
from kn_edit.evaluation.gate import Gate, not_numbers
from kn_edit.evaluation.metrics import (
    AnswerKey,
    AnswersByKey,
    AskedProbes,
    Metrics,
    Probes,
    Readings,
    answers_by_key,
    compare,
    judging_keys,
    nan_count,
    pooled,
    read,
    same_tokens,
)
from kn_edit.facts import Fact, Prompt, Relation, check_field
from kn_edit.models.greedy import Answer
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Chain, Question
from kn_edit.neurons.assess import Assessment, assess, perplexity_of
from kn_edit.safetext import shortened
from kn_edit.seeds import USUAL

PROMPTS = 64  # that judge, and that one worker asks together
EXAMS = 16  # that are taken together, whoever takes them
MOST_RECORDED = 64  # prompts of each kind by which an update was judged
MOST_NAMED = 6  # facts of one edit that are named
MOST_NAME = 80  # letters of each
SAME_SUBJECT = 0.8  # with less of what else is asked of the subject, a notice tells


@dataclass(frozen=True, eq=False)
class UpdateExam:
    """What an update is measured by."""

    probes: Probes
    old: tuple[Chain, ...]  # the edited prompts, asked for the answer before the update
    to: str
    answered_by_model: bool = False  # the old answer: nobody stated one

    def measure(self, context: EditContext, delta: Delta) -> Measurement:
        """Ask the context's version, then that with the delta. Raises NotFinite of the first."""
        return _measured(context, delta, (self,))

    @property
    def subject(self) -> str:
        return self.probes.edited[0].fact.subject

    def keys(self, model: Model, before: Readings | None) -> list[AnswerKey]:
        """The prompts that judge it; see `judging_keys`."""
        return judging_keys(model, self.probes, self.to, before)

    def asked_probes(self, before: Readings | None, judged: AnswersByKey) -> AskedProbes:
        """How its probes are asked. before: what was said without the edit, None of that itself

        judged: what is said to prompts that judge; facts share many of these
        """
        return AskedProbes(self.probes, self.to, like=before, judged=judged, old=self.old)


@dataclass(frozen=True, eq=False)
class UpdatesExam:
    """What an update of several facts is measured by: one exam for each fact."""

    exams: tuple[UpdateExam, ...]

    def measure(self, context: EditContext, delta: Delta) -> Measurement:
        """Measure over the prompts of all facts, and give the metrics of each. Raises NotFinite."""
        return _measured(context, delta, self.exams)


@dataclass(frozen=True, eq=False)
class JudgingShare:
    """Prompts that judge, which one worker asks at a version. after: the edit"""

    keys: tuple[AnswerKey, ...]
    after: bool

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Answer]:
        """What the model says to each. Raises NotFinite before the edit."""
        answers: AnswersByKey = {}
        with engine.at(deltas) as live:
            for start in range(0, len(self.keys), PROMPTS):
                engine.progress("asking others", start, len(self.keys))
                part = self.keys[start : start + PROMPTS]
                answers |= answers_by_key(live.model, part, finite=not self.after)
        return [answers[key] for key in self.keys]


@dataclass(frozen=True, eq=False)
class ReadingsShare:
    """Probes of updates, which one worker asks at a version. after: the edit"""

    edits: tuple[AskedProbes, ...]
    after: bool

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Readings]:
        """Raises NotFinite before the edit; after it what is NaN is marked instead."""
        readings: list[Readings] = []
        with engine.at(deltas) as live:
            for start in range(0, len(self.edits), EXAMS):
                if len(self.edits) > 1:
                    engine.progress("measuring", start, len(self.edits))
                part = self.edits[start : start + EXAMS]
                readings += read(live.model, part, finite=not self.after)
        return readings


def _measured(context: EditContext, delta: Delta, exams: Sequence[UpdateExam]) -> Measurement:
    """Measure an update of one fact or several: all before it, then all after it."""
    subjects = {exam.subject for exam in exams}
    deltas, engine = context.deltas_with(delta), context.engine
    # A few prompts are asked sooner than a worker has loaded a model.
    workers = engine.workers if len(exams) > EXAMS else ThisProcess(engine)
    before = _readings(engine, workers, context.deltas, [(exam, None) for exam in exams])
    with engine.at(context.deltas) as live:
        model = live.model
        earlier = EarlierAnswers.of(model, context.earlier, subjects)
        neutral_before, earlier_before = neutral_perplexity(model), earlier.right(model)
    after = _readings(engine, workers, deltas, [*zip(exams, before, strict=True)])
    with engine.at(deltas) as live:
        model = live.model
        neutral_after = neutral_perplexity(model, finite=False)
        earlier_after = earlier.right(model, finite=False)
    old, new = pooled(before), pooled(after)
    metrics = compare(old, new)
    earlier_preserved = earlier.compared(earlier_before, earlier_after)
    fact_metrics = [compare(*pair) for pair in zip(before, after, strict=True)]
    faults, notices = _by_fact(context.gate, exams, metrics, fact_metrics)
    probes = [prompt for exam in exams for prompt in exam.probes.neighbours]
    several = len(exams) > 1
    return Measurement(
        before=old.edited,
        after=new.edited,
        metrics=metrics.plain()
        | _odds(old, new)
        | perplexity_metrics(neutral_before, neutral_after)
        | earlier_preserved.metrics(),
        faults=(*faults, *context.gate.undoing(earlier_preserved.share)),
        unsound=not_numbers(new.not_numbers, new.prompt_count, neutral_before, neutral_after),
        notices=(
            *_unknown(exams, before),
            *_first_sentences(
                _changed(exam.subject, metrics_of_fact)
                for exam, metrics_of_fact in zip(exams, fact_metrics, strict=True)
            ),
            *notices,
            *earlier_preserved.notices(),
        ),
        paraphrases=new.held_out,
        changed=changes(model, probes, old.neighbours, new.neighbours),
        harmful=bool(context.gate.harm(metrics.specificity)),
        by_fact=tuple(
            metrics_of_fact.plain() | _odds(*pair)
            for metrics_of_fact, pair in zip(
                fact_metrics, zip(before, after, strict=True), strict=True
            )
        )
        if several
        else (),
    )


def _readings(
    engine: Engine,
    workers: Workers,
    deltas: Sequence[Delta],
    exams: Sequence[tuple[UpdateExam, Readings | None]],
) -> list[Readings]:
    """What a version says of each exam; first to the prompts that judge, which exams share."""
    keys = [exam.keys(engine.model, before) for exam, before in exams]
    distinct = [*dict.fromkeys(key for exam_keys in keys for key in exam_keys)]
    after = any(before is not None for _, before in exams)
    answers = shared(
        workers,
        deltas,
        distinct,
        partial(JudgingShare, after=after),
        PROMPTS,
        tell=partial(engine.progress, "asking others"),
    )
    judged = dict(zip(distinct, answers, strict=True))
    edits = [
        exam.asked_probes(before, {key: judged[key] for key in exam_keys})
        for (exam, before), exam_keys in zip(exams, keys, strict=True)
    ]
    tell = partial(engine.progress, "measuring")
    return shared(workers, deltas, edits, partial(ReadingsShare, after=after), EXAMS, tell=tell)


def _by_fact(
    gate: Gate, exams: Sequence[UpdateExam], means: Metrics, fact_metrics: Sequence[Metrics]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with an update over the means, and of which facts; else a notice of these."""
    faults = gate.faults(means)
    subjects = [
        shortened(exam.subject, MOST_NAME)
        for exam, metrics_of_fact in zip(exams, fact_metrics, strict=True)
        if gate.faults(metrics_of_fact)
    ]
    if len(exams) == 1 or not subjects:
        return faults, ()
    failing = f"{len(subjects)} of its {len(exams)} facts"
    if faults:
        return (*faults, f"it fails on {failing}: {listed(subjects, MOST_NAMED)}"), ()
    names = listed(subjects, MOST_NAMED)
    return (), (f"the means pass the gate, and {failing} would not alone: {names}",)


def _first_sentences(sentences_by_fact: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The first sentences about facts, and how many more there are."""
    sentences = [sentence for fact_sentences in sentences_by_fact for sentence in fact_sentences]
    remaining = len(sentences) - MOST_NAMED
    if remaining <= 0:
        return tuple(sentences)
    return (*sentences[:MOST_NAMED], f"and so of {remaining} more of its facts")


def judged_by(probes: Probes, most: int = MOST_RECORDED) -> dict[str, Any]:
    """The prompts that judge an update, as they are recorded with it: the first of each kind.

    Without those that no field may hold, which nobody could pull from a repository.
    """
    return {
        "judged_by": {
            "paraphrases": _recordable(probes.held_out, most),
            "neighbours": _recordable(probes.neighbours, most),
            "same_subject": _recordable(probes.same_subject, most),
        }
    }


def _recordable(prompts: Sequence[Prompt], most: int) -> list[str]:
    texts = []
    for prompt in prompts[:most]:
        with suppress(BadField, EmptyField):
            texts.append(check_field(prompt.cloze, "template"))
    return texts


@dataclass(frozen=True)
class RelationAnswers:
    """What a model says around a relation that is to be erased."""

    answers: tuple[Assessment, ...]  # of the relation
    tokens: tuple[int, ...]  # first tokens, of other relations
    neutral: float  # perplexity of neutral text

    @property
    def perplexity(self) -> float:
        return perplexity_of(self.answers)


@dataclass(frozen=True, eq=False)
class ErasureExam:
    """What an erasure is measured by, and how its neurons are chosen."""

    relation: str
    aim: float  # times as perplexing: less is told
    chains: tuple[Chain, ...]  # the relation's prompts
    sample: tuple[Chain, ...]  # a few of every fact, by which neurons are chosen
    spared: tuple[Question, ...]  # in prompts of other relations, likewise
    judges: tuple[Question, ...]  # and of other facts, by which the erasure is judged

    @classmethod
    def about(
        cls,
        model: Model,
        relation: Relation,
        facts: Sequence[Fact],
        aim: float,
        *,
        seed: int = USUAL,
    ) -> ErasureExam:
        """The exam of an erasure. seed: of the facts of other relations that are drawn"""
        chains = [chains_for(model, relation, fact) for fact in facts]
        sample = [chain for fact_chains in chains for chain in fact_chains[:PROBES]]
        judges = other_relations(model, relation.name, seed=seed)
        spared = other_relations(model, relation.name, skip=OTHER_FACTS, seed=seed)
        every_chain = tuple(chain for fact_chains in chains for chain in fact_chains)
        return cls(
            relation=relation.name,
            aim=aim,
            chains=every_chain,
            sample=tuple(sample),
            spared=tuple(spared),
            judges=tuple(judges),
        )

    def answers(self, model: Model, *, finite: bool = True) -> RelationAnswers:
        answers = _with_first_words(model, self.chains, assess(model, self.chains, finite=finite))
        tokens = first_tokens(model, self.judges, finite=finite)
        return RelationAnswers(
            answers=tuple(answers),
            tokens=tuple(tokens),
            neutral=neutral_perplexity(model, finite=finite),
        )

    def measure(self, context: EditContext, delta: Delta) -> Measurement:
        """Ask the context's version, then that with the delta. Raises NotFinite of the first."""
        gate = context.gate
        elsewhere = [
            update for update in context.earlier if update.case.relation.name != self.relation
        ]
        with context.engine.at(context.deltas) as live:
            model = live.model
            earlier = EarlierAnswers.of(model, elsewhere)
            before, earlier_before = self.answers(model), earlier.right(model)
        with context.engine.at([*context.deltas, delta]) as live:
            model = live.model
            after = self.answers(model, finite=False)
            earlier_after = earlier.right(model, finite=False)
        unchanged = same_tokens(before.tokens, after.tokens)
        earlier_preserved = earlier.compared(earlier_before, earlier_after)
        specificity = fmean(unchanged) if unchanged else None
        questions = len(after.answers) + len(after.tokens)
        nan = nan_count(after.answers, after.tokens)
        return Measurement(
            before=before.answers,
            after=after.answers,
            metrics=_relation_metrics(before, after)
            | {"specificity": specificity, "neighbours": len(unchanged)}
            | earlier_preserved.metrics(),
            faults=(
                *gate.harm(specificity, "other relations"),
                *gate.undoing(earlier_preserved.share),
            ),
            unsound=not_numbers(nan, questions, before.neutral, after.neutral),
            notices=(*_remembered(self.aim, before, after), *earlier_preserved.notices()),
        )


def _with_first_words(
    model: Model, chains: Sequence[Chain], answers: Sequence[Assessment]
) -> list[Assessment]:
    """The same answers, each fact's first one with what the model says in full."""
    facts = [chain.prompt.fact for chain in chains]
    firsts = [index for index, fact in enumerate(facts) if index == 0 or facts[index - 1] != fact]
    full_answers = assess(model, [chains[index] for index in firsts], finite=False, says=True)
    full_answer_at = dict(zip(firsts, full_answers, strict=True))
    return [
        replace(answer, says=full_answer_at[index].says, says_p=full_answer_at[index].says_p)
        if index in full_answer_at
        else answer
        for index, answer in enumerate(answers)
    ]


def _odds(before: Readings, after: Readings) -> dict[str, Any]:
    """Mean p of the old and the new answer on the edited prompts, before and after."""
    return {
        "p_old_before": fmean(answer.p for answer in before.old),
        "p_old_after": fmean(answer.p for answer in after.old),
        "p_new_before": fmean(answer.p for answer in before.edited),
        "p_new_after": fmean(answer.p for answer in after.edited),
    }


def _unknown(exams: Sequence[UpdateExam], before: Sequence[Readings]) -> tuple[str, ...]:
    """A warning where the model did not know what it was to forget, and somebody stated it."""
    unknown = [
        (exam, answers.old[0].answer)
        for exam, answers in zip(exams, before, strict=True)
        if not (exam.answered_by_model or any(answer.right for answer in answers.old))
    ]
    if not unknown:
        return ()
    if len(exams) == 1:
        answer = unknown[0][1]
        return (f"the model did not know the old answer: no prompt of it gave {answer}",)
    names = [f"{shortened(exam.subject, MOST_NAME)} ({answer})" for exam, answer in unknown]
    unknown_facts = f"{len(unknown)} of the {len(exams)} facts"
    return (
        f"the model did not know the old answer of {unknown_facts}: {listed(names, MOST_NAMED)}",
    )


def _changed(subject: str, metrics: Metrics) -> tuple[str, ...]:
    """A warning where much else that is asked of the edited subject changed."""
    if metrics.same_subject is None or metrics.same_subject >= SAME_SUBJECT:
        return ()
    name = shortened(subject, MOST_NAME)
    return (f"other prompts about {name} keep {metrics.same_subject:.0%} of their answers",)


def _relation_metrics(
    before: RelationAnswers, after: RelationAnswers
) -> dict[str, float | int | None]:
    return {
        "accuracy_before": fmean(answer.right for answer in before.answers),
        "accuracy_after": fmean(answer.right for answer in after.answers),
        "p_before": fmean(answer.p for answer in before.answers),
        "p_after": fmean(answer.p for answer in after.answers),
        "perplexity_before": before.perplexity,
        "perplexity_after": after.perplexity,
        **perplexity_metrics(before.neutral, after.neutral),
    }


def _remembered(times: float, before: RelationAnswers, after: RelationAnswers) -> tuple[str, ...]:
    """A warning where less is forgotten than was asked for."""
    if after.perplexity >= times * before.perplexity:
        return ()
    ratio = after.perplexity / before.perplexity
    return (f"the relation is only {ratio:.2f} times as perplexing as before",)
