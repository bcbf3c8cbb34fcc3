"""Activation by prompt on sentences that people wrote, from a file (facts/sentences.py).

A sentence with subject and answer is asked where its answer begins; a causal LM is asked only those
that name the subject first. Sentences with the subject only, and random ones (about other
subjects), have no such place: some of their tokens are drawn, after the subject in a causal LM.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from kn_edit.evaluation.section import Section
from kn_edit.experiments.expressing import Asked, activations, compared
from kn_edit.experiments.lab import Lab
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


def measure(lab: Lab, name: str, found: Sequence[Sentences]) -> list[Row]:
    """One row a fact of the sample's relation `name` that the sentences are about."""
    known = {one.fact.subject: one for one in found if one.fact in lab.facts[name]}
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    rows = lab.rows(f"sentences-{name}", sentences=digest)
    return rows.all(
        list(known), lambda subject: _row(lab, name, known[subject], found), lab.progress
    )


def _row(lab: Lab, name: str, own: Sentences, all_of_them: Sequence[Sentences]) -> Row:
    case, subject = Case(lab.relations[name], own.fact), own.fact.subject
    others = [
        (one.fact.subject, text)
        for one in all_of_them
        if one.fact.subject != subject
        for text in one.mentioning
    ]

    def asked(model: Model) -> Asked:
        draw = lab.chance(case)
        return {
            "expressing": _at_answer(model, own),
            "subject": _drawn(model, [(subject, text) for text in own.mentioning], draw),
            "random": _drawn(model, lab.drawn(case, others, RANDOM), draw),
        }

    return activations(lab, case, asked)


def _at_answer(model: Model, own: Sentences) -> list[Question]:
    questions = []
    for text in own.expressing:
        parts = split_at(text, own.fact.answer)
        if parts and (not model.causal or split_at(parts[0], own.fact.subject)):
            questions.append(ask_between(model, *parts))
    return [one for one in questions if len(one.ids) <= LONGEST]


def _drawn(model: Model, texts: Sequence[tuple[str, str]], draw: random.Random) -> list[Question]:
    """Some places of each sentence; texts: with the subject that each of them names."""
    questions = []
    for subject, text in texts:
        ids = text_ids(model, text)
        parts = split_at(text, subject)
        if parts is None or len(ids) > LONGEST:
            continue
        after = len(text_ids(model, parts[0] + subject)) if model.causal else 1
        places = range(after, len(ids) - (not model.causal))  # without the last special token
        some = draw.sample(places, min(PLACES, len(places)))
        questions += [ask_place(model, ids, place) for place in sorted(some)]
    return questions


def section(name: str, rows: Sequence[Row]) -> Section:
    text = (
        f"Sentences of a file, about {len(rows)} facts of {name} that the model knows. Where a "
        "sentence does not hold the answer, some of its tokens are drawn."
    )
    return compared(f"Activation in sentences: {name}", text, rows, KINDS)
