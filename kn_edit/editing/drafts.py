"""An edit on its way: proposed (computed), drafted (measured), not yet recorded.

    resolve -> propose -> measure -> gate -> record

A proposal holds on any version: it can be measured again where another edit moved the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from kn_edit.editing.joint_sets import JointSet, fact_metrics, recordable
from kn_edit.editing.locating import Locator, Search
from kn_edit.editing.requests import Earlier
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.engine.version import ModelVersion
from kn_edit.evaluation.changes import Change
from kn_edit.evaluation.gate import Gate
from kn_edit.ledger.records import FactChange, FactRecord, NewEdit, OfFacts
from kn_edit.models.placement import dtype_name
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, missed
from kn_edit.progress import Progress, silent
from kn_edit.safetext import escaped, shortened
from kn_edit.seeds import USUAL, generator

RECORDED = 12  # prompts of an edit whose answers are recorded with it
MOST_RECORDED = 400  # letters of each
SAMPLED = 32  # facts of a set that are asked again where others join it


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
    by_fact: tuple[dict[str, Any], ...] = ()  # the metrics of each fact, where there are several


class Exam(Protocol):
    """What an edit is measured by."""

    def measure(self, context: EditContext, delta: Delta) -> Measurement:
        """Measure a delta on top of the context's version. Computes nothing else."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ComputedEdit(OfFacts):
    """An edit whose delta was computed, on its way into the ledger.

    relation, subject, answer, target: of the fact that it changes, the first one of many
    further: the other facts; `facts` has all of them
    """

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
    further: tuple[FactChange, ...] = ()
    # Of a joint update that joins a set of facts: the edit over that set, in whose place this one
    # comes; what was recorded of the facts that stay; files of new members, by their ids.
    replaces: str | None = None
    remaining: tuple[FactRecord, ...] = ()
    members: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Proposal(ComputedEdit):
    """An edit that was computed, not yet measured. exam: what it is to be measured by"""

    exam: Exam


@dataclass(frozen=True, eq=False, kw_only=True)
class Draft(ComputedEdit):
    """An edit that was computed and measured, not yet recorded.

    before, after: what the model says to the fact's own prompts; faults: why the gate refuses it
    """

    before: tuple[Assessment, ...]
    after: tuple[Assessment, ...]
    metrics: dict[str, Any]
    faults: tuple[str, ...]
    unsound: tuple[str, ...] = ()  # why it must not be recorded even if the user accepts it
    paraphrases: tuple[Assessment, ...] = ()  # of an update, after it: what generalization asks
    changed: tuple[Change, ...] = ()  # what an update changed of other subjects' answers
    harmful: bool = False  # the gate refuses it for these
    by_fact: tuple[dict[str, Any], ...] = ()  # the metrics of each fact, where there are several

    @property
    def misses(self) -> tuple[str, ...]:
        """The prompts that fail an update, each with the token that it fails on.

        Those whose new answer does not come, and those of others that it changed too many of.
        """
        if self.kind != "update":
            return ()
        missed_prompts = tuple(missed(answer) for answer in self.after if answer.miss is not None)
        return missed_prompts + (tuple(map(str, self.changed)) if self.harmful else ())

    def new_edit(self) -> NewEdit:
        """The edit as it is recorded: with the facts of the set that it joins."""
        facts = (
            recordable((*self._records, *self.remaining), self.found) if self.remaining else None
        )
        return NewEdit(
            delta=self.delta,
            kind=self.kind,
            **vars(facts.first if facts else self.facts[0]),
            method=self.method,
            found=facts.found if facts else self.found,
            metrics=self.metrics,
            message=facts.message if facts else self.message,
            further=facts.further if facts else self.further,
            replaces=self.replaces,
            members=self.members,
        )

    @property
    def _records(self) -> tuple[FactRecord, ...]:
        """What is to be recorded of each fact that is new in a set."""
        if not self.further:
            return (FactRecord(self.facts[0], self.found, fact_metrics(self.metrics)),)
        entries = zip(self.facts, self.found["by_fact"], strict=True)
        return tuple(FactRecord(change, entry, entry["metrics"]) for change, entry in entries)


