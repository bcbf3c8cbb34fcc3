"""Knowledge assessing: what a model answers to a fact's prompts."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from torch import Tensor

from kn_edit.facts import Prompt
from kn_edit.models.greedy import Continuation, go_on, words_of
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan, log_p
from kn_edit.models.questions import Chain
from kn_edit.safetext import shortened

TOP = 5
UNFINISHED = "\ufffd"  # in place of a letter of which some bytes are missing
MOST_PARTS = 4  # tokens of a letter; UTF-8 has four bytes at most
MOST_PROMPT = 120  # characters of a prompt in a sentence
NOT_A_NUMBER = (("NaN", math.nan),)  # in place of the likeliest tokens


@dataclass(frozen=True)
class Miss:
    """The first token of an answer that the model does not say."""

    place: int  # of the token in the answer, from 1
    of: int  # tokens of the answer
    wanted: str
    instead: str  # the likeliest token there


@dataclass(frozen=True)
class Assessment:
    """How a model answers one prompt."""

    prompt: Prompt
    answer: str
    p: float  # of the whole answer: the product along its chain
    rank: int  # of the answer's tokens, the worst; 1 is first
    top: tuple[tuple[str, float], ...]  # the likeliest first tokens and their p
    miss: Miss | None = None  # None where every token of the answer is first, or NaN
    says: str = ""  # greedily, as many tokens as the answer has; empty where nobody asked for it
    says_p: float = math.nan  # of what it says

    @property
    def finite(self) -> bool:
        """Whether the answer is numbers. Where it is NaN, p is too, and the rank is the worst."""
        return math.isfinite(self.p)

    @property
    def right(self) -> bool:
        return self.finite and self.rank == 1

    @property
    def log_p(self) -> float:
        """log p(answer), kept finite where p is 0 in floating point, or no number."""
        least = sys.float_info.min
        return math.log(self.p if self.p > least else least)


def missed(answer: Assessment) -> str:
    """Which prompt does not get its answer, on which token of it, and what comes instead.

    Empty where the answer is right, or NaN.
    """
    miss = answer.miss
    if miss is None:
        return ""
    prompt = shortened(answer.prompt.cloze, MOST_PROMPT)
    wanted, instead = apart(miss.wanted, miss.instead)
    place = f"token {miss.place} of {miss.of}" if miss.of > 1 else "the answer"
    return f"on {prompt!r} {place} should be {wanted!r}, and {instead!r} comes"


def apart(token: str, other: str) -> tuple[str, str]:
    """Two tokens without the spaces around them, where these alone do not tell them apart."""
    bare = token.strip(), other.strip()
    return bare if all(bare) and bare[0] != bare[1] else (token, other)


def accuracy(answers: Sequence[Assessment]) -> float | None:
    """The share of prompts whose answer is first; None where nothing was asked."""
    return fmean(one.right for one in answers) if answers else None


def perplexity_of(answers: Sequence[Assessment]) -> float:
    """exp of the mean of -log p(answer) over some prompts."""
    return math.exp(-fmean(one.log_p for one in answers))


def assess(
    model: Model,
    chains: Sequence[Chain],
    answer: str | None = None,
    *,
    finite: bool = True,
    says: bool = False,
) -> list[Assessment]:
    """Assess prompts. The chains say which tokens answer, `answer` how to write them.

    finite: raise NotFinite where the model's answer is NaN; else its Assessment says so, in which
    the rank is the size of the vocabulary: NaN is never right
    says: find out too what the model says. Where its answer is right, or is one token, that takes
    no further run of the model; else as many as the longest answer has tokens left, for all
    prompts together
    """
    questions = [question for chain in chains for question in chain.questions]
    rows = log_p(model, questions, finite=finite)
    results, texts = [], []
    for chain in chains:
        own = [next(rows) for _ in chain.questions]
        text = chain.prompt.fact.answer if answer is None else answer
        if finite or not any(map(is_nan, own)):
            results.append(_assessed(model, chain, text, own))
        else:
            results.append(Assessment(chain.prompt, text, math.nan, len(own[0]), NOT_A_NUMBER))
        texts.append(_spoken(chain, own))
    if not says:
        return results
    go_on(model, texts, finite=finite)
    return [
        replace(result, says=words_of(model, text.tokens), says_p=math.exp(text.log_p))
        if text.tokens
        else replace(result, says=NOT_A_NUMBER[0][0])
        for result, text in zip(results, texts, strict=True)
    ]


def _assessed(model: Model, chain: Chain, text: str, rows: Sequence[Tensor]) -> Assessment:
    """Assess one prompt. rows: log-probabilities for each token of the answer, (vocabulary,)"""
    total, rank = 0.0, 1
    miss: Miss | None = None
    for place, (row, question) in enumerate(zip(rows, chain.questions, strict=True), 1):
        own = row[question.token]
        total += float(own)
        better = _ahead(row, question.token)
        rank = max(rank, 1 + better)
        if better and miss is None:
            wanted = _letters(model, [one.token for one in chain.questions], place - 1)
            instead = model.tokenizer.decode([int(row.argmax())])
            miss = Miss(place, len(rows), wanted, instead)
    values, tokens = rows[0].topk(min(TOP, len(rows[0])))
    top = tuple(
        (model.tokenizer.decode([token]), math.exp(value))
        for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
    )
    return Assessment(chain.prompt, text, math.exp(total), rank, top, miss)


def _ahead(row: Tensor, token: int) -> int:
    """How many tokens a model says rather than this one: of equals, it says the first."""
    own = row[token]
    return int((row > own).sum()) + int((row[:token] == own).sum())


def _letters(model: Model, tokens: Sequence[int], at: int) -> str:
    """What a token says; where it is a part of a letter, the letter, with the tokens beside it."""
    single = str(model.tokenizer.decode([tokens[at]]))
    for width in range(2, MOST_PARTS + 1):
        if UNFINISHED not in single:
            break
        starts = range(max(0, at - width + 1), min(at, len(tokens) - width) + 1)
        texts = [str(model.tokenizer.decode(list(tokens[one : one + width]))) for one in starts]
        single = next((text for text in texts if UNFINISHED not in text), single)
    return single


def _spoken(chain: Chain, rows: Sequence[Tensor]) -> Continuation:
    """What a model says as far as the answer's own rows show it: up to the first other token."""
    said = Continuation(chain.questions[0], len(chain.questions))
    for row, question in zip(rows, chain.questions, strict=True):
        own = row[question.token]
        if is_nan(row):
            said.over = True
            break
        right = _ahead(row, question.token) == 0
        said.tokens.append(question.token if right else int(row.argmax()))
        said.log_p += float(own if right else row.max())
        if not right:
            break
    return said
