"""What the service answers, as models: the form of the JSON of the command line, for OpenAPI.

Answers are made by `kn_edit.workspace.to_json`; these models describe them, and tests hold answers
against them. Members that are not listed here may come with later releases.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Answer(BaseModel):
    """A JSON object that may have further members."""

    model_config = ConfigDict(extra="allow")


class Problem(Answer):
    """What went wrong, and what to do next (RFC 9457)."""

    type: str
    title: str
    status: int
    error: str = Field(description="The name of the error, as the command line has it.")
    code: int = Field(description="The exit code that the command line has for it.")
    detail: dict[str, Any] = Field(description="The facts of the error.")
    remedies: list[str] = Field(description="What can be done about it, by name.")


class AuditRow(Answer):
    """A request that changed something, or was refused."""

    number: int
    moment: str
    caller: str | None
    role: str | None
    address: str | None
    method: str
    path: str
    branch: str | None
    status: int
    refused: str | None = Field(description="The name of the error that refused it.")
    job: str | None


class NeuronId(Answer):
    """A neuron of the model, whose value slot an edit may write."""

    layer: int
    index: int


class ScoredNeuron(NeuronId):
    """A neuron, and how much it brings to the answer."""

    score: float | None


class Fact(Answer):
    """A fact: what is asked of whom, and the answer."""

    relation: str
    subject: str | None
    answer: str | None


class FactChange(Fact):
    """A fact, and its new answer."""

    target: str | None


class CurrentFact(FactChange):
    """A fact that a version answers otherwise than the base, by an edit."""

    edit: str


class Status(Answer):
    """The model, where the head is, which edits it holds."""

    workspace: str
    model: str
    revision: str | None
    family: str
    dtype: str
    fingerprint: str
    head: str
    branch: str
    edits: list[str]
    branches: dict[str, str]
    tags: dict[str, str]


class Model(Answer):
    """The base model of a workspace."""

    model: str
    revision: str | None
    family: str
    dtype: str
    fingerprint: str


class Version(Answer):
    """A recipe: the base and these edits, in this order."""

    version: str
    edits: list[str]
    digests: dict[str, str] = Field(description="sha256 of each tensor that differs from the base.")
    refs: list[str]


class Step(Answer):
    """A move of a branch."""

    step: int
    version: str
    parents: list[str]
    edits: list[str]
    edit: str | None
    kind: str
    message: str
    created: str
    refs: list[str]
    overruled: bool = Field(description="Whether the gate refused its edit, and was overruled.")
    by: str | None = Field(None, description="Who asked for it, where it came by a service.")
    address: str | None = Field(None, description="From where, as far as that is known.")


class DrawnStep(Step):
    """A move of a branch among those of all branches."""

    branch: str
    after: list[int] = Field(description="`step` of the moves that it came after.")


class Edit(Answer):
    """An edit as it was recorded."""

    edit: str
    kind: str
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    facts: list[FactChange]
    members: list[str] = Field(description="Of a joint edit: the id of each fact, to revert it by.")
    method: str
    provenance: dict[str, Any] = Field(alias="found")
    metrics: dict[str, Any]
    message: str
    created: str
    neurons: list[NeuronId]


class Blamed(Edit):
    """An edit that writes the slot of a neuron."""

    mode: str
    in_head: bool


class Branch(Answer):
    """A branch, with its last edit and its last move."""

    branch: str
    current: bool
    version: str
    edits: int
    edit: str | None
    message: str
    created: str


class NamedBranch(Answer):
    """A branch that was just made, renamed or deleted."""

    branch: str
    version: str
    current: bool


class Tag(Answer):
    """A name of a version."""

    tag: str
    version: str


class Difference(Answer):
    """What sets two versions apart."""

    a: str
    b: str
    only_a: list[str]
    only_b: list[str]
    facts_a: list[dict[str, Any]] = Field(
        description="Facts of joint edits that only A has, with the ids of their members."
    )
    facts_b: list[dict[str, Any]] = Field(description="Those that only B has.")
    slots: list[NeuronId]
    layers: list[dict[str, Any]]


class Relation(Answer):
    """A bundled relation, with the subjects that it knows."""

    relation: str
    templates: list[str]
    facts: list[Fact]


class Assessment(Answer):
    """What the model answers to a prompt."""

    prompt: str
    relation: str
    subject: str
    answer: str
    held_out: bool
    p: float | None
    rank: int | None
    top: list[Any]
    says: str | None


class Assessments(Answer):
    """What the model answers to every prompt of a fact."""

    items: list[Assessment]


class Edited(Answer):
    """What an update or an erasure did, and where it is recorded, if it is."""

    edit: str | None
    version: str | None
    kind: str
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    facts: list[FactChange]
    method: str
    neurons: list[ScoredNeuron]
    before: list[Assessment]
    after: list[Assessment]
    metrics: dict[str, Any]
    faults: list[str] = Field(description="What the gate finds wrong.")
    notices: list[str]
    proposal: str | None = Field(
        None, description="Of an edit that is not recorded: by which `record` knows it, for a week."
    )


class Moved(Version):
    """A version that a move has just led to."""

    overlaps: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    returned: list[str]
    stayed: list[str]


class Located(Answer):
    """The neurons of a fact; of a whole relation `items`, one of these for each of its facts."""

    fact: Fact | None = None
    neurons: list[ScoredNeuron] | None = None
    items: list[dict[str, Any]] | None = None


class Scaled(Answer):
    """What p(answer) does when a fact's neurons are scaled."""

    fact: Fact
    factor: float
    seed: int
    neurons: list[NeuronId]
    p: list[dict[str, Any]]


class Evaluation(Answer):
    """A version against the base."""

    score: float | None
    perplexity: dict[str, Any]
    protocols: dict[str, dict[str, Any]] = Field(
        description="By protocol its meaning, and its figures over all updates."
    )
    updates: list[dict[str, Any]]
    passed_over: list[str]
    seed: int


class Batch(Answer):
    """Updates of many facts: `items` has one for each; as one edit, the members of that edit."""

    items: list[dict[str, Any]] | None = None
    recorded: int | None = None
    passed_over: int | None = None
    edit: str | None = None
    version: str | None = None


class Exported(Answer):
    """Where a version was written."""

    version: str
    path: str


class Pushed(Answer):
    """What was published, and where."""

    version: str
    repo: str
    branch: str
    commit: str
    url: str


class Pulled(Answer):
    """A version that was taken in."""

    version: str
    source: str
    commit: str
    edits: list[str]
    new: list[str]
    moved: bool


class Verified(Answer):
    """Whether versions and the ledger are as recorded."""

    ok: bool
    version: str | None
    problems: list[dict[str, str]]
    notes: list[str]
    chain: str | None


class JobProgress(Answer):
    """How far a job has come. total: 0 where nobody knows"""

    task: str
    done: int
    total: int


class Job(Answer):
    """Long work that outlives a request."""

    id: str
    verb: str
    arguments: dict[str, Any]
    branch: str | None
    by: str
    state: str = Field(description="queued, running, done, failed or cancelled.")
    created: str
    started: str | None
    ended: str | None
    progress: JobProgress | None
    log: list[str]
    cancelling: bool
    result: dict[str, Any] | None = Field(description="What the verb gives, once it is done.")
    error: Problem | None = Field(description="The problem document, once it has failed.")


class Page(BaseModel, Generic[T]):
    """Part of a list, newest first. next: `before` of the part that follows; null at the end"""

    items: list[T]
    next: str | None
