"""Measure a proposed edit on top of a version: what it reaches, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from kn_edit.editing.drafts import Bench, Measurement
from kn_edit.editing.earlier import EarlierAnswers
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import OTHER_FACTS, PROBES, other_relations
from kn_edit.editing.neutral import speech, spoken
from kn_edit.edits.delta import Delta
from kn_edit.errors import BadField, EmptyField, listed
from kn_edit.evaluation.changes import changes
from kn_edit.evaluation.gate import Gate, not_numbers
from kn_edit.evaluation.metrics import (
    Metrics,
    Probes,
    Readings,
    compare,
    nan_count,
    pooled,
    read,
    same_tokens,
)
from kn_edit.facts import Fact, Prompt, Relation, check_field
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Chain, Question, ask
from kn_edit.neurons.assess import Assessment, assess, perplexity_of
from kn_edit.safetext import shortened

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
    said: bool = False  # the old answer is what the model says, because nobody stated one

    def measure(self, bench: Bench, delta: Delta) -> Measurement:
        """Ask the bench's version, then the same with the delta. Raises NotFinite of the first."""
        return _measured(bench, delta, (self,))

    @property
    def subject(self) -> str:
        return self.probes.edited[0].fact.subject

    def asked(self, model: Model) -> Said:
        """What a model says before the edit. Raises NotFinite."""
        return Said(tuple(assess(model, self.old)), read(model, self.probes, self.to))

    def asked_again(self, model: Model, before: Said) -> Said:
        """What a model says after it."""
        old = assess(model, self.old, finite=False)
        readings = read(model, self.probes, self.to, like=before.readings, finite=False)
        return Said(tuple(old), readings)


@dataclass(frozen=True, eq=False)
class UpdatesExam:
    """What an update of several facts is measured by: each of them by an exam of its own."""

    exams: tuple[UpdateExam, ...]

    def measure(self, bench: Bench, delta: Delta) -> Measurement:
        """As of one fact, over the prompts of all, and the metrics of each. Raises NotFinite."""
        return _measured(bench, delta, self.exams)


@dataclass(frozen=True)
class Said:
    """What a model says of a fact. old: the edited prompts, asked for the answer before"""

    old: tuple[Assessment, ...]
    readings: Readings


def _measured(bench: Bench, delta: Delta, exams: Sequence[UpdateExam]) -> Measurement:
    """Measure an update of one fact or several: all before it, then all after it."""
    subjects = {exam.subject for exam in exams}
    with bench.engine.at(bench.deltas) as live:
        model = live.model
        earlier = EarlierAnswers.of(model, bench.earlier, subjects)
        before = [exam.asked(model) for exam in _told(bench, exams)]
        neutral_before, earlier_before = speech(model), earlier.right(model)
    with bench.engine.at([*bench.deltas, delta]) as live:
        model = live.model
        pairs = zip(_told(bench, exams), before, strict=True)
        after = [exam.asked_again(model, said) for exam, said in pairs]
        neutral_after = speech(model, finite=False)
        earlier_after = earlier.right(model, finite=False)
    old, new = _together(before), _together(after)
    metrics = compare(old.readings, new.readings)
    kept = earlier.compared(earlier_before, earlier_after)
    each = [compare(*(said.readings for said in pair)) for pair in zip(before, after, strict=True)]
    faults, notices = _by_fact(bench.gate, exams, metrics, each)
    probes = [prompt for exam in exams for prompt in exam.probes.neighbours]
    several = len(exams) > 1
    return Measurement(
        before=old.readings.edited,
        after=new.readings.edited,
        metrics=metrics.plain()
        | _odds(old, new)
        | spoken(neutral_before, neutral_after)
        | kept.metrics(),
        faults=(*faults, *bench.gate.undoing(kept.share)),
        unsound=not_numbers(
            new.readings.not_numbers, new.readings.asked, neutral_before, neutral_after
        ),
        notices=(
            *_unknown(exams, before),
            *_few(_changed(exam.subject, own) for exam, own in zip(exams, each, strict=True)),
            *notices,
            *kept.notices(),
        ),
        paraphrases=new.readings.held_out,
        changed=changes(model, probes, old.readings.neighbours, new.readings.neighbours),
        harmful=bool(bench.gate.harm(metrics.specificity)),
        by_fact=tuple(
            own.plain() | _odds(*pair)
            for own, pair in zip(each, zip(before, after, strict=True), strict=True)
        )
        if several
        else (),
    )


def _told(bench: Bench, exams: Sequence[UpdateExam]) -> Iterator[UpdateExam]:
    """The exams, one after the other, of which the progress tells where they are several."""
    for at, exam in enumerate(exams):
        if len(exams) > 1:
            bench.progress("measuring", at, len(exams))
        yield exam


def _together(several: Sequence[Said]) -> Said:
    """What is said of several facts."""
    old = tuple(answer for said in several for answer in said.old)
    return Said(old, pooled([said.readings for said in several]))


