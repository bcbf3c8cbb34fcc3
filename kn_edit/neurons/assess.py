"""Knowledge assessing: what a model answers to a fact's prompts."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from kn_edit.facts import Prompt
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan, log_p
from kn_edit.models.questions import Chain

TOP = 5
NOT_A_NUMBER = (("NaN", math.nan),)  # in place of the likeliest tokens


@dataclass(frozen=True)
class Assessment:
    """How a model answers one prompt."""

    prompt: Prompt
    answer: str
    p: float  # of the whole answer: the product along its chain
    rank: int  # of the answer's tokens, the worst; 1 is first
    top: tuple[tuple[str, float], ...]  # the likeliest first tokens and their p

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


def accuracy(answers: Sequence[Assessment]) -> float | None:
    """The share of prompts whose answer is first; None where nothing was asked."""
    return fmean(one.right for one in answers) if answers else None


def perplexity_of(answers: Sequence[Assessment]) -> float:
    """exp of the mean of -log p(answer) over some prompts."""
    return math.exp(-fmean(one.log_p for one in answers))


def assess(
    model: Model, chains: Sequence[Chain], answer: str | None = None, *, finite: bool = True
) -> list[Assessment]:
    """Assess prompts. The chains say which tokens answer, `answer` how to write them.

    finite: raise NotFinite where the model's answer is NaN; else its Assessment says so, in which
    the rank is the size of the vocabulary: NaN is never right
    """
    questions = [question for chain in chains for question in chain.questions]
    rows = log_p(model, questions, finite=finite)
    results = []
    for chain in chains:
        own = [next(rows) for _ in chain.questions]
        text = chain.prompt.fact.answer if answer is None else answer
        if finite or not any(map(is_nan, own)):
            results.append(_assessed(model, chain, text, own))
        else:
            results.append(Assessment(chain.prompt, text, math.nan, len(own[0]), NOT_A_NUMBER))
    return results


def _assessed(model: Model, chain: Chain, text: str, rows: Sequence[Tensor]) -> Assessment:
    """Assess one prompt. rows: log-probabilities for each token of the answer, (vocabulary,)"""
    total, rank = 0.0, 1
    for row, question in zip(rows, chain.questions, strict=True):
        own = row[question.token]
        total += float(own)
        rank = max(rank, 1 + int((row > own).sum()))
    values, tokens = rows[0].topk(min(TOP, len(rows[0])))
    top = tuple(
        (model.tokenizer.decode([token]), math.exp(value))
        for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
    )
    return Assessment(chain.prompt, text, math.exp(total), rank, top)
