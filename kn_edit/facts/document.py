"""JSON that people wrote: every complaint about a value names its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from kn_edit.errors import BadFacts, ExitCode, KnEditError, UnreadableFacts, listed

Key = str | int

_DECODER = json.JSONDecoder()


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
        return f'"{words[-1]}"' if words else "the entry"

    def wrong(self, problem: str, remedy: str) -> BadFacts:
        return BadFacts(self.path, self.line, problem, remedy)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Tell of what is wrong with the input inside as an error of this place."""
        try:
            yield
        except KnEditError as error:
            if error.exit_code != ExitCode.USAGE:
                raise
            problem, _, remedy = str(error).partition("; ")
            raise self.wrong(problem, remedy) from error

    def find(self, key: str) -> Place | None:
        """A member of an object; None where it is missing or null."""
        if not isinstance(self.value, dict):
            raise self.wrong(f"{self.name} is not an object", "write it as {...}")
        value = self.value.get(key)
        return None if value is None else self._child(key, value)

    def member(self, key: str) -> Place:
        found = self.find(key)
        if found is None:
            raise self.wrong(f'"{key}" is missing', f'add "{key}"')
        return found

    def only(self, keys: Sequence[str]) -> None:
        """Refuse an object with any other key: a mistyped one would be passed over in silence."""
        for key in self.value if isinstance(self.value, dict) else ():
            if key not in keys:
                meant = get_close_matches(key, keys, n=1)
                remedy = f'write "{meant[0]}"' if meant else f"the keys are {listed(keys)}"
                raise self.wrong(f'there is no key "{key}"', remedy)

    def items(self) -> tuple[Place, ...]:
        if not isinstance(self.value, list):
            raise self.wrong(f"{self.name} is not a list", "write it as [...]")
        return tuple(self._child(index, value) for index, value in enumerate(self.value))

    def string(self) -> str:
        """Text that says something, without the space around it."""
        if not isinstance(self.value, str):
            raise self.wrong(f"{self.name} is not text", "write it in double quotes")
        if not self.value.strip():
            raise self.wrong(f"{self.name} is empty", "give it a value")
        try:
            self.value.encode()
        except UnicodeEncodeError:
            problem = f"{self.name} holds half of a surrogate pair"
            raise self.wrong(problem, "write the whole character") from None
        return self.value.strip()

    def _child(self, key: Key, value: object) -> Place:
        return Place(self.path, self.text, value, (*self.keys, key), self.first_line)


def read_text(path: Path) -> str:
    """A file's text, its byte order mark dropped and CRLF turned into LF."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnreadableFacts(path, reason or str(error)) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + raw.count(b"\n", 0, error.start)
        raise BadFacts(path, line, "the text is not UTF-8", "save the file as UTF-8") from error
    if not text.strip():
        raise BadFacts(path, 1, "the file is empty", "put at least one fact into it")
    return text.replace("\r\n", "\n")


def read_document(path: Path) -> Place:
    """A file that holds one JSON value."""
    text = read_text(path)
    return Place(path, text, _parsed(path, text, 1))


def read_lines(path: Path) -> tuple[Place, ...]:
    """A file that holds one JSON value a line. Blank lines are passed over."""
    # Not splitlines(): JSON strings may hold U+2028 and its like as they are.
    return tuple(
        Place(path, line, _parsed(path, line, number), first_line=number)
        for number, line in enumerate(read_text(path).split("\n"), start=1)
        if line.strip()
    )


def offset_of(text: str, keys: tuple[Key, ...]) -> int:
    """Where in a JSON document the value under these keys begins.

    Only errors ask, so decoding some values again costs nothing that matters.
    """
    start = _skip(text, 0)
    for key in keys:
        start = next(offset for name, offset in _children(text, start) if name == key)
    return start


def _children(text: str, start: int) -> list[tuple[Key, int]]:
    """The keys of the object or array that begins at `start`, last first, and their offsets."""
    found: list[tuple[Key, int]] = []
    is_object = text[start] == "{"
    at = _skip(text, start + 1)
    while text[at] not in "]}":
        key: Key = len(found)
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, at, ":")
        found.append((key, at))
        _, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at, ",")
    return found[::-1]  # of an object's equal keys the last one counts


def _skip(text: str, at: int, punctuation: str = "") -> int:
    while at < len(text) and (text[at] in " \t\r\n" or text[at] == punctuation):
        at += 1
    return at


def _parsed(path: Path, text: str, first_line: int) -> object:
    remedy = "correct the JSON there"
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise BadFacts(path, line, f"not valid JSON ({error.msg})", remedy) from error
    except (ValueError, RecursionError) as error:  # a number too long, a nest too deep
        problem = "not JSON of a sensible size"
        raise BadFacts(path, first_line, problem, remedy) from error
