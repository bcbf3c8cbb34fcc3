"""What a subject, an answer or a template may hold: the one rule for all who read or record them.

Whatever is recorded is published some day, and whatever is published is pulled by somebody. So the
same rule stands at both ends: a field is text on one line, of a sensible length, without control
characters. Marks of the reading direction and joiners may stand in it, for names in Arabic, Hebrew
or Persian need them; what shows a field escapes those that could mislead. A template may have line
breaks and tabs.
"""

from __future__ import annotations

import unicodedata

from kn_edit.errors import BadField, EmptyField

MOST_LETTERS = {
    "relation": 1_000,
    "subject": 1_000,
    "answer": 1_000,
    "new answer": 1_000,
    "alias": 1_000,
    "neighbour": 1_000,
    "template": 10_000,
    "message": 5_000,  # names relation, subject and both answers
}
MOST_ALIASES = 100  # of an answer
# Other names of a new answer, and of the answer today, as rows of files and records have them.
ALIAS_FIELDS = ("aliases", "answer_aliases")
_LINE_BREAKS = {"\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"}


def check_field(text: str, name: str) -> str:
    """The text, if it may stand in the field of this name; without the space around it.

    A template keeps that space: it is asked as it is written. name: one of MOST_LETTERS.
    Raises EmptyField, BadField.
    """
    most = MOST_LETTERS[name]
    if not isinstance(text, str):
        raise BadField(name, f"is not text but {type(text).__name__}", "write it in quotes")
    text = text if name == "template" else text.strip()
    if not text.strip():
        raise EmptyField(name)
    if len(text) > most:
        problem = f"is {len(text):,} letters long and kn-edit takes at most {most:,}"
        raise BadField(name, problem, "shorten it")
    allowed = "\n\t" if name == "template" else ""
    if text.isprintable():
        return text
    for letter in text:
        if letter not in allowed:
            _check_letter(letter, name)
    return text


def _check_letter(letter: str, name: str) -> None:
    """Raise BadField for a letter that no field may hold."""
    category, code = unicodedata.category(letter), f"U+{ord(letter):04X}"
    if category == "Cs":
        problem = "holds half of a surrogate pair, or bytes that are not UTF-8"
        raise BadField(name, problem, "write whole characters as UTF-8")
    if letter in _LINE_BREAKS:
        remedy = "write it as a plain newline" if name == "template" else "write it on one line"
        raise BadField(name, f"holds a line break ({code})", remedy)
    if letter == "\t":
        raise BadField(name, "holds a tab", "write a space in its place")
    if category == "Cc":
        raise BadField(name, f"holds a control character ({code})", "leave it out")
