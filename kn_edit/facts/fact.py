"""A fact `<h, r, t>`, and the sentences that ask a model for it."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from kn_edit.errors import BadTemplate, EmptyField
from kn_edit.facts.document import Place

SUBJECT = "[X]"
ANSWER = "[Y]"

_WORD = re.compile(r"\w")


def same_answer(first: str, second: str) -> bool:
    """Whether two answers differ in nothing but case and the space around them."""
    return first.strip().casefold() == second.strip().casefold()


@dataclass(frozen=True)
class Fact:
    """`<subject, relation, answer>`.

    An empty answer means that nobody stated one: what the model says today is what counts. Only
    neighbours of an edit may be so. Raises EmptyField for an empty subject.
    """

    relation: str
    subject: str
    answer: str
    place: Place | None = field(default=None, compare=False, repr=False)  # where it was read

    def __post_init__(self) -> None:
        if not self.subject.strip():
            raise EmptyField("subject")

    @property
    def stated(self) -> bool:
        return bool(self.answer.strip())

    def located(self) -> AbstractContextManager[None]:
        """Tell of what is wrong with the fact inside by the file and line that it is from."""
        return self.place.located() if self.place else nullcontext()

    def __str__(self) -> str:
        return f"{self.relation}({self.subject}) = {self.answer or '?'}"


@dataclass(frozen=True)
class Template:
    """A sentence in ParaRel form, such as `The capital of [X] is the city of [Y].`

    Held-out templates only measure how an edit generalizes; none of the solving sees them.
    Raises BadTemplate unless each placeholder stands there once.

    marked: it holds marks of a tokenizer on purpose, as a chat format does; elsewhere they are
    refused. about: the one subject that a held-out template speaks of, where it does so in other
    words than its name. Such a template has no [X], and is asked of no other subject.
    """

    text: str
    held_out: bool = False
    marked: bool = False
    about: str = ""

    def __post_init__(self) -> None:
        for placeholder in (SUBJECT, ANSWER):
            count = self.text.count(placeholder)
            if self.about and placeholder == SUBJECT:
                if count or not self.held_out:
                    raise BadTemplate(self.text, f"is held out for {self.about!r} alone")
            elif count == 0:
                raise BadTemplate(self.text, f"has no {placeholder}")
            if count > 1:
                raise BadTemplate(self.text, f"has {placeholder} {count} times")

    @property
    def answer_last(self) -> bool:
        """True where only punctuation follows [Y], so that a causal LM can be asked."""
        return _WORD.search(self.text.partition(ANSWER)[2]) is None


@dataclass(frozen=True)
class Prompt:
    """One template asked of one fact."""

    fact: Fact
    template: Template

    @property
    def before(self) -> str:
        """The text up to [Y], spaces included, with the subject in its place."""
        return self._side(0)

    @property
    def after(self) -> str:
        """The text that follows [Y], with the subject in its place."""
        return self._side(2)

    @property
    def cloze(self) -> str:
        """The sentence with its gap, to show: `The capital of France is the city of [Y].`"""
        return f"{self.before}{ANSWER}{self.after}"

    def _side(self, side: int) -> str:
        # Split first: a subject may itself hold the text [Y].
        return self.template.text.partition(ANSWER)[side].replace(SUBJECT, self.fact.subject)

    def __str__(self) -> str:
        return self.cloze
