"""The table of metrics: what is measured of an edit; one that is added is known everywhere.

Packages that are installed add theirs by an entry point of the group `kn_edit.metrics`, which names
a Metric. Importing this needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kn_edit.errors import BadSetting
from kn_edit.plugins import add_installed

if TYPE_CHECKING:
    from kn_edit.evaluation.metrics import Readings
    from kn_edit.models.greedy import Answer

GROUP = "kn_edit.metrics"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Direction(StrEnum):
    """Which values of a metric are the better ones."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Figure:
    """A measured value, and how many prompts are behind it; None where nothing was asked."""

    value: float | None
    prompts: int

    @classmethod
    def share(cls, outcomes: Sequence[bool]) -> Figure:
        """The share of prompts with a good outcome."""
        return cls(sum(outcomes) / len(outcomes) if outcomes else None, len(outcomes))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What is measured of an edit, as data.

    name: its key in JSON and records
    meaning: a few words behind its value
    direction: which values are the better ones
    of: computes it of an update from what the model says before and after; None where it is
        measured elsewhere
    counted: the JSON key of the prompts behind it; by default its name with `_prompts`
    column: its heading in tables of many edits; empty where it has no column there
    share: whether it lies between 0 and 1
    on_card: the words of the model card; by default its meaning, empty where it is not there
    """

    name: str
    meaning: str
    direction: Direction
    of: Callable[[Readings, Readings], Figure] | None = None
    counted: str = ""
    column: str = ""
    share: bool = True
    on_card: str | None = None

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")

    @property
    def count_name(self) -> str:
        """The JSON key of the prompts behind it."""
        return self.counted or f"{self.name}_prompts"

    @property
    def card_words(self) -> str:
        """What the model card says of it; empty where it does not stand there."""
        return self.meaning if self.on_card is None else self.on_card


def _retention(before: Sequence[Answer], after: Sequence[Answer]) -> Figure:
    """The share of prompts that keep their whole answer."""
    return Figure.share([old.kept_by(new) for old, new in zip(before, after, strict=True)])


EFFICACY = Metric(
    name="efficacy",
    meaning="the whole new answer comes on its prompts",
    direction=Direction.HIGHER,
    of=lambda before, after: Figure.share([answer.right for answer in after.edited]),
    counted="prompts",
    column="eff.",
    on_card="the new answer comes first on the prompts of its edit",
)
GENERALIZATION = Metric(
    name="generalization",
    meaning="and on held-out paraphrases",
    direction=Direction.HIGHER,
    of=lambda before, after: Figure.share([answer.right for answer in after.held_out]),
    counted="paraphrases",
    column="gen.",
    on_card="and on paraphrases that the edit was not fitted to",
)
SPECIFICITY = Metric(
    name="specificity",
    meaning="other subjects answer as before",
    direction=Direction.HIGHER,
    of=lambda before, after: _retention(before.neighbours, after.neighbours),
    counted="neighbours",
    column="spec.",
    on_card="prompts about other subjects are answered as before",
)
SAME_SUBJECT = Metric(
    name="same_subject",
    meaning="what else is asked of it answers as before",
    direction=Direction.HIGHER,
    of=lambda before, after: _retention(before.same_subject, after.same_subject),
    on_card="and other prompts about the subjects of the edits",
)
_ELSEWHERE = (
    Metric(
        name="accuracy_before",
        meaning="prompts of an erased relation that are right, before",
        direction=Direction.HIGHER,
        on_card="",
    ),
    Metric(
        name="accuracy_after",
        meaning="and after",
        direction=Direction.LOWER,
        on_card="",
    ),
    Metric(
        name="perplexity_before",
        meaning="of an erased relation, before",
        direction=Direction.LOWER,
        share=False,
    ),
    Metric(
        name="perplexity_after",
        meaning="and after",
        direction=Direction.HIGHER,
        share=False,
    ),
    Metric(
        name="neutral_before",
        meaning="perplexity of neutral text, before an edit",
        direction=Direction.LOWER,
        share=False,
    ),
    Metric(
        name="neutral_after",
        meaning="and after",
        direction=Direction.LOWER,
        share=False,
    ),
)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (EFFICACY, GENERALIZATION, SPECIFICITY, SAME_SUBJECT, *_ELSEWHERE)
}


def add_metric(metric: Metric) -> Metric:
    """Add a metric to the table. Raises BadSetting where its name is another one's, or is none."""
    names = {key for existing in METRICS.values() for key in (existing.name, existing.count_name)}
    if METRICS.get(metric.name) == metric:
        return metric
    for name in (metric.name, metric.count_name):
        if not _NAME.fullmatch(name) or name in names:
            needed = "a name of a to z, 0 to 9 and _ that no other metric has"
            raise BadSetting("the metric's name", name, needed)
    METRICS[metric.name] = metric
    return metric


def metrics() -> tuple[Metric, ...]:
    """All metrics, those of installed packages behind the others."""
    add_installed(GROUP, add_metric)
    return tuple(METRICS.values())


def measured_of_updates() -> tuple[Metric, ...]:
    """Those that are computed from what a model says before and after an update."""
    return tuple(metric for metric in metrics() if metric.of is not None)


def in_columns() -> tuple[Metric, ...]:
    """Those with a column in tables of many edits."""
    return tuple(metric for metric in metrics() if metric.column)


def headline() -> tuple[str, ...]:
    """The keys in JSON of those with a column."""
    return tuple(metric.name for metric in in_columns())
