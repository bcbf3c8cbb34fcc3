r"""A sentence as it should be true, its subject and its answer marked in it.

    The CEO of [X: Starbucks] is [Y: Brian Niccol].

Brackets inside a mark pair up, as in `[Y: Foo [bar] baz]`; else a backslash takes the meaning from
what follows it: `\[`, `\]`, `\\`. Everywhere else text is text. Where subject and answer are given
beside it, the sentence may have bare `[X]` and `[Y]`, or no marks at all: then they are looked for
in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kn_edit.errors import BadStatement, BadTemplate, StatementsDiffer
from kn_edit.facts.fact import Template
from kn_edit.facts.fields import check_field
from kn_edit.facts.wording import stands_close

EXAMPLE = "The CEO of [X: Starbucks] is [Y: Brian Niccol]."
NAMES = {"X": "subject", "Y": "answer"}

_MARK = re.compile(r"\[\s*([XxYy])\s*([:\]])\s*")
_CAPITAL = r"(?:[A-Z]|\d)[\w'’-]*"
_PARTICLES = r"(?:(?:van|von|de|der|den|da|di|del|la|le|al|bin|ibn)\s+)*"
_NAME = re.compile(rf"\b{_CAPITAL}(?:\s+{_PARTICLES}{_CAPITAL})*")


@dataclass(frozen=True)
class Statement:
    """What statements say of one subject. answer: empty where nobody names it"""

    subject: str
    answer: str
    templates: tuple[Template, ...]


def is_marked(text: str) -> bool:
    """Whether a text has a mark of a statement that is filled in."""
    return any(mark[2] == ":" for mark in _MARK.finditer(text))


def begins_with_mark(text: str) -> bool:
    """Whether a text begins with a mark of a statement."""
    return _MARK.match(text) is not None


def read_statement(text: str, subject: str | None = None, answer: str | None = None) -> Statement:
    """What a statement says. subject, answer: what was given beside it, if anything.

    Raises BadStatement, StatementsDiffer, EmptyField, BadField.
    """
    pieces = list(_pieces(check_field(text, "template")))
    if not any(mark for mark, _ in pieces):
        pieces = _unmarked_pieces(text, subject, answer)
    values: dict[str, str] = {}
    for mark, explicit in (("X", subject), ("Y", answer)):
        marked = [value for name, value in pieces if name == mark]
        if len(marked) != 1:
            problem = f"has {'no' if not marked else 'more than one'} [{mark}: {NAMES[mark]}]"
            raise BadStatement(text, problem, EXAMPLE)
        values[mark] = _agreed(mark, marked[0], explicit)
    if not values["X"]:
        raise BadStatement(text, "does not say what [X] is", EXAMPLE)
    template_text = "".join(f"[{mark}]" if mark else value for mark, value in pieces)
    try:
        template = Template(template_text)
    except BadTemplate:
        raise BadStatement(text, "has [X] or [Y] as plain text beside its marks", EXAMPLE) from None
    return Statement(values["X"], values["Y"], (template,))


def read_statements(
    texts: Iterable[str], subject: str | None = None, answer: str | None = None
) -> Statement:
    """Several wordings of one statement. Raises as `read_statement`."""
    first, *rest = [read_statement(text, subject, answer) for text in texts]
    for statement in rest:
        for name in ("subject", "answer"):
            values = (getattr(first, name), getattr(statement, name))
            if values[0] != values[1]:
                raise StatementsDiffer(name, *values)
    templates = dict.fromkeys(
        template for statement in (first, *rest) for template in statement.templates
    )
    return Statement(first.subject, first.answer, tuple(templates))


def _agreed(mark: str, marked: str, explicit: str | None) -> str:
    """A marked value, or the one that was given beside the statement; they must not differ."""
    field = NAMES[mark]
    explicit = check_field(explicit, field) if explicit is not None else ""
    marked = check_field(marked, field) if marked else ""
    if marked and explicit and marked != explicit:
        raise StatementsDiffer(field, marked, explicit)
    return marked or explicit


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """A text in pieces: plain ones with an empty name, marks by their letter. Escapes undone."""
    plain, offset = "", 0
    while offset < len(text):
        mark = _MARK.match(text, offset)
        if mark is None:
            letter, offset = _letter(text, offset)
            plain += letter
            continue
        yield "", plain
        plain, value, offset = "", "", mark.end()
        if mark[2] == ":":
            value, offset = _marked(text, offset)
            if not value:
                raise BadStatement(text, f"has an empty [{mark[1].upper()}: ]", EXAMPLE)
        else:
            offset = text.index("]", mark.start()) + 1
        yield mark[1].upper(), value
    yield "", plain


def _marked(text: str, offset: int) -> tuple[str, int]:
    """The text of a mark up to the bracket that closes it, and the offset behind that."""
    value, depth, start = "", 0, offset
    while offset < len(text):
        if text[offset] == "]" and depth == 0:
            return value.strip(), offset + 1
        if _MARK.match(text, offset):
            raise BadStatement(text, "has a mark inside another", EXAMPLE)
        depth += {"[": 1, "]": -1}.get(text[offset], 0)
        letter, offset = _letter(text, offset)
        value += letter
    raise BadStatement(text, f"does not close the bracket in front of {text[start:]!r}", EXAMPLE)


def _letter(text: str, offset: int) -> tuple[str, int]:
    """The letter there, a backslash in front of a bracket or of another one undone."""
    if text[offset] == "\\" and text[offset + 1 : offset + 2] in ("[", "]", "\\"):
        return text[offset + 1], offset + 2
    return text[offset], offset + 1


def _unmarked_pieces(text: str, subject: str | None, answer: str | None) -> list[tuple[str, str]]:
    """The pieces of a statement without marks, by the words that were given beside it."""
    if subject is None or answer is None:
        raise BadStatement(text, "does not say which words are its subject and its answer",
                           _guess(text))  # fmt: skip
    end = _last(text, answer)
    if end is None:
        raise BadStatement(text, f"does not hold the answer {answer!r}", EXAMPLE)
    before, after = text[: end[0]], text[end[1] :]
    side = before if _last(before, subject) else after
    place = _last(side, subject)
    if place is None:
        raise BadStatement(text, f"does not hold the subject {subject!r}", EXAMPLE)
    subject_pieces = [("", side[: place[0]]), ("X", ""), ("", side[place[1] :])]
    if side is before:
        return [*subject_pieces, ("Y", ""), ("", after)]
    return [("", before), ("Y", ""), *subject_pieces]


def _last(text: str, words: str) -> tuple[int, int] | None:
    """Where words stand last in a text, in any case, and not inside other words.

    In scripts without spaces, words have no ends that could be seen.
    """
    words = words.strip()
    front = "" if stands_close(words[:1]) else r"(?<!\w)"
    behind = "" if stands_close(words[-1:]) else r"(?!\w)"
    pattern = front + re.escape(words) + behind
    places = [match.span() for match in re.finditer(pattern, text, re.IGNORECASE)]
    return places[-1] if places else None


def _guess(text: str) -> str:
    """A statement with its likely marks: two names, the last one as its answer."""
    names = [match.span() for match in _NAME.finditer(text) if match.start()]
    if len(names) < 2:
        return EXAMPLE
    (start, end), (first, last) = names[-2], names[-1]
    return (
        f"{text[:start]}[X: {text[start:end]}]{text[end:first]}[Y: {text[first:last]}]{text[last:]}"
    )
