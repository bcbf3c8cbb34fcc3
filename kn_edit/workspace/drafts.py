"""A draft: an edit that was computed and measured, not yet recorded. And how to make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kn_edit.edits.calibrate import CAUSAL, MASKED, Settings
from kn_edit.edits.delta import Delta
from kn_edit.errors import require_number, require_whole
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment
from kn_edit.workspace.engine import Engine
from kn_edit.workspace.locating import Locator, Search
from kn_edit.workspace.progress import Progress
from kn_edit.workspace.scores import ScoreCache


@dataclass(frozen=True)
class How:
    """How to make an edit."""

    closed_form: bool = False
    scale: tuple[float, float] = (1.0, 8.0)  # (l1, l2) of the closed form
    settings: Settings | None = None  # of the solver; by default as suits the model
    search: Search = field(default_factory=Search)
    gate: Gate = field(default_factory=Gate)
    neurons: tuple[NeuronId, ...] = ()  # use these and no others, instead of the fact's own
    times: float = 2.0  # erase what serves a relation only, until it is so much more perplexing
    least: int | None = None  # instead: neurons of at least so many facts (m; 5 in the paper)
    top: int | None = None  # instead: so many of the most frequent neurons
    zero: bool = False  # erase with zero also where there is an unknown token
    facts: int = 20  # known facts of a relation that an erase looks at

    def __post_init__(self) -> None:
        for number in self.scale:
            require_number("the scale", number)
        require_number("times", self.times, above=1)
        require_whole("the count of facts", self.facts, 1)
        for name, count in (("least", self.least), ("top", self.top)):
            if count is not None:
                require_whole(name, count, 1)

    def settings_for(self, model: Model) -> Settings:
        return self.settings or (CAUSAL if model.causal else MASKED)


@dataclass(frozen=True, eq=False)
class Draft:
    """An edit that was computed and measured, not yet recorded."""

    kind: str
    delta: Delta
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    method: str
    neurons: tuple[tuple[NeuronId, float], ...]  # with their scores
    before: tuple[Assessment, ...]
    after: tuple[Assessment, ...]
    metrics: dict[str, Any]
    found: dict[str, Any]
    faults: tuple[str, ...]
    notices: tuple[str, ...]
    message: str
    unsound: tuple[str, ...] = ()  # why it must not be recorded even if the user accepts it


@dataclass(frozen=True, eq=False)
class Bench:
    """Where drafts are made: a base, the edits that lie on it already, and how to go on."""

    engine: Engine
    recipe: tuple[str, ...]
    deltas: Sequence[Delta]
    how: How
    progress: Progress
    edited: bool = False  # the fact in question was edited before
    earlier: tuple[Case, ...] = ()  # other facts that were updated before

    def locator_at_base(self, model: Model) -> Locator:
        return self._locator(model, ())

    def locator_at_head(self, model: Model) -> Locator:
        return self._locator(model, self.recipe)

    def _locator(self, model: Model, recipe: Sequence[str]) -> Locator:
        cache = ScoreCache(self.engine.base.fingerprint, recipe)
        return Locator(model, cache, self.how.search, self.progress)
