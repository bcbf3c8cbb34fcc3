"""Facts asked as questions: of a bundled relation in natural words, else made of its templates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from kn_edit.facts.fact import SUBJECT, Fact, Template
from kn_edit.facts.packs import bundled, shipped_lines
from kn_edit.facts.paraphrases import user_turn
from kn_edit.facts.relation import Relation


def questions_of(relation: Relation, fact: Fact, templates: tuple[Template, ...]) -> Iterator[str]:
    """What a user would ask in a chat to hear a fact's answer; no solver trains on any of it.

    templates: those of the fact that may become questions, where the relation is not bundled
    """
    questions = _bundled_questions().get(relation.name, ()) if relation.name in bundled() else ()
    texts = questions or tuple(user_turn(template) for template in templates)
    return (text.replace(SUBJECT, fact.subject) for text in texts)


@cache
def _bundled_questions() -> dict[str, tuple[str, ...]]:
    """The questions of each bundled relation, with [X] for the subject."""
    questions: dict[str, tuple[str, ...]] = {}
    for line in shipped_lines("questions.txt"):
        name, _, text = line.partition(": ")
        questions[name] = (*questions.get(name, ()), text)
    return questions