def _by_fact(
    gate: Gate, exams: Sequence[UpdateExam], means: Metrics, each: Sequence[Metrics]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong with an update over the means, and of which facts; else a notice of these."""
    faults = gate.faults(means)
    subjects = [
        shortened(exam.subject, MOST_NAME)
        for exam, own in zip(exams, each, strict=True)
        if gate.faults(own)
    ]
    if len(exams) == 1 or not subjects:
        return faults, ()
    which = f"{len(subjects)} of its {len(exams)} facts"
    if faults:
        return (*faults, f"it fails on {which}: {listed(subjects, MOST_NAMED)}"), ()
    names = listed(subjects, MOST_NAMED)
    return (), (f"the means pass the gate, and {which} would not alone: {names}",)


def _few(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The first sentences about facts, and how many more there are."""
    sentences = [sentence for each in several for sentence in each]
    more = len(sentences) - MOST_NAMED
    if more <= 0:
        return tuple(sentences)
    return (*sentences[:MOST_NAMED], f"and so of {more} more of its facts")


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

    own: tuple[Assessment, ...]  # of the relation
    others: tuple[int, ...]  # first tokens, of other relations
    neutral: float  # perplexity of neutral text

    @property
    def perplexity(self) -> float:
        return perplexity_of(self.own)


@dataclass(frozen=True, eq=False)
class ErasureExam:
    """What an erasure is measured by, and how its neurons are chosen."""

    relation: str
    aim: float  # times as perplexing: less is told
    chains: tuple[Chain, ...]  # the relation's prompts
    sample: tuple[Chain, ...]  # a few of every fact, by which neurons are chosen
    spared: tuple[Question, ...]  # in prompts of other relations, likewise
    others: tuple[Question, ...]  # and of other facts, by which the erasure is judged

    @classmethod
    def about(
        cls, model: Model, relation: Relation, facts: Sequence[Fact], aim: float
    ) -> ErasureExam:
        prompts = [prompts_for(model, relation, fact) for fact in facts]
        chains = [tuple(ask(model, prompt) for prompt in some) for some in prompts]
        sample = [chain for some in chains for chain in some[:PROBES]]
        judges = other_relations(model, relation.name)
        spared = other_relations(model, relation.name, skip=OTHER_FACTS)
        whole = tuple(chain for some in chains for chain in some)
        return cls(relation.name, aim, whole, tuple(sample), tuple(spared), tuple(judges))

    def answers(self, model: Model, *, finite: bool = True) -> RelationAnswers:
        own = _with_first_words(model, self.chains, assess(model, self.chains, finite=finite))
        others = first_tokens(model, self.others, finite=finite)
        return RelationAnswers(tuple(own), tuple(others), speech(model, finite=finite))

    def measure(self, bench: Bench, delta: Delta) -> Measurement:
        """Ask the bench's version, then the same with the delta. Raises NotFinite of the first."""
        gate = bench.gate
        elsewhere = [one for one in bench.earlier if one.case.relation.name != self.relation]
        with bench.engine.at(bench.deltas) as live:
            model = live.model
            earlier = EarlierAnswers.of(model, elsewhere)
            before, earlier_before = self.answers(model), earlier.right(model)
        with bench.engine.at([*bench.deltas, delta]) as live:
            model = live.model
            after = self.answers(model, finite=False)
            earlier_after = earlier.right(model, finite=False)
        same, kept = (
            same_tokens(before.others, after.others),
            earlier.compared(earlier_before, earlier_after),
        )
        specificity = fmean(same) if same else None
        asked = len(after.own) + len(after.others)
        nan = nan_count(after.own, after.others)
        return Measurement(
            before.own,
            after.own,
            _relation_metrics(before, after)
            | {"specificity": specificity, "neighbours": len(same)}
            | kept.metrics(),
            (*gate.harm(specificity, "other relations"), *gate.undoing(kept.share)),
            not_numbers(nan, asked, before.neutral, after.neutral),
            (*_remembered(self.aim, before, after), *kept.notices()),
        )


def _with_first_words(
    model: Model, chains: Sequence[Chain], answers: Sequence[Assessment]
) -> list[Assessment]:
    """The same answers, each fact's first one with what the model says in full."""
    facts = [chain.prompt.fact for chain in chains]
    firsts = [at for at, fact in enumerate(facts) if at == 0 or facts[at - 1] != fact]
    spoken = assess(model, [chains[at] for at in firsts], finite=False, says=True)
    words = dict(zip(firsts, spoken, strict=True))
    return [
        replace(answer, says=words[at].says, says_p=words[at].says_p) if at in words else answer
        for at, answer in enumerate(answers)
    ]


def _odds(before: Said, after: Said) -> dict[str, Any]:
    """Mean p of the old and the new answer on the edited prompts, before and after."""
    return {
        "p_old_before": fmean(one.p for one in before.old),
        "p_old_after": fmean(one.p for one in after.old),
        "p_new_before": fmean(one.p for one in before.readings.edited),
        "p_new_after": fmean(one.p for one in after.readings.edited),
    }


def _unknown(exams: Sequence[UpdateExam], before: Sequence[Said]) -> tuple[str, ...]:
    """A warning where the model did not know what it was to forget, and somebody stated it."""
    unknown = [
        (exam, said.old[0].answer)
        for exam, said in zip(exams, before, strict=True)
        if not (exam.said or any(answer.right for answer in said.old))
    ]
    if not unknown:
        return ()
    if len(exams) == 1:
        answer = unknown[0][1]
        return (f"the model did not know the old answer: no prompt of it gave {answer}",)
    names = [f"{shortened(exam.subject, MOST_NAME)} ({answer})" for exam, answer in unknown]
    which = f"{len(unknown)} of the {len(exams)} facts"
    return (f"the model did not know the old answer of {which}: {listed(names, MOST_NAMED)}",)


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
        "accuracy_before": fmean(one.right for one in before.own),
        "accuracy_after": fmean(one.right for one in after.own),
        "p_before": fmean(one.p for one in before.own),
        "p_after": fmean(one.p for one in after.own),
        "perplexity_before": before.perplexity,
        "perplexity_after": after.perplexity,
        **spoken(before.neutral, after.neutral),
    }


def _remembered(times: float, before: RelationAnswers, after: RelationAnswers) -> tuple[str, ...]:
    """A warning where less is forgotten than was asked for."""
    if after.perplexity >= times * before.perplexity:
        return ()
    ratio = after.perplexity / before.perplexity
    return (f"the relation is only {ratio:.2f} times as perplexing as before",)
