"""Prompts in shares, which workers score; a worker that is lost loses nothing but time.

Which prompts run together decides the last digits of their scores. So the shares depend on the
prompts alone, and neither on how many workers there are nor on which of them are lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kn_edit.edits.delta import Delta
from kn_edit.engine.scores import LocalScorer
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain
from kn_edit.neurons.locate import PromptScores

PROMPTS = 12  # of a share: as many as the attribution holds at once


@dataclass(frozen=True)
class Share:
    """Prompts that are scored together.

    method: one of `METHODS`, or empty to ask whether their answers are first; m: points of the
    Riemann rule
    """

    chains: tuple[Chain, ...]
    method: str = ""
    m: int = 0


@dataclass(frozen=True)
class ShareResult:
    """What a share came to: scores by place, or which answers are first."""

    scores: tuple[tuple[int, PromptScores], ...] = ()
    right: tuple[bool, ...] = ()


class Workers(Protocol):
    """What computes shares."""

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share]
    ) -> Iterator[tuple[int, ShareResult]]:
        """The result of each share at the version of these deltas, once, as soon as it is known."""


class SharedScorer:
    """A `Scorer` whose prompts go to workers."""

    def __init__(self, workers: Workers, deltas: Sequence[Delta]) -> None:
        self._workers, self._deltas = workers, deltas

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        shares = [Share(part, method, m) for part in _parts(chains)]
        for number, result in self._workers.results(self._deltas, shares):
            for place, scores in result.scores:
                yield number * PROMPTS + place, scores

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        shares = [Share(part) for part in _parts(chains)]
        results = dict(self._workers.results(self._deltas, shares))
        return [right for number in range(len(shares)) for right in results[number].right]


class ThisProcess:
    """`Workers` that are this process: what others compute has to be the same, bit for bit."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share]
    ) -> Iterator[tuple[int, ShareResult]]:
        """The results at the version at which the model is."""
        for number, share in enumerate(shares):
            yield number, computed(self._model, share)


def computed(model: Model, share: Share) -> ShareResult:
    """Compute a share on a model. Raises NotFinite."""
    scorer = LocalScorer(model)
    if not share.method:
        return ShareResult(right=tuple(scorer.right(share.chains)))
    return ShareResult(scores=tuple(scorer.scores(share.chains, share.method, share.m)))


def _parts(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    return [tuple(chains[start : start + PROMPTS]) for start in range(0, len(chains), PROMPTS)]
