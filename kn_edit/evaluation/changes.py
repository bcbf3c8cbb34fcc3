"""Which answers of others an edit changed, and from which token on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kn_edit.facts import Prompt
from kn_edit.models.greedy import Answer, words_of
from kn_edit.models.model import Model
from kn_edit.models.predict import NO_TOKEN
from kn_edit.neurons.assess import MOST_PROMPT, trimmed_tokens
from kn_edit.safetext import shortened


@dataclass(frozen=True)
class Change:
    """An answer that is not what it was."""

    prompt: Prompt
    place: int  # of the first token that differs, from 1
    of: int  # tokens of the answer
    was: str
    now: str
    before: str  # the whole answer, and what comes along its tokens now
    after: str

    def __str__(self) -> str:
        prompt = shortened(self.prompt.cloze, MOST_PROMPT)
        place = f"token {self.place} of {self.of}" if self.of > 1 else "the answer"
        was, now = trimmed_tokens(self.was, self.now)
        return f"on {prompt!r} {place} was {was!r}, and {now!r} comes"


def changes(
    model: Model, prompts: Sequence[Prompt], before: Sequence[Answer], after: Sequence[Answer]
) -> tuple[Change, ...]:
    """The answers of two readings of the same prompts that differ."""
    return tuple(
        _change(model, prompt, old.says, new.says)
        for prompt, old, new in zip(prompts, before, after, strict=True)
        if old.says != new.says
    )


def _change(model: Model, prompt: Prompt, before: Sequence[int], after: Sequence[int]) -> Change:
    pairs = zip(before, after, strict=False)
    shorter = min(len(before), len(after))
    place = next((place for place, (old, new) in enumerate(pairs) if old != new), shorter)
    return Change(
        prompt=prompt,
        place=place + 1,
        of=len(before),
        was=_token(model, before[place : place + 1]),
        now=_token(model, after[place : place + 1]),
        before=_words(model, before),
        after=_words(model, after[: place + 1]),
    )


def _token(model: Model, tokens: Sequence[int]) -> str:
    return "NaN" if NO_TOKEN in tokens else str(model.tokenizer.decode(list(tokens)))


def _words(model: Model, tokens: Sequence[int]) -> str:
    return "NaN" if NO_TOKEN in tokens else words_of(model, tokens)
