"""How long an update will take on this machine: its steps are counted, one of them is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kn_edit.editing.method import Cost
from kn_edit.facts import neutral_sentences
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Chain, Question

TEXTS, TOKENS = 6, 12  # of what is timed


@dataclass(frozen=True)
class Part:
    """A part of some work: what it tells of itself begins with `name`."""

    name: str
    seconds: float
    steps: int = 0  # that it usually takes; 0 where it counts none


@dataclass(frozen=True)
class Forecast:
    """How long some work will take, by its parts in order."""

    parts: tuple[Part, ...]

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)


def update_forecast(
    model: Model,
    chains: Sequence[Chain],
    cost: Cost,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Forecast:
    """How long an update of one fact will take. The model is run twice, over a few short texts.

    chains: the fact's prompts, asked for the new answer; cost: of the method. Raises NotFinite.
    """
    token = seconds_per_token(model, clock)
    lengths = [len(chain.questions[-1].ids) for chain in chains]
    step = (len(chains) + cost.rows) * (max(lengths) + cost.longer) * cost.step
    tokens = [
        ("asking", cost.asking, 0),
        ("locating", cost.locating * len(chains), 0),
        ("solving", cost.steps * step, cost.steps),
        ("measuring", cost.measuring + sum(lengths), 0),
    ]
    return Forecast(
        tuple(Part(name, token * count, steps) for name, count, steps in tokens if count)
    )


def seconds_per_token(model: Model, clock: Callable[[], float] = time.perf_counter) -> float:
    """How long the model runs forward for one token of a small batch. Raises NotFinite."""
    ids = [text_ids(model, text)[:TOKENS] for text in neutral_sentences()[:TEXTS]]
    questions = [Question(token_ids, len(token_ids) - 1, 0) for token_ids in ids if token_ids]
    if not questions:  # the tokenizer knows none of the words
        return 0.0
    list(log_p(model, questions[:1]))  # the first run of a program is slower
    start = clock()
    list(log_p(model, questions))
    return (clock() - start) / sum(len(question.ids) for question in questions)