def measured(context: EditContext, proposal: Proposal) -> Draft:
    """Measure a proposal on top of the context's version."""
    context.progress("measuring", 0, 0)
    if proposal.replaces is not None:
        context = context.replacing(proposal.replaces)
    measurement = proposal.exam.measure(context, proposal.delta)
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
        found=proposal.found
        | _recorded_answers(proposal, measurement)
        | _by_fact(proposal, measurement)
        | {"ran": context.ran, "seed": context.seed}
        | {"gate": asdict(context.gate) | {"faults": list(measurement.faults)}},
        faults=measurement.faults,
        notices=(*proposal.notices, *measurement.notices),
        message=proposal.message,
        unsound=measurement.unsound,
        paraphrases=measurement.paraphrases,
        changed=measurement.changed,
        harmful=measurement.harmful,
        by_fact=measurement.by_fact,
        further=proposal.further,
        replaces=proposal.replaces,
        remaining=proposal.remaining,
        members=proposal.members,
    )


def _by_fact(proposal: Proposal, measurement: Measurement) -> dict[str, Any]:
    """What is recorded of each of several facts: how it was asked, and what was measured of it."""
    if not measurement.by_fact:
        return {}
    requests = proposal.found.get("by_fact", [{}] * len(measurement.by_fact))
    pairs = zip(requests, measurement.by_fact, strict=True)
    return {"by_fact": [entry | {"metrics": metrics} for entry, metrics in pairs]}


def _recorded_answers(proposal: Proposal, measurement: Measurement) -> dict[str, Any]:
    """What the model says to the first prompts of an update, before and after, to be recorded."""
    if proposal.kind != "update":
        return {}
    pairs = list(zip(measurement.before, measurement.after, strict=True))
    if proposal.further:  # the first prompt of each fact
        pairs = list({old.prompt.fact: (old, new) for old, new in reversed(pairs)}.values())[::-1]
    texts = ((old.prompt.cloze, old.says, new.says) for old, new in pairs[:RECORDED])
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
class EditTerms:
    """On what terms drafts are made, wherever that is; see EditContext."""

    search: Search
    gate: Gate
    earlier: tuple[Earlier, ...]
    seed: int

    def context(self, engine: Engine, deltas: Sequence[Delta]) -> EditContext:
        """The context of an engine at the version of these deltas."""
        return EditContext(
            engine=engine,
            recipe=tuple(delta.id for delta in deltas),
            deltas=deltas,
            search=self.search,
            gate=self.gate,
            progress=engine.progress,
            earlier=self.earlier,
            seed=self.seed,
        )


@dataclass(frozen=True, eq=False)
class EditContext:
    """Where drafts are made: a base, and the edits that lie on it already.

    search: how to look for neurons; gate: the limits that a draft is held to
    earlier: updates of other facts that lie on the base already; seed: of everything that is drawn
    joined: the set of facts that a joint update joins; replaced: the edit that the new one replaces
    """

    engine: Engine
    recipe: tuple[str, ...] = ()
    deltas: Sequence[Delta] = ()
    search: Search = field(default_factory=Search)
    gate: Gate = field(default_factory=Gate)
    progress: Progress = silent
    earlier: tuple[Earlier, ...] = ()
    seed: int = USUAL
    joined: JointSet | None = None
    replaced: str | None = None

    def replacing(self, edit: str) -> EditContext:
        """The context of an edit that comes in the place of another one.

        Of the facts that both have, some are asked again, drawn by the seed.
        """
        replaced_facts = [update for update in self.earlier if update.edit == edit]
        drawn = generator(self.seed, "facts asked again").sample(
            replaced_facts, min(SAMPLED, len(replaced_facts))
        )
        earlier = [each for each in self.earlier if each.edit != edit or each in drawn]
        return replace(self, replaced=edit, earlier=tuple(earlier))

    def deltas_with(self, delta: Delta) -> list[Delta]:
        """The deltas of the context's version with a new one: last, or where it replaces one."""
        if self.replaced is None:
            return [*self.deltas, delta]
        return [delta if each.id == self.replaced else each for each in self.deltas]

    @property
    def ran(self) -> dict[str, str]:
        """On what kinds of device its model runs, and in which number format."""
        model = self.engine.model
        return {"device": ", ".join(model.device_kinds), "dtype": dtype_name(model.dtype)}

    def locator(self, live: ModelVersion) -> Locator:
        """What finds neurons at a version, by the context's search."""
        return Locator(live, self.search, self.progress, self.seed)
