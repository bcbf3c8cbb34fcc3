"""Other subjects for a prompt, and other prompts for a subject, where nobody names any.

Public names of many kinds, and plain templates that can be asked of most of them, ship as two lists
beside the relation packs. Everything drawn is the same for the same fact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from random import Random
from typing import TypeVar

from kn_edit.facts.fact import ANSWER, SUBJECT, Template
from kn_edit.facts.packs import bundled, bundled_relation, shipped_lines
from kn_edit.seeds import USUAL, generator

_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
# Too common to tell what a prompt is about, or to be exchanged in a name.
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by da de der di did do does for from had has have he her his "
        "in is it its la le my of on or our she the their they to van von was were who whom with",
    )
)
FROM_PACKS = 60  # names of the bundled packs' nearly 3,000, beside those that ship as a list
_STEM = 4  # letters by which two words count as one
_T = TypeVar("_T")


@cache
def listed_subjects() -> dict[str, tuple[str, ...]]:
    """The names that ship, by kind: person, place, company, work, institution, event, thing."""
    lines = (line.partition(":") for line in shipped_lines("subjects.txt"))
    return {kind: tuple(name.strip() for name in names.split(";")) for kind, _, names in lines}


@cache
def general_templates() -> tuple[tuple[Template, tuple[str, ...]], ...]:
    """Templates for most subjects, each with the beginnings of words that ask the same."""
    lines = (line.partition("|") for line in shipped_lines("about.txt"))
    return tuple((Template(text.strip()), tuple(stems.split())) for text, _, stems in lines)


def chance(subject: str, templates: Iterable[Template], seed: int = USUAL) -> Random:
    """Randomness of a fact's own, so that its neighbours do not hang on other facts."""
    name = "|".join((subject, *(template.text for template in templates)))
    return generator(seed, name, usual=name)


def other_subjects(subject: str, draw: Random, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Other subjects that the prompts of a subject can be asked about, in a drawn order.

    First those that the caller knows, then those of bundled packs that hold this subject, then
    names that look like it and names of every kind, in turns. Never the subject itself.
    """
    packs = _beside_in_packs(subject)
    turns = [look_alikes(subject, draw), _of_every_kind(draw)]
    mixed = (name for turn in zip_longest(*turns) for name in turn if name is not None)
    ordered = (*_shuffled(first, draw), *_shuffled(packs, draw), *mixed)
    return tuple(name for name in dict.fromkeys(ordered) if not same_subject(name, subject))


def look_alikes(subject: str, draw: Random, most: int = 24) -> list[str]:
    """Names with one word of a subject of several words exchanged; none for one word."""
    words = list(_WORD.finditer(subject))
    large = [word for word in words if word[0].casefold() not in _SMALL]
    if len(large) < 2:
        return []
    capital = [word for word in large if word[0][0].isupper()]
    places = capital if len(capital) > 1 else large[-2:]
    ends = [_shuffled(words, draw) for words in _words_to_exchange()]
    names = []
    for number in range(most):
        index = number % len(places)  # the last word first: of a person, the family's name
        old = places[-1 - index]
        spare = ends[0 if index < len(places) - 1 else 1]
        word = spare[number % len(spare)]
        new = word if old[0][0].isupper() else word.lower()
        if new.casefold() != old[0].casefold():
            names.append(subject[: old.start()] + new + subject[old.end() :])
    return names


def names_of_every_kind(subject: str, draw: Random) -> tuple[str, ...]:
    """Names of every kind but a subject's own: those that look like it, those that ship, and some
    of the bundled packs, drawn."""
    packs = sorted({fact.subject for pack in bundled() for fact in bundled_relation(pack).facts})
    listed = (name for names in listed_subjects().values() for name in names)
    names = (*look_alikes(subject, draw), *listed, *draw.sample(packs, FROM_PACKS))
    return tuple(name for name in dict.fromkeys(names) if not same_subject(name, subject))


def other_questions(subject: str, texts: Sequence[str], draw: Random) -> tuple[Template, ...]:
    """Templates that ask something else about a subject than its prompts, in a drawn order.

    texts: the prompts, with the subject or [X]. Of general templates and of bundled packs that hold
    the subject; those that have a telling word in common with a prompt are left out, unless all
    general ones have.
    """
    topic_words = {word for text in texts for word in _telling_words(text, subject)}
    alike = {
        template: sum(word.startswith(stem) for word in topic_words for stem in stems)
        for template, stems in general_templates()
    }
    general = [template for template, count in alike.items() if count == min(alike.values())]
    packs = [
        next(template for template in relation.templates if template.answer_last)
        for relation in map(bundled_relation, bundled())
        if any(same_subject(fact.subject, subject) for fact in relation.facts)
        and any(template.answer_last for template in relation.templates)
    ]
    other_templates = [
        template
        for template in packs
        if not _akin(topic_words, _telling_words(template.text, subject))
    ]
    return (*_shuffled(other_templates, draw), *_shuffled(general, draw))


def same_subject(first: str, second: str) -> bool:
    """Whether two names are one subject, whatever their case and their `the`."""
    return _folded(first) == _folded(second)


def subject_in(text: str) -> str:
    """The words of a prompt that are most likely its subject, where nobody says which are.

    The longest run of capitalised words behind the first word, else the last words.
    """
    words = list(_WORD.finditer(text))
    best: tuple[int, int] | None = None
    start = None
    for index, word in enumerate(words[1:], 1):
        if word[0][0].isupper() or (word[0][0].isdigit() and start is not None):
            start = index if start is None else start
            if best is None or index - start > best[1] - best[0]:
                best = (start, index)
        else:
            start = None
    if best is None:
        best = (max(0, len(words) - 3), len(words) - 1)
    if not words:
        return text.strip()
    return text[words[best[0]].start() : words[best[1]].end()]


def _of_every_kind(draw: Random) -> Iterator[str]:
    """The names that ship, one of each kind in turn."""
    kinds = [_shuffled(names, draw) for names in listed_subjects().values()]
    return (name for turn in zip_longest(*kinds) for name in turn if name is not None)


@lru_cache(maxsize=64)
def _beside_in_packs(subject: str) -> tuple[str, ...]:
    """The other subjects of the bundled packs that hold this one."""
    packs = [bundled_relation(name) for name in bundled()]
    holders = [pack for pack in packs if any(same_subject(f.subject, subject) for f in pack.facts)]
    return tuple(dict.fromkeys(fact.subject for pack in holders for fact in pack.facts))


@cache
def _words_to_exchange() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Last words and first words of the people who are listed: most look like other names too."""
    names = [_WORD.findall(name) for name in listed_subjects()["person"]]
    last = dict.fromkeys(words[-1] for words in names)
    return tuple(last), tuple(dict.fromkeys(words[0] for words in names if words[0] not in last))


def _telling_words(text: str, subject: str) -> set[str]:
    bare = text.replace(SUBJECT, " ").replace(ANSWER, " ").replace(subject, " ").casefold()
    return {word for word in _WORD.findall(bare) if word not in _SMALL}


def _akin(words: Iterable[str], other_words: Iterable[str]) -> bool:
    """Whether words of both begin alike."""
    return bool({word[:_STEM] for word in words} & {word[:_STEM] for word in other_words})


def _folded(name: str) -> str:
    return " ".join(name.casefold().split()).removeprefix("the ")


def _shuffled(names: Iterable[_T], draw: Random) -> list[_T]:
    ordered = list(names)
    draw.shuffle(ordered)
    return ordered
