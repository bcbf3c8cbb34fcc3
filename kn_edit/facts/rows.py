"""The JSON values of a file one after the other: a list, a value a line, or values over lines.

Only the row in hand is decoded, so that neither its memory nor its nesting grows with the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from kn_edit.errors import BadFacts
from kn_edit.facts.document import Place
from kn_edit.facts.source import MOST_BYTES, read_source
from kn_edit.untrusted import MAX_DEPTH, MAX_VALUES, JsonProblem, nested_deeper, unique_members

MOST_ROW = 1 << 20  # bytes
MOST_ROWS = 50_000
MOST_DOCUMENT = 16 << 20  # bytes of a file that is one value, such as a relation pack

_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_SPACE = re.compile(rb"[ \t\r\n]*")
_WINDOWS = (1 << 16, MOST_ROW + 1)
_REMEDY = "correct the JSON there"


def read_rows(path: Path, raw: bytes) -> Iterator[Place]:
    """The rows of a text: the members of a list, or one JSON value after the other.

    Raises BadFacts, at the row that is wrong.
    """
    rows = _members(path, raw) if raw.lstrip()[:1] == b"[" else _lines(path, raw)
    for number, row in enumerate(rows):
        if number == MOST_ROWS:
            problem = f"there are more than {MOST_ROWS:,} rows"
            raise BadFacts(path, row.first_line, problem, "split the file")
        yield row


def read_document(path: Path, raw: bytes | None = None) -> Place:
    """The one JSON value of a file. raw: its bytes, if they were read. Raises as read_source."""
    raw = read_source(path, MOST_BYTES) if raw is None else raw
    if len(raw) > MOST_DOCUMENT:
        problem = f"one value of more than {MOST_DOCUMENT >> 20} MB"
        raise BadFacts(path, 1, problem, "split it, or write one fact a line")
    text = text_of(path, raw, 1)
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise BadFacts(path, 1, f"more than {MAX_VALUES:,} values", "split the file")
    return Place(path, text, _parsed(path, text, 1))


def _lines(path: Path, raw: bytes) -> Iterator[Place]:
    """A JSON value a line; where the first line is no value yet, values over several lines."""
    line, counted, number = 1, 0, 0
    for match in _LINE.finditer(raw):
        line += raw.count(b"\n", counted, match.start())
        counted, number = match.start(), number + 1
        if match.end() - match.start() > MOST_ROW:
            _refuse_long(path, line)
        text = text_of(path, match[0], line)
        try:
            value = _parsed(path, text, line)
        except BadFacts:
            if number == 1 and text.rstrip()[-1:] in "{[,:":  # it goes on in the next line
                yield from _values(path, raw, match.start(), line)
                return
            raise
        yield Place(path, text, value, first_line=line)


def _values(path: Path, raw: bytes, offset: int, line: int) -> Iterator[Place]:
    """JSON values one after the other, each over as many lines as it likes."""
    while offset < len(raw):
        row, offset, line = _next(path, raw, offset, line)
        yield row
        offset, line = _skipped(raw, offset, line)


def _members(path: Path, raw: bytes) -> Iterator[Place]:
    """The members of the list that a text is."""
    offset, line = _skipped(raw, 0, 1)
    offset, line = _skipped(raw, offset + 1, line)
    first = True
    while raw[offset : offset + 1] != b"]" or not first:
        row, offset, line = _next(path, raw, offset, line)
        yield row
        offset, line = _skipped(raw, offset, line)
        if raw[offset : offset + 1] == b"]":
            break
        if raw[offset : offset + 1] != b",":
            raise BadFacts(path, line, "not valid JSON (a comma or ] is missing)", _REMEDY)
        offset, line = _skipped(raw, offset + 1, line)
        first = False
    offset, line = _skipped(raw, offset + 1, line)
    if offset < len(raw):
        raise BadFacts(path, line, "something stands behind the end of the list", "take it out")


def _next(path: Path, raw: bytes, offset: int, line: int) -> tuple[Place, int, int]:
    """The value that begins at an offset, the offset behind it, and the line there.

    What is decoded is a window of the text, a larger one only where the value does not end in it.
    """
    for window in _WINDOWS:
        piece = raw[offset : offset + window]
        cut = offset + window < len(raw)
        text = text_of(path, piece, line, cut=cut)
        try:
            value, end = _DECODER.raw_decode(text)
        except json.JSONDecodeError as error:
            # Where a value was cut off, the decoder misses something at the very end.
            if not cut or (error.pos < len(text) - 8 and "Unterminated" not in error.msg):
                _refuse(path, error, line)
            continue
        except (ValueError, RecursionError) as error:
            _refuse(path, error, line)
        if cut and end == len(text):
            continue
        value_text = text[:end]
        _check_depth(path, value_text, value, line)
        row = Place(path, value_text, value, first_line=line)
        return row, offset + len(value_text.encode()), line + value_text.count("\n")
    _refuse_long(path, line)


def _parsed(path: Path, text: str, line: int) -> object:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        _refuse(path, error, line)
    _check_depth(path, text, value, line)
    return value


def _check_depth(path: Path, text: str, value: object, line: int) -> None:
    if text.count("[") + text.count("{") > MAX_DEPTH and nested_deeper(value, MAX_DEPTH):
        raise BadFacts(path, line, f"it is nested more than {MAX_DEPTH} deep", _REMEDY)


def _refuse(path: Path, error: Exception, first_line: int) -> NoReturn:
    """Raise what the decoder complains about as an error of its line."""
    if isinstance(error, json.JSONDecodeError):
        line = first_line + error.lineno - 1
        raise BadFacts(path, line, f"not valid JSON ({error.msg})", _REMEDY) from error
    if isinstance(error, RecursionError):
        problem = f"it is nested more than {MAX_DEPTH} deep"
    elif isinstance(error, JsonProblem):
        problem = str(error)
    else:
        problem = "a number has thousands of digits"
    raise BadFacts(path, first_line, problem, _REMEDY) from error


def _refuse_long(path: Path, line: int) -> NoReturn:
    problem = f"a row is longer than {MOST_ROW >> 20} MB"
    raise BadFacts(path, line, problem, "write each fact as a row of its own")


def text_of(path: Path, raw: bytes, line: int, *, cut: bool = False) -> str:
    """Bytes as text. cut: the last character may be there in part; it is left out.

    Raises BadFacts.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if cut and error.end >= len(raw) - 3 and error.reason == "unexpected end of data":
            return raw[: error.start].decode()
        line += raw.count(b"\n", 0, error.start)
        raise BadFacts(path, line, "the text is not UTF-8", "save the file as UTF-8") from error


def _skipped(raw: bytes, offset: int, line: int) -> tuple[int, int]:
    """The offset behind the white space there, and its line."""
    space = _SPACE.match(raw, offset)
    assert space is not None  # it matches nothing, too
    return space.end(), line + raw.count(b"\n", offset, space.end())


def _no_number(name: str) -> NoReturn:
    raise JsonProblem(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=unique_members, parse_constant=_no_number)
