"""An edit on its way: proposed (computed), drafted (measured), not yet recorded. How to make one.

    resolve -> propose -> measure -> gate -> record

A proposal holds on any version: it can be measured again where another edit moved the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from kn_edit.editing.locating import Locator, Search
from kn_edit.editing.requests import Earlier
from kn_edit.edits.calibrate import CAUSAL, MASKED, Settings
from kn_edit.edits.correct import MASKED as MASKED_CORRECTION
from kn_edit.edits.correct import CorrectionSettings
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.errors import BadSetting, require_number, require_whole
from kn_edit.evaluation.changes import Change
from kn_edit.evaluation.gate import Gate
from kn_edit.models.model import Model
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, missed
from kn_edit.progress import Progress
from kn_edit.safetext import escaped, shortened

RECORDED = 12  # prompts of an edit whose answers are recorded with it
MOST_RECORDED = 400  # letters of each


@dataclass(frozen=True)
class How:
    """How to make an edit."""

    closed_form: bool = False
    scale: tuple[float, float] = (1.0, 8.0)  # (l1, l2) of the closed form
    settings: Settings | None = None  # of the solver; by default as suits the model
    search: Search = field(default_factory=Search)
    gate: Gate = field(default_factory=Gate)
    neurons: tuple[NeuronId, ...] = ()  # use these and no others, instead of the fact's own
    slots: int | None = None  # use so many, instead of as many as the settings say
    times: float = 2.0  # erase what serves a relation only, until it is so much more perplexing
    least: int | None = None  # instead: neurons of at least so many facts (m; 5 in the paper)
    top: int | None = None  # instead: so many of the most frequent neurons
    zero: bool = False  # erase with zero also where there is an unknown token
    facts: int = 20  # known facts of a relation that an erase looks at

    def __post_init__(self) -> None:
        object.__setattr__(self, "search", Search.of(self.search))
        object.__setattr__(self, "neurons", tuple(map(NeuronId.of, self.neurons)))
        if self.slots is not None:
            require_whole("the count of slots", self.slots, 1)
        for number in self.scale:
            require_number("the scale", number)
        require_number("times", self.times, above=1)
        require_whole("the count of facts", self.facts, 1)
        if self.least is not None and self.top is not None:
            raise BadSetting("least", self.least, "least or top, which are two ways to choose")
        for name, count in (("least", self.least), ("top", self.top)):
            if count is not None:
                require_whole(name, count, 1)

    def correction_of(self, model: Model) -> CorrectionSettings:
        """How to solve for a fact that the model does not know."""
        settings = CorrectionSettings() if model.causal else MASKED_CORRECTION
        return settings if self.slots is None else replace(settings, slots=self.slots)

    def settings_for(self, model: Model) -> Settings:
        settings = self.settings or (CAUSAL if model.causal else MASKED)
        if self.slots is None:
            return settings
        return replace(settings, fewest=self.slots, most_neurons=self.slots)


@dataclass(frozen=True, eq=False)
class Measurement:
    """What an edit does on top of one version."""

    before: tuple[Assessment, ...]
    after: tuple[Assessment, ...]
    metrics: dict[str, Any]
    faults: tuple[str, ...]  # why the gate refuses it
    unsound: tuple[str, ...]  # why it must not be recorded even if the user accepts it
    notices: tuple[str, ...]
    paraphrases: tuple[Assessment, ...] = ()  # of an update, after it
    changed: tuple[Change, ...] = ()  # what an update changed of other subjects' answers
    harmful: bool = False  # the gate refuses it for these


class Exam(Protocol):
    """What an edit is measured by."""

    def measure(self, bench: Bench, delta: Delta) -> Measurement:
        """Measure a delta on top of the bench's version. Computes nothing else."""
        ...


@dataclass(frozen=True, eq=False)
class Proposal:
    """An edit that was computed, not yet measured."""

    kind: str
    delta: Delta
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    method: str
    neurons: tuple[tuple[NeuronId, float], ...]  # with their scores
    found: dict[str, Any]  # how it was found
    notices: tuple[str, ...]
    message: str
    exam: Exam


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
    paraphrases: tuple[Assessment, ...] = ()  # of an update, after it: what generalization asks
    changed: tuple[Change, ...] = ()  # what an update changed of other subjects' answers
    harmful: bool = False  # the gate refuses it for these

    @property
    def misses(self) -> tuple[str, ...]:
        """The prompts that fail an update, each with the token that it fails on.

        Those whose new answer does not come, and those of others that it changed too many of.
        """
        if self.kind != "update":
            return ()
        own = tuple(missed(answer) for answer in self.after if answer.miss is not None)
        return own + (tuple(map(str, self.changed)) if self.harmful else ())


def measured(bench: Bench, proposal: Proposal) -> Draft:
    """Measure a proposal on top of the bench's version."""
    bench.progress("measuring", 0, 0)
    measurement = proposal.exam.measure(bench, proposal.delta)
    return Draft(
        kind=proposal.kind,
        delta=proposal.delta,
        relation=proposal.relation,
        subject=proposal.subject,
        answer=proposal.answer,
        target=proposal.target,
        method=proposal.method,
        neurons=proposal.neurons,
        before=measurement.before,
        after=measurement.after,
        metrics=measurement.metrics,
        found=proposal.found | _said(proposal, measurement),
        faults=measurement.faults,
        notices=(*proposal.notices, *measurement.notices),
        message=proposal.message,
        unsound=measurement.unsound,
        paraphrases=measurement.paraphrases,
        changed=measurement.changed,
        harmful=measurement.harmful,
    )


def _said(proposal: Proposal, measurement: Measurement) -> dict[str, Any]:
    """What the model says to the first prompts of an update, before and after, to be recorded."""
    if proposal.kind != "update":
        return {}
    pairs = list(zip(measurement.before, measurement.after, strict=True))[:RECORDED]
    texts = ((old.prompt.cloze, old.says, new.says) for old, new in pairs)
    return {
        "says": [
            dict(zip(("prompt", "before", "after"), map(_recordable, row), strict=True))
            for row in texts
        ]
    }


def _recordable(text: str) -> str:
    """A text that may hold whatever a model can say, as every ledger takes it in."""
    return shortened(escaped(text), MOST_RECORDED)


@dataclass(frozen=True, eq=False)
class Bench:
    """Where drafts are made: a base, the edits that lie on it already, and how to go on."""

    engine: Engine
    recipe: tuple[str, ...]
    deltas: Sequence[Delta]
    how: How
    progress: Progress
    edited: bool = False  # the fact in question was edited before
    earlier: tuple[Earlier, ...] = ()  # updates of other facts that lie on the base already

    def locator_at_base(self, model: Model) -> Locator:
        return self._locator(model, ())

    def locator_at_head(self, model: Model) -> Locator:
        return self._locator(model, self.recipe)

    def _locator(self, model: Model, recipe: Sequence[str]) -> Locator:
        cache = self.engine.scores(recipe)
        return Locator(model, cache, self.how.search, self.progress)
