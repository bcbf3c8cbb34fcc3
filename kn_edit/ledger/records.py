"""What the ledger takes in and hands out: plain, frozen, without a database behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kn_edit.canonical import is_digest
from kn_edit.neuron import NeuronId, whole_layer

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta
    from kn_edit.edits.kept import KeptDelta
    from kn_edit.ledger.conflicts import Settled
    from kn_edit.ledger.recipes import Recipe

BRANCH = "main"  # the branch that a ledger begins with
JOINT = "joint"  # the method of edits over a set of facts, which facts join and leave
MEMBER = "member"  # the key under which the record of a fact of such an edit names its file


@dataclass(frozen=True)
class BaseRecord:
    """The model that every version of a ledger starts from."""

    name: str  # as the user gave it
    repo: str | None
    revision: str | None
    fingerprint: str
    source: str  # the local folder with the weights
    model_type: str
    dtype: str
    files: Mapping[str, str] | None = None  # sha256 of config, tokenizer and the like, by file name


@dataclass(frozen=True)
class VersionRecord:
    """A recipe: the base and these edits, in this order."""

    id: str
    edits: Recipe
    digests: Mapping[str, str]  # sha256 of each touched tensor, by its name
    # Of a move that has just led to it: edits that meet there, conflicts of facts as they were
    # settled, edits that were reverted here and are back, or reverted on a merged branch and stay.
    # Recorded nowhere in this form.
    overlaps: tuple[Overlap, ...] = field(default=(), compare=False)
    settled: tuple[Settled, ...] = field(default=(), compare=False)
    returned: tuple[str, ...] = field(default=(), compare=False)
    stayed: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class LayerChange:
    """A change of all value slots of a layer at once."""

    layer: int
    kind: str  # low-rank
    rank: int


@dataclass(frozen=True)
class FactChange:
    """A fact that an edit changes, and its new answer.

    An erasure is of a relation: it has neither subject nor answers.
    """

    relation: str
    subject: str | None
    answer: str | None
    target: str | None


@dataclass(frozen=True)
class FactRecord:
    """What was recorded about one fact of an edit, by anybody.

    found: how it was asked; metrics: what was measured of it
    """

    change: FactChange
    found: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def member(self) -> str | None:
        """The id of the member that a fact of a joint edit is; None for a fact of another edit."""
        member = self.found.get(MEMBER)
        return member if is_digest(member) else None


class OfFacts:
    """What changes facts: the first one by its fields, and those beside it."""

    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    further: tuple[FactChange, ...]

    @property
    def facts(self) -> tuple[FactChange, ...]:
        """Every fact that the edit changes, in order."""
        first = FactChange(self.relation, self.subject, self.answer, self.target)
        return (first, *self.further)


@dataclass(frozen=True)
class EditRecord(OfFacts):
    """An edit as it was recorded, without its numbers (those are in the delta).

    relation, subject, answer, target: of the fact that it changes, the first one of many
    further: the other facts; `facts` has all of them
    """

    id: str
    kind: str
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    method: str
    found: Mapping[str, Any]
    metrics: Mapping[str, Any]
    message: str
    created: str
    overlaps: tuple[str, ...]  # edits of the head of that time with common slots
    neurons: tuple[NeuronId, ...]  # whose slots it writes by themselves
    layers: tuple[LayerChange, ...] = ()  # of which it writes all slots at once
    further: tuple[FactChange, ...] = ()

    @property
    def by_fact(self) -> tuple[FactRecord, ...]:
        """Each fact with what was recorded of it alone."""
        if not self.further:
            return (FactRecord(self.facts[0], self.found, self.metrics),)
        recorded = self.found.get("by_fact")
        entries = recorded if isinstance(recorded, list) else []
        if len(entries) != len(self.facts):
            entries = [{}] * len(self.facts)
        return tuple(
            FactRecord(change, _object(entry), _object(_object(entry).get("metrics")))
            for change, entry in zip(self.facts, entries, strict=True)
        )

    @property
    def members(self) -> dict[str, FactRecord]:
        """The facts of a joint edit by the ids of their members; none of another edit."""
        if self.method != JOINT:
            return {}
        return {record.member: record for record in self.by_fact if record.member is not None}

    @property
    def faults(self) -> tuple[str, ...] | None:
        """What the gate found wrong and `accept` overruled; None where nobody recorded it."""
        return gate_faults(self.found)


def member_ids(found: Mapping[str, Any]) -> set[str]:
    """The ids of members that a joint edit names, as it is recorded how it was found."""
    by_fact = found.get("by_fact")
    entries = [found, *(by_fact if isinstance(by_fact, list) else ())]
    ids = (_object(entry).get(MEMBER) for entry in entries)
    return {str(member) for member in ids if is_digest(member)}


def gate_faults(found: object) -> tuple[str, ...] | None:
    """What a record says that the gate found wrong; None where it does not say."""
    gate = _object(found).get("gate")
    if not isinstance(gate, dict):
        return None
    faults = gate.get("faults")
    texts = faults if isinstance(faults, list) else []
    return tuple(text for text in texts if isinstance(text, str))


def _object(value: object) -> Mapping[str, Any]:
    """A JSON object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, eq=False)
