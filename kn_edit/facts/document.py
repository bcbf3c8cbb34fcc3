"""JSON values that people wrote: every complaint about a value names its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from kn_edit.errors import BadFacts, ExitCode, KnEditError, Phrase, Wording, listed
from kn_edit.facts.fields import check_field
from kn_edit.safetext import shortened

Key = str | int

_DECODER = json.JSONDecoder()
_SHOWN = 60  # letters of a key in a sentence


@dataclass(frozen=True)
class Place:
    """A JSON value and where it stands: the file, the document's text, the keys that lead there."""

    path: Path
    text: str
    value: object
    keys: tuple[Key, ...] = ()
    first_line: int = 1

    @property
    def line(self) -> int:
        return self.first_line + self.text.count("\n", 0, offset_of(self.text, self.keys))

    @property
    def name(self) -> str:
        """What to call the value in a sentence: the last key that is a word."""
        words = [key for key in self.keys if isinstance(key, str)]
        return f'"{shortened(words[-1], _SHOWN)}"' if words else "the entry"

    def wrong(self, problem: str, remedy: str) -> BadFacts:
        return BadFacts(self.path, self.line, problem, remedy)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Tell of what is wrong with the input inside as an error of this place."""
        try:
            yield
        except BadFacts:
            raise
        except KnEditError as error:
            if error.exit_code != ExitCode.USAGE:
                raise
            raise self.wrong(*_halves(error)) from error

    def find(self, key: str) -> Place | None:
        """A member of an object; None where it is missing or null."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{self.name} is not an object", "write it as {...}")
        value = self.value.get(key)
        return None if value is None else self._child(key, value)

    def first(self, *keys: str) -> Place | None:
        """The first of these members that is there."""
        places = (self.find(key) for key in keys)
        return next((place for place in places if place is not None), None)

    def member(self, *keys: str) -> Place:
        """A member of an object, by the first of these keys that is there."""
        place = self.first(*keys)
        if place is None:
            raise self.wrong(f'"{keys[0]}" is missing', f'add "{keys[0]}"')
        return place

    def only(self, keys: Sequence[str]) -> None:
        """Refuse an object with any other key: a mistyped one would be passed over in silence."""
        for key in self.value if isinstance(self.value, dict) else ():
            if key not in keys:
                quoted = shortened(key, _SHOWN)
                matches = get_close_matches(quoted, keys, n=1)
                remedy = f'write "{matches[0]}"' if matches else f"the keys are {listed(keys)}"
                raise self.wrong(f'there is no key "{quoted}"', remedy)

    def items(self, most: int | None = None) -> tuple[Place, ...]:
        """The members of a list; at most so many."""
        if not isinstance(self.value, list):
            raise self.wrong(f"{self.name} is not a list", "write it as [...]")
        if most is not None and len(self.value) > most:
            problem = f"{self.name} has {len(self.value):,} members and at most {most:,} are taken"
            raise self.wrong(problem, "leave some of them out")
        return tuple(self._child(index, value) for index, value in enumerate(self.value))

    def string(self) -> str:
        """Text that says something."""
        if not isinstance(self.value, str):
            raise self.wrong(f"{self.name} is not text", "write it in double quotes")
        if not self.value.strip():
            raise self.wrong(f"{self.name} is empty", "give it a value")
        return self.value

    def field(self, name: str) -> str:
        """Text that may stand in the field of this name; see `check_field`."""
        text = self.string()
        with self.located():
            return check_field(text, name)

    def _child(self, key: Key, value: object) -> Place:
        return Place(
            path=self.path,
            text=self.text,
            value=value,
            keys=(*self.keys, key),
            first_line=self.first_line,
        )


def _halves(error: KnEditError) -> tuple[Phrase, Phrase]:
    """What is wrong, and what to do next."""

    def half(wording: Wording, number: int) -> str:
        return error.sentence(wording).rpartition("; ")[number]

    return Phrase(lambda wording: half(wording, 0)), Phrase(lambda wording: half(wording, 2))


def offset_of(text: str, keys: tuple[Key, ...]) -> int:
    """Find the offset in a JSON document at which the value under these keys begins.

    Only errors ask, so decoding some values again costs nothing that matters.
    """
    start = _skip(text, 0)
    for key in keys:
        start = next(offset for name, offset in _children(text, start) if name == key)
    return start


def _children(text: str, start: int) -> list[tuple[Key, int]]:
    """The keys of the object or array that begins at `start`, last first, and their offsets."""
    children: list[tuple[Key, int]] = []
    is_object = text[start] == "{"
    offset = _skip(text, start + 1)
    while text[offset] not in "]}":
        key: Key = len(children)
        if is_object:
            key, offset = _DECODER.raw_decode(text, offset)
            offset = _skip(text, offset, ":")
        children.append((key, offset))
        _, offset = _DECODER.raw_decode(text, offset)
        offset = _skip(text, offset, ",")
    return children[::-1]  # of an object's equal keys the last one counts


def _skip(text: str, offset: int, punctuation: str = "") -> int:
    while offset < len(text) and (text[offset] in " \t\r\n" or text[offset] == punctuation):
        offset += 1
    return offset
