"""Means with their uncertainty: bootstrap intervals over facts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kn_edit.seeds import USUAL

DRAWS = 2000
LEVEL = 0.95
READABLE = 1000  # times: larger changes are written with an exponent


@dataclass(frozen=True)
class Estimate:
    """A value with the percentile interval of its bootstrap distribution."""

    value: float
    low: float
    high: float
    count: int  # of facts behind it

    def through(self, rising: Callable[[float], float]) -> Estimate:
        """The estimate of a rising function of the value."""
        return Estimate(rising(self.value), rising(self.low), rising(self.high), self.count)

    def as_change(self) -> str:
        """In percent, with signs, for values that are a change relative to something."""
        return f"{percent(self.value)} [{percent(self.low)}, {percent(self.high)}]"

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def percent(change: float) -> str:
    """A relative change in words: +2.7%, and where digits would be noise, +6.8e+12%."""
    return f"{change:+,.1%}" if abs(change) < READABLE else f"{100 * change:+.1e}%"


def mean(values: Sequence[float]) -> Estimate:
    """The mean of one value per fact. An empty sequence is an error of the caller."""
    sample = np.asarray(values, dtype=float)
    return _estimate(float(sample.mean()), sample[_picks(len(sample))].mean(1), len(sample))


def mean_of_groups(groups: Sequence[Sequence[float]]) -> Estimate:
    """The mean of all values, resampled in whole groups.

    For values of a group that rise and fall together, as the specificity of facts that the same
    prompts judge: an interval over single facts would be too narrow (cluster bootstrap; Davison and
    Hinkley, 1997, 3.8). No group is empty.
    """
    sums, counts = (np.asarray([of(group) for group in groups], float) for of in (sum, len))
    picks = _picks(len(groups))
    drawn = sums[picks].sum(1) / counts[picks].sum(1)
    return _estimate(float(sums.sum() / counts.sum()), drawn, int(counts.sum()))


def mean_of_shared(rows: Sequence[Sequence[tuple[Hashable, float]]]) -> Estimate:
    """The mean over rows of each row's mean, resampled in the rows and in what the values are of.

    For updates of one version that are judged by prompts, many of which they share: each row is the
    values of an update, each with its prompt, and an interval over updates alone would be too
    narrow (the pigeonhole bootstrap; Owen, 2007). No row is empty.
    """
    numbers: dict[Hashable, int] = {}
    of = np.asarray([numbers.setdefault(name, len(numbers)) for row in rows for name, _ in row])
    values = np.asarray([value for row in rows for _, value in row], float)
    lengths = np.asarray([*map(len, rows)])
    starts = lengths.cumsum() - lengths
    draws = np.random.default_rng(USUAL)
    drawn = []
    for picks in _picks(len(rows)):
        times = np.bincount(draws.integers(len(numbers), size=len(numbers)), minlength=len(numbers))
        weights = times[of]
        counts = np.add.reduceat(weights, starts)[picks]
        sums = np.add.reduceat(weights * values, starts)[picks]
        if counts.any():  # all prompts of the drawn rows may be left out
            drawn.append((sums[counts > 0] / counts[counts > 0]).mean())
    means = np.add.reduceat(values, starts) / lengths
    return _estimate(float(means.mean()), np.asarray(drawn), len(rows))


def change(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Change of the mean relative to the mean before, one pair per fact, resampled in pairs."""
    old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    picks = _picks(len(old))
    with np.errstate(divide="ignore", invalid="ignore"):  # of 0, every change is NaN or infinite
        drawn = new[picks].mean(1) / old[picks].mean(1) - 1
        return _estimate(float(new.mean() / old.mean() - 1), drawn, len(old))


def harmonic(values: Sequence[float]) -> float:
    """The harmonic mean; 0 where one of the values is, or is not a positive number."""
    positive = all(0 < value < math.inf for value in values)
    return len(values) / sum(1 / value for value in values) if values and positive else 0.0


def _picks(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(USUAL).integers(count, size=(DRAWS, count))


def _estimate(value: float, drawn: NDArray[np.float64], count: int) -> Estimate:
    tail = (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), count)
