"""A prompt in words that somebody else might choose: some left out, others put in their place."""

from __future__ import annotations

import re
from random import Random

from kn_edit.errors import BadTemplate
from kn_edit.facts.fact import ANSWER, SUBJECT, Template
from kn_edit.facts.paraphrases import has_latin

LEFT = 0.6  # chance of each word to stay
EXCHANGED = 0.5  # of one that goes, to leave another in its place
PUT_IN = 0.12  # chance of another word in front of each
MOVED = 0.4  # chance that a question's subject stands elsewhere among them
STAYING = 2  # words before a statement's answer, which say what is asked
TRIES = 4  # for each that is wanted
_WORD_START = re.compile(r"(?<![\w'’])[^\W\d_]")
# Words that stand in many questions and say nothing of what is asked.
_COMMON = tuple(
    re.findall(
        r"\w+",
        "what which who where when can be found is was the of in does do did known as called "
        "specifically for by from has been to this that named said given",
    )
)


def varied_templates(template: Template, count: int, draw: Random) -> tuple[Template, ...]:
    """Draw at most `count` templates with the subject and a part of the words around it.

    Other words stand between them where the prompt is in Latin letters. The end of a statement
    stays, and a question mark. Fewer where there are few words; none where the template does not
    end with its answer.
    """
    before, _, after = template.text.partition(ANSWER)
    if not template.answer_last or SUBJECT not in before:
        return ()
    bare = before.rstrip()
    question = bare.endswith("?")
    first, _, last = bare.rstrip("?").partition(SUBJECT)
    words = _Words(draw, has_latin(first + last))
    templates: dict[str, Template] = {}
    for _ in range(count * TRIES):
        if len(templates) == count:
            break
        prompt = words.question(first, last) if question else words.statement(first, last)
        text = f"{prompt}{'?' if question else ''} {ANSWER}{after}"
        if text not in (template.text, *templates):
            try:
                templates[text] = Template(text)
            except BadTemplate:  # a second [X] in the user's words
                continue
    return tuple(templates.values())


def in_other_case(name: str) -> str:
    """A name as somebody else may type it: in small letters, or with capitals where it has none.

    The name itself where its letters know no case.
    """
    small = name.lower()
    return small if small != name else _WORD_START.sub(lambda match: match[0].upper(), name)


class _Words:
    """Draws words. others: whether words of English may be among them."""

    def __init__(self, draw: Random, english: bool) -> None:
        self._draw, self._english = draw, english

    def question(self, first: str, last: str) -> str:
        before, after = self._mixed(first.split()), self._mixed(last.split())
        if self._draw.random() < MOVED:
            before, after = (after, before) if self._draw.random() < 0.5 else (before + after, [])
        return " ".join((*before, SUBJECT, *after))

    def statement(self, first: str, last: str) -> str:
        """What stands behind the subject ends as it did; what stands before it may go."""
        words = last.split()
        right = [*self._mixed(words[:-STAYING]), *words[-STAYING:]]
        joint = "" if last[:1].strip() else " "  # [X]'s, [X]は
        ending = " ".join(right)
        return " ".join((*self._mixed(first.split()), SUBJECT)) + (joint + ending if ending else "")

    def _mixed(self, words: list[str]) -> list[str]:
        mixed: list[str] = []
        for word in words:
            if self._english and self._draw.random() < PUT_IN:
                mixed.append(self._draw.choice(_COMMON))
            if self._draw.random() < LEFT:
                mixed.append(word)
            elif self._english and self._draw.random() < EXCHANGED:
                mixed.append(self._draw.choice(_COMMON))
        return mixed
