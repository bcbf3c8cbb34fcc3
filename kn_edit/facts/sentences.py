"""Sentences found for facts, in the form of BINGREL (Dai et al. 2022).

    [{"th_bags": ["Azerbaijan's capital Baku ...", ...],
      "h_bags": ["Azerbaijan was an independent nation from 1918 ...", ...]}, ...]

`th_bags` are sentences with subject and answer, `h_bags` with the subject only. An entry does not
say which fact it is about, so it is matched to the fact of the relation that its sentences speak
of; one that speaks of none is passed over. Other keys are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact
from kn_edit.facts.relation import Relation
from kn_edit.facts.rows import read_document

MOST_SPEAK = 0.5  # share of an entry's sentences that must name subject and answer


@dataclass(frozen=True)
class Sentences:
    """Sentences about one fact. Each names the subject; `expressing` ones name the answer too."""

    fact: Fact
    expressing: tuple[str, ...]
    mentioning: tuple[str, ...]


def read_sentences(path: str | Path, relation: Relation) -> tuple[Sentences, ...]:
    """The sentences of a file that speak of a relation's facts. Raises UnreadableFacts, BadFacts.

    Where several entries speak of one fact, the first counts.
    """
    document = read_document(Path(path))
    by_fact: dict[Fact, Sentences] = {}
    for entry in document.items():
        pair_texts, subject_texts = (_strings(entry.member(key)) for key in ("th_bags", "h_bags"))
        fact = _fact_of(pair_texts, relation)
        if fact is not None:
            by_fact.setdefault(fact, _about(fact, pair_texts, subject_texts))
    if not by_fact:
        problem = f"no entry speaks of a fact of {relation.name}"
        raise document.wrong(problem, "name the relation that the sentences are about")
    return tuple(by_fact.values())


def names(text: str, name: str) -> bool:
    """Whether a text holds a name as words of its own."""
    return _place(text, name) is not None


def split_at(text: str, name: str) -> tuple[str, str] | None:
    """What stands before and after the first place of a name; None where it is not there."""
    place = _place(text, name)
    return None if place is None else (text[: place.start()], text[place.end() :])


def _place(text: str, name: str) -> re.Match[str] | None:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)


def _strings(place: Place) -> tuple[str, ...]:
    return tuple(item.string() for item in place.items())


def _fact_of(texts: Sequence[str], relation: Relation) -> Fact | None:
    """The fact whose subject and answer most of the sentences name."""
    counts = {
        fact: sum(names(text, fact.subject) and names(text, fact.answer) for text in texts)
        for fact in relation.facts
        if any(fact.subject in text for text in texts)  # cheap, and rules most facts out
    }
    best = max(counts, key=lambda fact: counts[fact], default=None)
    return best if best is not None and counts[best] > MOST_SPEAK * len(texts) else None


def _about(fact: Fact, pair_texts: Sequence[str], subject_texts: Sequence[str]) -> Sentences:
    expressing = [
        text for text in pair_texts if names(text, fact.subject) and names(text, fact.answer)
    ]
    mentioning = [
        text for text in subject_texts if names(text, fact.subject) and not names(text, fact.answer)
    ]
    return Sentences(fact, tuple(expressing), tuple(mentioning))
