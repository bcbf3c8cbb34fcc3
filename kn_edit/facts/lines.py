"""A text of statements, one a line: the shortest file of corrections.

    # who leads what
    The CEO of [X: Starbucks] is [Y: Brian Niccol].
    [X: Starbucks] is led by [Y: Brian Niccol].

    [X: The Hague] is governed by mayor [Y: Jan van Zanen].

Lines that follow each other and name the same subject and answer are wordings of one fact. Blank
lines, and lines that begin with #, say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from kn_edit.errors import BadFacts
from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact
from kn_edit.facts.jsonl import MOST_TEMPLATES
from kn_edit.facts.relation import Case, Relation
from kn_edit.facts.rows import MOST_ROW, MOST_ROWS, text_of
from kn_edit.facts.statement import (
    EXAMPLE,
    Statement,
    begins_with_mark,
    is_marked,
    read_statements,
)
from kn_edit.facts.wording import relation_name

_LINE = re.compile(rb"[^ \t\r\n][^\n]*")  # blank ones cost no step: a file may be full of them
Stated = tuple[Place, Statement]


def is_statements(raw: bytes) -> bool:
    """Whether the first line of a text that says something is a statement with marks."""
    for number, match in enumerate(_LINE.finditer(raw)):
        if number == MOST_ROWS:
            return True  # so many comments are no JSON; reading them as statements refuses them
        line = match[0][:MOST_ROW].decode(errors="replace").strip()
        if line and not line.startswith("#"):
            json = line.startswith("{") or (line.startswith("[") and not begins_with_mark(line))
            return not json and is_marked(line)
    return False


def statement_cases(path: Path, raw: bytes) -> tuple[Case, ...]:
    """The cases of a text of statements. Raises BadFacts."""
    groups = groupby(_stated(path, raw), lambda row: (row[1].subject, row[1].answer))
    return tuple(_case([*rows]) for _, rows in groups)


def _case(rows: list[Stated]) -> Case:
    """The case of lines that are wordings of one fact."""
    place, first = rows[0]
    name = relation_name(place)
    templates = tuple(
        dict.fromkeys(template for _, stated in rows for template in stated.templates)
    )
    if len(templates) > MOST_TEMPLATES:
        problem = f"more than {MOST_TEMPLATES:,} wordings of one fact"
        raise place.wrong(problem, "leave some of them out")
    fact = Fact(relation=name, subject=first.subject, answer="", place=place)
    return Case(Relation(name, templates, (fact,), unnamed=True), fact, first.answer or None)


def _stated(path: Path, raw: bytes) -> Iterator[Stated]:
    line, counted = 1, 0
    for number, match in enumerate(_LINE.finditer(raw)):
        line += raw.count(b"\n", counted, match.start())
        counted = match.start()
        if number == MOST_ROWS or match.end() - match.start() > MOST_ROW:
            raise BadFacts(path, line, "the file has too much text for one", "split the file")
        text = text_of(path, match[0], line).strip()
        if text and not text.startswith("#"):
            place = Place(path, text, text, first_line=line)
            if not is_marked(text):
                raise place.wrong("the line is no statement with marks", f"write it as {EXAMPLE!r}")
            with place.located():
                yield place, read_statements([text])
