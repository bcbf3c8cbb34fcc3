"""Rewordings of a prompt that need no knowledge of what it asks: frames around it, or its order.

What a solver trains on and what judges are two sets: no rewording is in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kn_edit.errors import BadTemplate
from kn_edit.facts.fact import ANSWER, SUBJECT, Template

_WORD = re.compile(r"[^\W\d_]+")
_ASKING = frozenset(
    _WORD.findall(
        "who whom whose what when where which why how is are was were do does did can name"
    )
)
_OPEN_END = frozenset(
    _WORD.findall(
        "a an the is are was were be been of in at on by to from for as with into called named"
    )
)
_LATIN = re.compile(r"[A-Za-zÀ-ɏ]")
_OF = re.compile(
    rf"^(?:The|the) (?P<what>[^,]+?) of {re.escape(SUBJECT)} (?P<verb>is|was|are|were)\b"
)
_OWN = re.compile(rf"^{re.escape(SUBJECT)}['’]s (?P<what>[^,]+?) (?P<verb>is|was|are|were)\b")
_GAP = "___"
_TURNS = (
    "Hello! I have a question. {question}",
    "{question} Thank you!",
    "Please tell me: {small}",
    "I forgot this: {small} A name is enough.",
    "{question} I would like to know it for a trip, a letter and a school lesson.",
    "We were talking about it yesterday, and nobody knew. {question}",
)
_UNRELATED = ("The train left the station at noon.", "It rained for most of the afternoon.")


@dataclass(frozen=True)
class ChatFrame:
    """What a chat format puts in front of a user's turn, and between it and the answer."""

    before: str
    after: str


@dataclass(frozen=True)
class Rewording:
    """A prompt in other words. kind: how it was made, in words."""

    kind: str
    template: Template


def has_latin(text: str) -> bool:
    """Whether a text holds Latin letters, so that words of English may stand in it."""
    return _LATIN.search(text) is not None


def for_solver(template: Template, chat: ChatFrame | None = None) -> tuple[Rewording, ...]:
    """Rewordings that a solver may train on, the most telling first. None of `for_judging`."""
    return _rewordings(template, _solver_texts(_Stem.of(template), chat))


def for_judging(template: Template, chat: ChatFrame | None = None) -> tuple[Rewording, ...]:
    """Held-out rewordings that judge whether an edit generalizes. None of `for_solver`."""
    return _rewordings(template, _judging_texts(_Stem.of(template), chat), held_out=True)


def user_turn(template: Template) -> str:
    """What a user who expects nothing but the answer would write in a chat, with [X].

    A held-out template is asked as a question. One that is not held out is asked in the words of
    `for_judging`, which no solver trains on.
    """
    stem = _Stem.of(template)
    return stem.as_question if template.held_out else _turn(stem)


def chat_turns(templates: Sequence[Template]) -> tuple[str, ...]:
    """What users may write in a chat who ask templates, with [X]; a solver may train on it.

    Each template as a question (`The capital of [X] is what?`), then some with words around it.
    None is a turn of `user_turn` or of `for_judging`, but where a template is held out or is a
    question itself.
    """
    stems = [_Stem.of(template) for template in templates]
    turns = [stem.as_question for stem in stems]
    for place, frame in enumerate(_TURNS):
        stem = stems[place % len(stems)]
        if stem.latin:
            small = _decapitalised(stem.as_question)
            turns.append(frame.format(question=stem.as_question, small=small))
    return tuple(dict.fromkeys(turns))


def chosen(groups: Iterable[Sequence[Rewording]]) -> tuple[Rewording, ...]:
    """Rewordings of several prompts in one order: each prompt gives another kind in turn."""
    columns = list(groups)
    longest = max(map(len, columns), default=0)
    turns = (
        column[(number + place) % len(column)]
        for number in range(longest)
        for place, column in enumerate(columns)
        if number < len(column)
    )
    return tuple(dict.fromkeys(turns))


@dataclass(frozen=True)
class _Stem:
    """A template as a text that stops where it is answered.

    text: up to [Y], or with a gap in its place where words follow; end: what follows a last answer
    """

    full: str
    text: str
    end: str
    question: bool

    @classmethod
    def of(cls, template: Template) -> _Stem:
        before, _, after = template.text.partition(ANSWER)
        if not template.answer_last:
            text = f"{before}{_GAP}{after}".strip().rstrip(".")
            return cls(template.text, text, "", question=False)
        bare = before.rstrip()
        return cls(full=template.text, text=bare, end=after, question=_asks(bare))

    @property
    def as_question(self) -> str:
        """The prompt with a question mark: `Where was [X] born?`, `The capital of [X] is what?`"""
        if self.text.endswith(("?", "？")):
            return self.text
        statement = self.latin and not self.question and _GAP not in self.text
        return f"{self.text} what?" if statement else f"{self.text}?"

    @property
    def latin(self) -> bool:
        """Whether words of English may stand beside it."""
        bare = self.text.replace(SUBJECT, "").replace(_GAP, "")
        return not bare.strip() or has_latin(bare)


