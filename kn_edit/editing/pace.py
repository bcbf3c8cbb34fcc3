"""How long an update will take on this machine: its steps are counted, one of them is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kn_edit.facts import neutral_sentences
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Chain, Question

TEXTS, TOKENS = 6, 12  # of what is timed


@dataclass(frozen=True)
class Cost:
    """What a way to update runs, in tokens; counted on the demo model."""

    asking: int  # forward, before the solver begins
    locating: int  # likewise, for each prompt
    rows: int  # texts that one step of the solver sees beside the prompts
    longer: int  # tokens that the longest of them has more than the longest prompt
    step: float  # runs forward that one step comes to: it goes back as well
    steps: int  # that are usual
    measuring: int  # forward


CORRECTION = Cost(9000, 0, rows=17, longer=12, step=1.65, steps=28, measuring=2500)
MASKED_CORRECTION = replace(CORRECTION, steps=70)
CALIBRATED = Cost(500, 1500, rows=50, longer=4, step=1.0, steps=18, measuring=4000)


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
    *,
    known: bool = True,
    solved: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Forecast:
    """How long an update of one fact will take. The model is run twice, over a few short texts.

    chains: the fact's prompts, asked for the new answer; known: whether neurons carry the fact, so
    that they are located; solved: whether a solver makes the edit. Raises NotFinite.
    """
    cost = CALIBRATED if known else CORRECTION if model.causal else MASKED_CORRECTION
    token = seconds_per_token(model, clock)
    lengths = [len(chain.questions[-1].ids) for chain in chains]
    step = (len(chains) + cost.rows) * (max(lengths) + cost.longer) * cost.step
    tokens = [
        ("asking", cost.asking, 0),
        ("locating", cost.locating * len(chains), 0),
        ("solving", cost.steps * step if solved else 0, cost.steps),
        ("measuring", cost.measuring + sum(lengths), 0),
    ]
    return Forecast(tuple(Part(name, token * many, steps) for name, many, steps in tokens if many))


def seconds_per_token(model: Model, clock: Callable[[], float] = time.perf_counter) -> float:
    """How long the model runs forward for one token of a small batch. Raises NotFinite."""
    ids = [text_ids(model, text)[:TOKENS] for text in neutral_sentences()[:TEXTS]]
    questions = [Question(one, len(one) - 1, 0) for one in ids if one]
    if not questions:  # the tokenizer knows none of the words
        return 0.0
    list(log_p(model, questions[:1]))  # the first run of a program is slower
    start = clock()
    list(log_p(model, questions))
    return (clock() - start) / sum(len(question.ids) for question in questions)
