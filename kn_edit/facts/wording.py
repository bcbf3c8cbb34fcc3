"""Templates out of the prompts of benchmarks, which are whole sentences that stop at the answer."""

from __future__ import annotations

import unicodedata

from kn_edit.facts.document import Place
from kn_edit.facts.fact import ANSWER, SUBJECT, Fact, Prompt, Template
from kn_edit.facts.source import PIPE, is_pipe
from kn_edit.safetext import escaped

_NO_SPACE = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "FULLWIDTH", "THAI", "LAO", "KHMER")
_OPENING = ("Ps", "Pi", "Sc")  # Unicode categories of brackets and quotes that open, of $ and €


def relation_name(row: Place) -> str:
    """The name of a relation that a row does not name: that of its file."""
    return PIPE if is_pipe(row.path) else escaped(row.path.stem)


def with_answer(text: str) -> str:
    """A prompt with the place of its answer behind it, as its script writes it."""
    return text + ("" if stands_close(text[-1:]) else " ") + ANSWER


def template_of(prompt: Place, subject: str, *, held_out: bool = False) -> Template | None:
    """A prompt with [X] at its last mention of the subject, in any case; None where it has none."""
    text = prompt.field("template")
    start = text.rfind(subject)
    if start < 0:
        folded, wanted = text.casefold(), subject.casefold()
        start = folded.rfind(wanted) if len(folded) == len(text) else -1
    if start < 0:
        return None
    with prompt.located():
        marked_text = text[:start] + SUBJECT + text[start + len(subject) :]
        return Template(with_answer(marked_text), held_out)


def rephrased_template(prompt: Place, subject: str) -> Template:
    """A held-out template of a prompt that speaks of a subject, in its own words or in others."""
    if subject in prompt.field("template"):
        template = template_of(prompt, subject, held_out=True)
        assert template is not None
        return template
    with prompt.located():
        return Template(with_answer(prompt.field("template")), held_out=True, about=subject)


def braced_template(prompt: Place) -> Template | None:
    """A prompt with [X] where it has {} for its subject; None where it has none, or several."""
    text = prompt.field("template")
    if text.count("{}") != 1:
        return None
    with prompt.located():
        return Template(with_answer(text.replace("{}", SUBJECT)))


def whole_prompt(relation: str, prompt: Place, answer: str = "") -> Prompt:
    """A prompt of which nobody says which words are its subject: all of it stands for that."""
    text = prompt.field("template")
    return Prompt(Fact(relation, text, answer), whole_template(text))


def whole_template(text: str) -> Template:
    """The template of a prompt whose subject is all of it."""
    space = with_answer(text)[len(text) : -len(ANSWER)]
    return Template(f"{SUBJECT}{space}{ANSWER}")


def stands_close(letter: str) -> bool:
    """Whether an answer follows a letter without a space."""
    if not letter or letter.isspace() or unicodedata.category(letter) in _OPENING:
        return True
    return unicodedata.name(letter, "").startswith(_NO_SPACE)
