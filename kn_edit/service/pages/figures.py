"""Figures as pages show them: with units, and with intervals where prompts were counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from kn_edit.workspace import Metric, metrics

Z = 1.959964  # of the normal distribution: 95% lie within so many standard deviations
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Measured:
    """A metric of an edit, or of several. low, high: of its 95% interval; None where unknown

    count: prompts, or updates, behind it
    """

    label: str
    meaning: str
    value: float
    low: float | None
    high: float | None
    count: int | None


def measured(recorded: Mapping[str, Any]) -> Iterator[Measured]:
    """The metrics that were recorded of an update, with intervals over their prompts."""
    for metric in metrics():
        figure = recorded.get(metric.name)
        if not (metric.share or metric.of is not None) or not _is_number(figure):
            continue
        prompts = recorded.get(metric.count_name)
        low = high = None
        if metric.share and isinstance(prompts, int) and prompts > 0 and 0 <= figure <= 1:
            low, high = interval(figure, prompts)
        else:
            prompts = None
        yield Measured(
            label=metric.label,
            meaning=metric.meaning,
            value=figure,
            low=low,
            high=high,
            count=prompts,
        )


def estimated(evaluation: Mapping[str, Any]) -> Iterator[Measured]:
    """The metrics of an evaluation, with the intervals of its bootstrap over updates.

    Drawn from one update, every sample is the same: then there is no interval.
    """
    for metric in metrics():
        estimate = evaluation.get(metric.name)
        if isinstance(estimate, Mapping):
            several = estimate["count"] > 1
            yield Measured(
                label=metric.label,
                meaning=metric.meaning,
                value=estimate["value"],
                low=estimate["low"] if several else None,
                high=estimate["high"] if several else None,
                count=estimate["count"],
            )


def columns(evaluation: Mapping[str, Any]) -> list[Metric]:
    """The metrics of an evaluation that have a column in the table of its updates."""
    return [metric for metric in metrics() if metric.column and metric.name in evaluation]


def interval(share: float, prompts: int) -> tuple[float, float]:
    """The 95% interval of a share of prompts, after Wilson: inside of 0 to 1 for few prompts too.

    Prompts of one edit are alike, so it says how little few prompts can tell, and no more.
    """
    spread = Z * Z / prompts
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / prompts + spread / prompts / 4) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def value(figure: object, digits: int = 2) -> str:
    """A figure that anybody may have recorded: none, or a huge one."""
    if not _is_number(figure):
        return "not measured"
    return f"{figure:.{digits}f}" if abs(figure) < 1e6 else f"{figure:.3g}"


def size(nbytes: int) -> str:
    """So many bytes, in the unit that suits them."""
    amount, unit = float(nbytes), 0
    while amount >= 1000 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{nbytes} bytes"


def _is_number(figure: object) -> TypeGuard[float]:
    return isinstance(figure, (int, float)) and not isinstance(figure, bool)
