"""Knowledge assessing: what a model answers to a fact's prompts."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kn_edit.facts import Prompt
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Chain

TOP = 5


@dataclass(frozen=True)
class Assessment:
    """How a model answers one prompt."""

    prompt: Prompt
    answer: str
    p: float  # of the whole answer: the product along its chain
    rank: int  # of the answer's tokens, the worst; 1 is first
    top: tuple[tuple[str, float], ...]  # the likeliest first tokens and their p

    @property
    def right(self) -> bool:
        return self.rank == 1

    @property
    def log_p(self) -> float:
        """log p(answer), kept finite where p is 0 in floating point."""
        return math.log(max(self.p, sys.float_info.min))


def accuracy(answers: Sequence[Assessment]) -> float | None:
    """The share of prompts whose answer is first; None where nothing was asked."""
    return fmean(one.right for one in answers) if answers else None


def perplexity_of(answers: Sequence[Assessment]) -> float:
    """exp of the mean of -log p(answer) over some prompts."""
    return math.exp(-fmean(one.log_p for one in answers))


def assess(model: Model, chains: Sequence[Chain], answer: str | None = None) -> list[Assessment]:
    """Assess prompts. The chains say which tokens answer, `answer` how to write them."""
    rows = log_p(model, [question for chain in chains for question in chain.questions])
    results = []
    for chain in chains:
        total, rank = 0.0, 1
        top: tuple[tuple[str, float], ...] = ()
        for number, question in enumerate(chain.questions):
            row = next(rows)
            own = row[question.token]
            total += float(own)
            rank = max(rank, 1 + int((row > own).sum()))
            if number == 0:
                values, tokens = row.topk(TOP)
                top = tuple(
                    (model.tokenizer.decode([token]), math.exp(value))
                    for token, value in zip(tokens.tolist(), values.tolist(), strict=True)
                )
        text = chain.prompt.fact.answer if answer is None else answer
        results.append(Assessment(chain.prompt, text, math.exp(total), rank, top))
    return results