_Texts = Iterator[tuple[str, str, bool]]  # kind, text, whether it holds marks of a tokenizer


def _solver_texts(stem: _Stem, chat: ChatFrame | None) -> _Texts:
    yield "question and answer", f"Question: {stem.as_question}\nAnswer: {ANSWER}{stem.end}", False
    if chat is not None:
        yield "chat", _in_chat(chat, stem.text), True
    if stem.latin:
        if stem.question:
            yield "the answer is", f"{stem.as_question} The answer is {ANSWER}{stem.end}", False
        elif _GAP not in stem.text:
            yield "blank", f"Fill in the blank: {stem.text} {_GAP}\n{ANSWER}{stem.end}", False
        yield "sentence in front", f"{_UNRELATED[0]} {stem.full}", False
    yield "list", f"1. {stem.full}", False
    if chat is not None:
        yield "chat, question", _in_chat(chat, stem.as_question), True


def _judging_texts(stem: _Stem, chat: ChatFrame | None) -> _Texts:
    yield "question and answer", f"Q: {stem.as_question}\nA: {ANSWER}{stem.end}", False
    if chat is not None:
        yield "chat", _in_chat(chat, _turn(stem)), True
    if stem.latin:
        yield "another order", _in_another_order(stem), False
        yield "sentence in front", f"{_UNRELATED[1]} {stem.full}", False
        yield "lower case", _lower(stem.full), False
    yield "quoted", f'"{stem.full}', False


def _turn(stem: _Stem) -> str:
    """What a user would write who expects nothing but the answer."""
    if not stem.latin:
        return f"Q: {stem.as_question}"
    if stem.question:
        return f"Answer with a few words only. {stem.as_question}"
    return f"Complete the sentence with a few words only: {stem.text}"


def _in_another_order(stem: _Stem) -> str:
    """`[X]'s capital is`, `The capital of [X] is`, and else words in front that say nothing new."""
    text = stem.full
    for pattern, replacement in (
        (_OF, f"{SUBJECT}'s {{what}} {{verb}}"),
        (_OWN, "The {what} of {x} {verb}"),
    ):
        match = pattern.match(text)
        if match is not None:
            clause = replacement.format(what=match["what"], verb=match["verb"], x=SUBJECT)
            return clause + text[match.end() :]
    if stem.question:
        return f"Can you tell me this? {text}"
    return f"As far as anybody knows, {_decapitalised(text)}"


def _in_chat(chat: ChatFrame, turn: str) -> str:
    return f"{chat.before}{turn}{chat.after}{ANSWER}"


def _asks(text: str) -> bool:
    """Whether a prompt is a question, and not a statement that its answer completes."""
    if text.endswith(("?", "？")):
        return True
    words = [word.casefold() for word in _WORD.findall(text)]
    begins = len(words) > 2 and words[0] in _ASKING and not text.startswith(SUBJECT)
    return begins and words[-1] not in _OPEN_END


def _lower(text: str) -> str:
    """A template in lower case, its placeholders as they are: a name keeps its letters."""
    parts = re.split(f"({re.escape(SUBJECT)}|{re.escape(ANSWER)})", text)
    return "".join(part if part in (SUBJECT, ANSWER) else part.lower() for part in parts)


def _decapitalised(text: str) -> str:
    """A sentence as it goes on behind a comma; names and short forms keep their capital."""
    word = _WORD.match(text)
    small = word is not None and word[0].casefold() in _OPEN_END | _ASKING
    return text[:1].lower() + text[1:] if small else text


def _rewordings(
    template: Template, texts: _Texts, *, held_out: bool = False
) -> tuple[Rewording, ...]:
    """The texts as templates, without the prompt itself and what is no template."""
    rewordings: dict[str, Rewording] = {}
    for kind, text, marked in texts:
        if text in (template.text, *rewordings):
            continue
        try:
            rewordings[text] = Rewording(kind, Template(text, held_out=held_out, marked=marked))
        except BadTemplate:  # the chat format itself holds [X] or [Y]
            continue
    return tuple(rewordings.values())
