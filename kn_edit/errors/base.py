"""What every error has: facts, one sentence with the next step, an exit code.

Facts come from anywhere: names that strangers chose, what a server said. So a sentence is made of
them as they may be shown: escaped, without secrets, and shortened until it fits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from kn_edit.credentials import tokens_in_use
from kn_edit.errors.remedies import (
    PLAIN,
    PYTHON,
    Phrase,
    Recorder,
    Remedy,
    Wording,
    worded,
    worded_clauses,
)
from kn_edit.safetext import shortened, shown, struck

MAX_SENTENCE = 500  # characters
MAX_DETAIL = 4000  # characters of one value in `detail`
_LENGTHS = (300, 200, 140, 100, 70, 50, 35, 24, 16, 8)  # of one fact, tried until it fits


class ExitCode(IntEnum):
    """What `kn-edit` returns to the shell."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONFLICT = 3
    INTEGRITY = 4
    NETWORK = 5
    NEWER_SCHEMA = 6
    DISK = 7
    QUALITY_GATE = 8


@dataclass(frozen=True)
class Advice:
    """Something to try after a failure, as words and as a command for a shell."""

    what: str
    command: str = ""  # quoted for a POSIX shell; empty where none can be given

    def plain(self) -> dict[str, object]:
        return {"what": self.what, "command": self.command or None}


class KnEditError(Exception):
    """Base of every error that a user can cause. Subclasses are dataclasses of their facts.

    Printed, it is one sentence in the words of Python; `sentence` gives those of another front end.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR
    tries: tuple[Advice, ...] = ()  # what to try, the most promising first
    tries_are: ClassVar[str] = "what to try, the most promising first"
    _wording: Wording = PYTHON

    def __init_subclass__(cls) -> None:
        if "__str__" in vars(cls):
            setattr(cls, "__str__", _fitting(vars(cls)["__str__"]))  # noqa: B010
        if "detail" in vars(cls):
            setattr(cls, "detail", _plain_detail(vars(cls)["detail"]))  # noqa: B010

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process with all facts: one built by keyword keeps no `args`."""
        return _restored, (type(self), dict(vars(self)))

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """What a caller can do next, in the order of the sentence."""
        recorder = Recorder()
        self.sentence(recorder)
        return tuple(recorder.remedies)

    @property
    def summary(self) -> str:
        """What is wrong, and what to do next as far as that holds for every front end."""
        return self.sentence(PLAIN)

    def sentence(self, wording: Wording) -> str:
        """What is wrong and what to do next, in the words of a front end."""
        return str(self.worded(wording))

    def document(self, wording: Wording) -> dict[str, Any]:
        """The error as JSON: its name, code, message, detail and remedies."""
        in_words = self.worded(wording)
        return {
            "error": type(self).__name__,
            "code": int(self.exit_code),
            "message": str(in_words),
            "detail": in_words.detail(),
            "remedies": list(self.remedies),
        }

    def worded(self, wording: Wording) -> Self:
        """The same error in the words of a front end: its sentence, and the facts of `detail`."""
        copy = _with_facts(self, lambda text: worded(text, wording))
        copy._wording = wording
        return copy

    def phrase(self) -> Phrase:
        """The sentence, to be told as a part of something else, by whichever front end."""
        return Phrase(_with_facts(self, lambda text: text).sentence)  # without its traceback

    def steps(self, *clauses: str) -> str:
        """What to do next, as the end of a sentence; a clause names remedies in braces."""
        words = worded_clauses(clauses, self._wording, self)
        return f"; {words}" if words else ""

    def detail(self) -> dict[str, object]:
        """The facts of the error as plain values, for `--json`."""
        if not is_dataclass(self):
            return {}
        return {name: _plain(value) for name, value in asdict(self).items()}


E = TypeVar("E", bound=KnEditError)


def listed(items: object, limit: int = 8) -> str:
    """`a, b and 3 more`: a readable list for an error sentence."""
    words = [str(item) for item in items]  # type: ignore[attr-defined]
    if not words:
        return "nothing"
    if len(words) > limit:
        words = [*words[:limit], f"{len(words) - limit} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


class _Shown(str):
    """A text that may be shown. Its repr only sets it in quotes: it is escaped already."""

    __slots__ = ()

    def __repr__(self) -> str:
        mark = '"' if "'" in self and '"' not in self else "'"
        return f"{mark}{self}{mark}"


def _cut(text: str, most: int) -> str:
    return _Shown(shortened(text, most))


def _fitting(sentence: Callable[[Any], str]) -> Callable[[KnEditError], str]:
    """Make a `__str__` from one that trusts its facts: they are made safe, and short enough."""

    @functools.wraps(sentence)
    def fitting(self: KnEditError) -> str:
        tokens = tokens_in_use()
        safe = _with_facts(self, lambda text: _Shown(shown(text, _LENGTHS[0], *tokens)))
        text = sentence(safe)
        for most in _LENGTHS[1:]:
            if len(text) <= MAX_SENTENCE:
                break
            text = sentence(_with_facts(safe, functools.partial(_cut, most=most)))
        return shortened(text, MAX_SENTENCE)

    return fitting


def _plain_detail(
    detail: Callable[[Any], dict[str, object]],
) -> Callable[[KnEditError], dict[str, object]]:
    """Make a `detail` of plain values, without secrets."""

    @functools.wraps(detail)
    def plain(self: KnEditError) -> dict[str, object]:
        return {name: _plain(value) for name, value in detail(self).items()}

    return plain


def _restored(kind: type[E], facts: dict[str, Any]) -> E:
    """An error that came from another process."""
    error = kind.__new__(kind)
    error.__dict__.update(facts)
    return error


def _with_facts(error: E, change: Callable[[str], str]) -> E:
    """A copy of an error with each text among its facts changed."""
    copy = type(error).__new__(type(error))
    copy.__dict__.update({name: _changed(value, change) for name, value in vars(error).items()})
    return copy


def _changed(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, Path):
        return Path(change(str(value)))
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return tuple(_changed(item, change) for item in value)
    return value


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return _plain(str(value))
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (int, float, bool)):
        return value
    return struck(str(value), MAX_DETAIL, *tokens_in_use())