class NewEdit(OfFacts):
    """An edit to record: the delta, the facts it is about, how it was found, what it does.

    relation, subject, answer, target: of the fact that it changes, the first one of many
    further: the other facts; `facts` has all of them
    replaces: the edit of the head in whose place it comes; None: it comes last
    members: files of facts that it was solved from, by their sha256, to be kept beside its delta
    """

    delta: Delta | KeptDelta
    kind: str
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    method: str
    found: Mapping[str, Any]
    metrics: Mapping[str, Any]
    message: str
    further: tuple[FactChange, ...] = ()
    replaces: str | None = None
    members: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Overlap:
    """Two edits and the value slots that both write.

    slots: those that one of them writes by themselves
    layers: those of which both write all slots at once, at low rank
    order_counts: whether the two may give other weights in the other order, as where one of them
        sets a slot; not so where a low-rank change meets what is added only: that is a sum
    """

    edit: str
    other: str
    slots: tuple[NeuronId, ...]
    layers: tuple[int, ...] = ()
    order_counts: bool = True

    @property
    def slot_names(self) -> tuple[str, ...]:
        """What both write, in words: slots, `L9.2141`, and whole layers, `L9 (all)`."""
        return (*map(str, self.slots), *map(whole_layer, self.layers))


@dataclass(frozen=True)
class Advance:
    """A planned move of a branch, not yet written."""

    kind: str
    version: str
    recipe: Recipe
    parents: tuple[str, ...]
    from_head: str
    message: str
    edit: str | None = None
    overlaps: tuple[Overlap, ...] = ()
    branch: str = BRANCH
    settled: tuple[Settled, ...] = ()
    returned: tuple[str, ...] = ()
    stayed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Versions that a merge joins, the first one's edits first, and the branch that it moves.

    merged: branches that were named, with the recipes that they have
    """

    branch: Ref
    versions: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    merged: Mapping[str, Recipe]


@dataclass(frozen=True)
class Step:
    """One move of a branch. `parents` belong to the step: a version is only its recipe.

    edits: read from the ledger when somebody looks at them
    branch: the one that was moved
    after: `seq` of the steps that it came after, the one before on its branch first; of
        `Ledger.graph` alone, and only as far as that lists them
    overruled: whether its edit was recorded although the gate refused it
    """

    seq: int
    created: str
    kind: str
    version: str
    parents: tuple[str, ...]
    edits: Recipe
    edit: str | None
    message: str
    refs: tuple[str, ...]
    branch: str = BRANCH
    after: tuple[int, ...] = ()
    overruled: bool = False


@dataclass(frozen=True)
class Ref:
    """A branch, a tag, or a `remote`: what was pulled from the Hub under this name.

    current: of the one branch that edits go to
    """

    name: str
    kind: str
    version: str
    current: bool = False


@dataclass(frozen=True)
class BranchRecord:
    """A branch: the version that it points at, and the last move that led there.

    edit: the last edit of its version; None where it has none
    message, moved: of its last move: what was done, and when
    edits: how many its version has
    """

    name: str
    version: str
    current: bool
    edits: int
    edit: str | None
    message: str
    moved: str


@dataclass(frozen=True)
class Publication:
    """A version on the Hub, put there from this ledger."""

    repo: str
    branch: str
    commit: str
    version: str
    form: str
    tag: str | None
    created: str = ""  # set when it is recorded


@dataclass(frozen=True, eq=False)
class Adoption:
    """A version that came from elsewhere, with those of its edits that are new here, in order."""

    source: str  # the ref that it is kept under, such as "owner/name@main"
    version: str
    recipe: Sequence[str]
    edits: tuple[NewEdit, ...]
    message: str
    branch: str | None = None  # that moves on to it where nothing is lost; by default the current
    from_head: str | None = None  # the version that the branch has to be at; None: at any


@dataclass(frozen=True)
class Blame:
    """An edit that writes a slot, and whether the head has it."""

    edit: EditRecord
    mode: str  # "add" or "set"; "low-rank" where it writes all slots of the layer at once
    in_head: bool


@dataclass(frozen=True)
class LayerDifference:
    """A layer that two versions change at low rank, and otherwise: the sums of their ranks."""

    layer: int
    rank_a: int
    rank_b: int


@dataclass(frozen=True)
class Difference:
    """Two versions side by side: edits that only one has, slots that may hold other values.

    layers: those of which all slots may; slots: single ones, beyond that
    facts_a, facts_b: facts of joint edits that only one has: a set of them is an edit of its own
    """

    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    slots: tuple[NeuronId, ...]
    layers: tuple[LayerDifference, ...] = ()
    facts_a: tuple[FactRecord, ...] = ()
    facts_b: tuple[FactRecord, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Something that `check` found wrong: with which part, what."""

    part: str  # events, rows, refs, delta, slots, edits, version, files, base or database
    subject: str
    message: str


@dataclass(frozen=True)
class Report:
    """What `check` found: problems, notes on what cannot be proven, the digest of the journal."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    chain: str | None  # the hash of the last event; None where the chain is broken
