"""Activation by prompt on sentences that people wrote, from a file (facts/sentences.py).

A sentence with subject and answer is asked where its answer begins; a causal LM is asked only those
that name the subject first. Sentences with the subject only, and random ones (about other
subjects), have no such place: some of their tokens are drawn, after the subject in a causal LM.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random

from kn_edit.canonical import digest
from kn_edit.evaluation.section import Section
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.expressing import QuestionsByKind, activations, compared
from kn_edit.experiments.rows import Row
from kn_edit.facts import Case, Sentences, split_at
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask_between, ask_place

KINDS = {
    "expressing": "sentences with subject and answer",
    "subject": "sentences with the subject only",
    "random": "sentences about other subjects",
}
PLACES = 4  # drawn in a sentence without an answer
RANDOM = 10  # sentences about other subjects
LONGEST = 64  # tokens of a sentence; longer ones are left out


def measure(context: ExperimentContext, name: str, sentences: Sequence[Sentences]) -> list[Row]:
    """One row a fact of the sample's relation `name` that the sentences are about."""
    row = partial(_row, name=name, sentences=sentences)
    subjects = list(_by_subject(context, name, sentences))
    of_file = digest(repr(sentences).encode())
    return context.measured(f"sentences-{name}", subjects, row, sentences=of_file)


def _by_subject(
    context: ExperimentContext, name: str, sentences: Sequence[Sentences]
) -> dict[str, Sentences]:
    """The sentences about each fact of the sample's relation."""
    return {entry.fact.subject: entry for entry in sentences if entry.fact in context.facts[name]}


def _row(
    context: ExperimentContext, subject: str, name: str, sentences: Sequence[Sentences]
) -> Row:
    fact_sentences = _by_subject(context, name, sentences)[subject]
    case = Case(context.relations[name], fact_sentences.fact)
    other_texts = [
        (entry.fact.subject, text)
        for entry in sentences
        if entry.fact.subject != subject
        for text in entry.mentioning
    ]

    def questions_of(model: Model) -> QuestionsByKind:
        draw = context.chance(case)
        return {
            "expressing": _at_answer(model, fact_sentences),
            "subject": _drawn(model, [(subject, text) for text in fact_sentences.mentioning], draw),
            "random": _drawn(model, context.drawn(case, other_texts, RANDOM), draw),
        }

    return activations(context, case, questions_of)


def _at_answer(model: Model, fact_sentences: Sentences) -> list[Question]:
    questions = []
    for text in fact_sentences.expressing:
        parts = split_at(text, fact_sentences.fact.answer)
        if parts and (not model.causal or split_at(parts[0], fact_sentences.fact.subject)):
            questions.append(ask_between(model, *parts))
    return [question for question in questions if len(question.ids) <= LONGEST]


def _drawn(model: Model, texts: Sequence[tuple[str, str]], draw: Random) -> list[Question]:
    """Some places of each sentence; texts: with the subject that each of them names."""
    questions = []
    for subject, text in texts:
        ids = text_ids(model, text)
        parts = split_at(text, subject)
        if parts is None or len(ids) > LONGEST:
            continue
        after = len(text_ids(model, parts[0] + subject)) if model.causal else 1
        places = range(after, len(ids) - (not model.causal))  # without the last special token
        sample = draw.sample(places, min(PLACES, len(places)))
        questions += [ask_place(model, ids, place) for place in sorted(sample)]
    return questions


def section(name: str, rows: Sequence[Row]) -> Section:
    text = (
        f"Sentences of a file, about {len(rows)} facts of {name} that the model knows. Where a "
        "sentence does not hold the answer, some of its tokens are drawn."
    )
    return compared(f"Activation in sentences: {name}", text, rows, KINDS)
