"""Knowledge assessing: what a model answers to a fact's prompts."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
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
    forced: float = 0.0  # share of the answer's tokens that are first, those before them fed in

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
    """Say which prompt does not get its answer, on which token, and what comes instead.

    Empty where the answer is right, or NaN.
    """
    miss = answer.miss
    if miss is None:
        return ""
    prompt = shortened(answer.prompt.cloze, MOST_PROMPT)
    wanted, instead = trimmed_tokens(miss.wanted, miss.instead)
    place = f"token {miss.place} of {miss.of}" if miss.of > 1 else "the answer"
    return f"on {prompt!r} {place} should be {wanted!r}, and {instead!r} comes"


def trimmed_tokens(first: str, second: str) -> tuple[str, str]:
    """Strip the spaces around two tokens, unless they then read the same or empty."""
    bare = first.strip(), second.strip()
    return bare if all(bare) and bare[0] != bare[1] else (first, second)


def accuracy(answers: Sequence[Assessment]) -> float | None:
    """The share of prompts whose answer is first; None where nothing was asked."""
    return fmean(answer.right for answer in answers) if answers else None


def perplexity_of(answers: Sequence[Assessment]) -> float:
    """exp of the mean of -log p(answer) over some prompts."""
    return math.exp(-fmean(answer.log_p for answer in answers))


@dataclass(frozen=True)
class Asked:
    """Prompts to be assessed: the chains say which tokens answer, `answer` how to write them.

    says: find out too what the model says. Where its answer is right, or is one token, that takes
    no further run of the model; else as many as the longest answer has tokens left, for all
    prompts together
    """

    chains: Sequence[Chain]
    answer: str | None = None
    says: bool = False


def assess(
    model: Model,
    chains: Sequence[Chain],
    answer: str | None = None,
    *,
    finite: bool = True,
    says: bool = False,
) -> list[Assessment]:
    """Assess prompts: see `Asked`.

    finite: raise NotFinite where the model's answer is NaN; else its Assessment says so, in which
    the rank is the size of the vocabulary: NaN is never right
    """
    return assess_together(model, [Asked(chains, answer, says)], finite=finite)[0]


def assess_together(
    model: Model, groups: Sequence[Asked], *, finite: bool = True
) -> list[list[Assessment]]:
    """Assess groups of prompts in one run, in which a text that several ask about runs once.

    finite: as in `assess`
    """
    questions = [q for group in groups for chain in group.chains for q in chain.questions]
    rows = log_p(model, questions, finite=finite)
    assessed = [_assessed_group(model, group, rows, finite=finite) for group in groups]
    saying = [texts for group, (_, texts) in zip(groups, assessed, strict=True) if group.says]
    go_on(model, [text for texts in saying for text in texts], finite=finite)
    return [
        [_with_what_is_said(model, *pair) for pair in zip(results, texts, strict=True)]
        if group.says
        else results
        for group, (results, texts) in zip(groups, assessed, strict=True)
    ]


def _assessed_group(
    model: Model, group: Asked, rows: Iterator[Tensor], *, finite: bool
) -> tuple[list[Assessment], list[Continuation]]:
    """Assess a group; and what it says to each prompt, as far as its rows show.

    rows: log-probabilities of its questions come next, (vocabulary,) each
    """
    results, texts = [], []
    for chain in group.chains:
        chain_rows = [next(rows) for _ in chain.questions]
        text = chain.prompt.fact.answer if group.answer is None else group.answer
        if finite or not any(map(is_nan, chain_rows)):
            results.append(_assessed(model, chain, text, chain_rows))
        else:
            worst = len(chain_rows[0])
            results.append(
                Assessment(
                    prompt=chain.prompt, answer=text, p=math.nan, rank=worst, top=NOT_A_NUMBER
                )
            )
        texts.append(_forced_continuation(chain, chain_rows))
    return results, texts


def _with_what_is_said(model: Model, result: Assessment, text: Continuation) -> Assessment:
    if not text.tokens:
        return replace(result, says=NOT_A_NUMBER[0][0])
    return replace(result, says=words_of(model, text.tokens), says_p=math.exp(text.log_p))


def _assessed(model: Model, chain: Chain, text: str, rows: Sequence[Tensor]) -> Assessment:
    """Assess one prompt. rows: log-probabilities for each token of the answer, (vocabulary,)"""
    total, rank, first = 0.0, 1, 0
    miss: Miss | None = None
    answer_tokens = [question.token for question in chain.questions]
    for place, (row, question) in enumerate(zip(rows, chain.questions, strict=True), 1):
        answer_log_p = row[question.token]
        total += float(answer_log_p)
        better = _ahead(row, question.token)
        rank = max(rank, 1 + better)
        first += not better
        if better and miss is None:
            wanted = _letters(model, answer_tokens, place - 1)
            instead = model.tokenizer.decode([int(row.argmax())])
            miss = Miss(place=place, of=len(rows), wanted=wanted, instead=instead)
    values, tokens = rows[0].topk(min(TOP, len(rows[0])))
    top = tuple(
        (model.tokenizer.decode([token]), math.exp(value))
        for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
    )
    return Assessment(
        prompt=chain.prompt,
        answer=text,
        p=math.exp(total),
        rank=rank,
        top=top,
        miss=miss,
        forced=first / len(rows),
    )


def _ahead(row: Tensor, token: int) -> int:
    """Count the tokens that a model says rather than `token`: of equals, it says the first."""
    value = row[token]
    return int((row > value).sum()) + int((row[:token] == value).sum())


def _letters(model: Model, tokens: Sequence[int], index: int) -> str:
    """What a token says; where it is a part of a letter, the letter, with the tokens beside it."""
    single = str(model.tokenizer.decode([tokens[index]]))
    for width in range(2, MOST_PARTS + 1):
        if UNFINISHED not in single:
            break
        starts = range(max(0, index - width + 1), min(index, len(tokens) - width) + 1)
        texts = [
            str(model.tokenizer.decode(list(tokens[start : start + width]))) for start in starts
        ]
        single = next((text for text in texts if UNFINISHED not in text), single)
    return single


def _forced_continuation(chain: Chain, rows: Sequence[Tensor]) -> Continuation:
    """What a model says as far as the rows of the answer show: up to the first other token."""
    continuation = Continuation(chain.questions[0], len(chain.questions))
    for row, question in zip(rows, chain.questions, strict=True):
        answer_log_p = row[question.token]
        if is_nan(row):
            continuation.over = True
            break
        right = _ahead(row, question.token) == 0
        continuation.tokens.append(question.token if right else int(row.argmax()))
        continuation.log_p += float(answer_log_p if right else row.max())
        if not right:
            break
    return continuation
