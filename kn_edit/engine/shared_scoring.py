"""Prompts that are scored in shares.

Which prompts run together decides the last digits of their scores. So the shares depend on the
prompts alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kn_edit.edits.delta import Delta
from kn_edit.engine.scores import LocalScorer
from kn_edit.engine.shares import Workers
from kn_edit.models.questions import Chain
from kn_edit.neurons.locate import PromptScores

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine

PROMPTS = 12  # of a share: as many as the attribution holds at once


@dataclass(frozen=True)
class ScoreShare:
    """Prompts that are scored together. method: one of `METHODS`; m: points of the Riemann rule"""

    chains: tuple[Chain, ...]
    method: str
    m: int

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[tuple[int, PromptScores]]:
        """The scores, each with its place in the share. Raises NotFinite, BadSetting."""
        with engine.at(deltas) as version:
            return list(LocalScorer(version.model).scores(self.chains, self.method, self.m))


@dataclass(frozen=True)
class RightShare:
    """Prompts that are asked whether their answers are first."""

    chains: tuple[Chain, ...]

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[bool]:
        """Whether the model puts each answer first. Raises NotFinite."""
        with engine.at(deltas) as version:
            return LocalScorer(version.model).right(self.chains)


class SharedScorer:
    """A `Scorer` whose prompts go to workers."""

    def __init__(self, workers: Workers, deltas: Sequence[Delta]) -> None:
        self._workers, self._deltas = workers, deltas

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        shares = [ScoreShare(part, method, m) for part in _parts(chains)]
        for number, result in self._workers.results(self._deltas, shares):
            for place, scores in result:
                yield number * PROMPTS + place, scores

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        shares = [RightShare(part) for part in _parts(chains)]
        results = dict(self._workers.results(self._deltas, shares))
        return [right for number in range(len(shares)) for right in results[number]]


def _parts(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    return [tuple(chains[start : start + PROMPTS]) for start in range(0, len(chains), PROMPTS)]
