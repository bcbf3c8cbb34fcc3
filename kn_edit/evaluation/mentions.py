"""Which answers a free text names: whole words, in any case and with or without accents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kn_edit.facts.wording import stands_close

SHORT = 2  # letters: a name so short is often another word in lower case, as the symbol `As` is
_ACCENT = re.compile("[\u0300-\u036f]")
_WORD = re.compile(r"\w+")

_Words = tuple[str, ...]


@dataclass(frozen=True)
class Mentions:
    """Whether a text names the new answer, and whether it names the old one."""

    new: bool
    old: bool

    @property
    def right(self) -> bool:
        """Whether the edit is what the text says: the new answer, and not the old one."""
        return self.new and not self.old


def mentions(text: str, new: Sequence[str], old: Sequence[str], subject: str = "") -> Mentions:
    """Find a new and an old answer in a text, each by any of its names.

    A name counts where its words stand in the text one after the other, in any case and with or
    without accents; a name of one or two letters only in the case in which it is written. Where
    names overlap the longest one counts: `Equatorial Guinea` does not name `Guinea`, and the
    subject `Mexico City` does not name `Mexico`. Empty names are passed over.
    """
    names = {
        **{_words(name): "old" for name in old},
        **{_words(name): "new" for name in new},
        **{_words(subject): "subject"},
    }
    kinds = set(_kinds(_words(text), {name: kind for name, kind in names.items() if name}))
    return Mentions(new="new" in kinds, old="old" in kinds)


def _kinds(text: _Words, names: dict[_Words, str]) -> Iterator[str]:
    """What kind of name stands at each place of a text, the longest where several begin there."""
    longest_first = sorted(names, key=len, reverse=True)
    place = 0
    while place < len(text):
        name = next((name for name in longest_first if _stands_at(text, place, name)), None)
        if name is not None:
            yield names[name]
        place += 1 if name is None else len(name)


def _stands_at(text: _Words, place: int, name: _Words) -> bool:
    words = text[place : place + len(name)]
    if len(name) == 1 and len(name[0]) <= SHORT:
        return words == name
    return _folded(words) == _folded(name)


def _folded(words: _Words) -> _Words:
    return tuple(word.casefold() for word in words)


def _words(text: str) -> _Words:
    """The words of a text without accents; of a script without spaces, each letter is a word."""
    bare = _ACCENT.sub("", unicodedata.normalize("NFKD", text))
    return tuple(
        piece
        for word in _WORD.findall(unicodedata.normalize("NFC", bare))
        for piece in (word if stands_close(word[0]) else [word])
    )
