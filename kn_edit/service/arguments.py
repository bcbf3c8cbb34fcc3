"""What each verb is told, as JSON: the names of the command line, checked and bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

import kn_edit.workspace
from kn_edit.errors import BadSetting, NoTarget, require_known
from kn_edit.evaluation.protocols import ALL, ON_REQUEST, ROUNDINGS, SAMPLES, TOKENS
from kn_edit.service.method_options import method_members, named_method, one_of
from kn_edit.workspace import (
    Case,
    Gate,
    How,
    Kind,
    Relation,
    bundled,
    case_of,
    cases_of_rows,
    forms,
    load_relation,
    with_aliases,
    with_held_out,
)

if TYPE_CHECKING:
    from kn_edit.workspace import Search

MOST_ROWS = 1000  # of one job

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Texts = Annotated[list[Text], Field(max_length=50)]
Names = Annotated[list[Name], Field(max_length=50)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
VersionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="At least 8 digits of a version's id, a branch, a tag, `head` or `base`.",
    ),
]
RelationName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="A bundled relation, such as capital; with prompts of your own, any name.",
    ),
]
Seed = Annotated[int, Field(ge=-(2**53), le=2**53, description="Of everything that is drawn.")]
FOLDER_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
FORMS = "A full model; a PEFT LoRA; the changed numbers; the edits with their order."
EditId = Annotated[
    str, Field(min_length=8, max_length=64, description="At least 8 digits of an edit's id.")
]
Repository = Annotated[str, Field(min_length=3, max_length=200, description="`owner/name`")]


class Arguments(BaseModel):
    """What a verb is told. A name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FactArguments(Arguments):
    """How a caller names a fact: by a relation, by prompts, or by a statement."""

    relation: RelationName | None = None
    subject: Name | None = Field(None, description="What the fact is about.")
    answer: Name | None = Field(None, description="Its answer, where the relation does not say.")
    prompts: Texts = Field([], description="Templates with [X] and [Y], in place of a relation's.")
    held_out: Texts = Field([], description="Templates that only judge, beside prompts.")
    neighbours: Names = Field([], description="Other subjects, whose answers must stay.")
    statement: Text | Texts | None = Field(
        None,
        description="The fact as a sentence, or several wordings of it, marked [X: ...] [Y: ...].",
    )

    @property
    def statements(self) -> list[str]:
        """The wordings of the statement."""
        if self.statement is None:
            return []
        return [self.statement] if isinstance(self.statement, str) else self.statement

    def case(self, to: str | None = None) -> Case:
        """The case that they name. Raises BadSetting, and what `case_of` raises."""
        if self.relation is not None and not self.prompts and not self.statements:
            bundled_relation(self.relation)
        if self.held_out and not (self.prompts or self.statements):
            raise BadSetting("held_out", self.held_out[0], "prompts or a statement beside it")
        case = case_of(
            relation=self.relation,
            subject=self.subject,
            answer=self.answer,
            prompts=self.prompts,
            neighbours=self.neighbours,
            statement=self.statements,
            to=to,
        )
        return with_held_out(case, self.held_out)

    def asked_case(self) -> Case:
        """The case to ask the model, where what a statement says counts as the answer."""
        case = self.case(self.answer if self.statements else None)
        return case.as_if_true() if self.statements else case


class SearchArguments(Arguments):
    """How neurons shall be found, and the seed of what is drawn."""

    rule: Literal["adaptive", "riemann", "activation"] = Field(
        "adaptive", description="How to score neurons; riemann is the paper's rule."
    )
    steps: int | None = Field(None, ge=1, le=1000, description="Points of riemann (20).")
    threshold: float | None = Field(
        None, gt=0, le=1, allow_inf_nan=False, description="Share of the largest score (0.2)."
    )
    seed: Seed = 0

    def search(self) -> Search:
        """The search. Raises BadSetting."""
        if self.steps is not None and self.rule != "riemann":
            raise BadSetting("steps", self.steps, "it with the rule riemann")
        return kn_edit.workspace.Search.by(self.rule, m=self.steps or 20, threshold=self.threshold)


class RecordingArguments(SearchArguments):
    """Whether to record an edit, and within which limits of the gate."""

    accept: bool = Field(False, description="Record the edit even if it fails the gate.")
    dry_run: bool = Field(False, description="Measure the edit; record nothing.")
    min_efficacy: Share | None = Field(
        None, description="The gate: share of its own prompts that must be answered."
    )
    min_specificity: Share | None = Field(
        None, description="The gate: share of other subjects' answers that must stay."
    )

    def gate(self, usual: Gate) -> Gate:
        """The limits of this call; usual: of the workspace, where it says nothing."""
        limits = {"efficacy": self.min_efficacy, "specificity": self.min_specificity}
        return replace(usual, **{k: limit for k, limit in limits.items() if limit is not None})

    def how(self, kind: Kind, usual: Gate) -> How:
        """How to make an edit. Raises BadSetting."""
        return How(named_method(kind, self), self.search(), self.gate(usual), self.seed)


class _ProposeArguments(SearchArguments, FactArguments):
    """A fact and its new answer, and how to look for its neurons."""

    to: Name | None = Field(None, description="The new answer, where no statement marks it.")
    aliases: Names = Field([], description="Other names of the new answer, for `evaluate`.")
    answer_aliases: Names = Field([], description="Other names of its answer today.")

    def wanted(self) -> tuple[Case, str]:
        """The case with its new answer. Raises NoTarget, and what `case` raises."""
        case = with_aliases(self.case(self.to), self.aliases, self.answer_aliases)
        target = self.to or case.target
        if not target:
            raise NoTarget(case.fact.subject)
        return case, target


class _UpdateArguments(RecordingArguments, _ProposeArguments):
    """A fact and its new answer, and how to change it."""


class Row(Arguments):
    """A fact of many and its new answer; the names are those of a file of facts."""

    relation: RelationName | None = None
    subject: Name | None = None
    answer: Name | None = None
    to: Name | None = None
    prompts: Texts | None = None
    held_out: Texts | None = None
    neighbours: Names | None = None
    statement: Text | Texts | None = None
    aliases: Names | None = None
    answer_aliases: Names | None = None


class _UpdatesArguments(RecordingArguments):
    """Facts with their new answers, and how to change them."""

    facts: Annotated[list[Row], Field(min_length=1, max_length=MOST_ROWS)]
    as_one_edit: bool = Field(
        False, description="Change all of them by one edit; the method must take many."
    )

    def wanted(self) -> list[tuple[Case, str]]:
        """The cases with their new answers. Raises NoTarget, BadFacts."""
        cases = cases_of_rows([row.model_dump(exclude_none=True) for row in self.facts])
        pairs = []
        for case in cases:
            with case.fact.located():
                if not case.target:
                    raise NoTarget(case.fact.subject)
                pairs.append((case, case.target))
        return pairs


class _EraseArguments(RecordingArguments):
    """A relation, and how to erase it."""

    relation: Annotated[str, Field(min_length=1, max_length=200, description="A bundled relation.")]

    def pack(self) -> Relation:
        """The relation. Raises BadSetting."""
        return bundled_relation(self.relation)


def _with_methods(model: type[Any], kind: Kind) -> Any:
    """A model with the members of every method of a kind."""
    name = model.__name__.removeprefix("_")
    return create_model(name, __base__=model, __doc__=model.__doc__, **method_members(kind))


ProposeArguments = _with_methods(_ProposeArguments, Kind.UPDATE)
UpdateArguments = _with_methods(_UpdateArguments, Kind.UPDATE)
UpdatesArguments = _with_methods(_UpdatesArguments, Kind.UPDATE)
EraseArguments = _with_methods(_EraseArguments, Kind.ERASE)


class VersionArguments(Arguments):
    """Of which version."""

    version: VersionName = "head"


class AssessArguments(FactArguments, VersionArguments):
    """Which fact the model is asked, and at which version."""


class LocateArguments(FactArguments, SearchArguments, VersionArguments):
    """Of which fact, or of which relation, neurons are looked for."""

    limit: int | None = Field(
        None, ge=1, le=1000, description="Of a whole relation, so many facts that the model knows."
    )

    @property
    def whole_relation(self) -> bool:
        """Whether no fact of the relation is named."""
        named = self.subject or self.prompts or self.statements
        return self.relation is not None and not named


class SuppressArguments(FactArguments, SearchArguments, VersionArguments):
    """Of which fact the neurons are scaled, and how much."""

    factor: float = Field(
        0.0, ge=-1000, le=1000, allow_inf_nan=False, description="Times what; 0 silences."
    )


class AmplifyArguments(SuppressArguments):
    """Of which fact the neurons are scaled, and how much."""

    factor: float = Field(
        2.0, ge=-1000, le=1000, allow_inf_nan=False, description="Times what; 0 silences."
    )


class EvaluateArguments(VersionArguments):
    """Which version is measured against the base, and by which protocols."""

    seed: Seed = 0
    protocols: list[one_of([*ON_REQUEST, ALL])] = Field(  # type: ignore[valid-type]
        [], max_length=8, description="How updates are asked, too; these generate text."
    )
    tokens: int = Field(TOKENS, ge=1, le=1000, description="Of a text that is generated, at most.")
    samples: int = Field(
        SAMPLES, ge=0, le=100, description="Texts that are drawn beside the likeliest one."
    )
    rounded: one_of(ROUNDINGS) | None = Field(  # type: ignore[valid-type]
        None, description="The number format to which weights are rounded while they are asked."
    )


class ProposalArguments(Arguments):
    """Which edit that was tried out."""

    proposal: Annotated[
        str,
        Field(pattern=r"^[0-9a-f]{32}$", description="`proposal` of what trying it out gave."),
    ]


class RecordArguments(ProposalArguments):
    """Which edit that was tried out is recorded, as it was measured."""

    accept: bool = Field(False, description="Record it even if the gate refuses it.")


class RevertArguments(Arguments):
    """Which edit is taken out."""

    edit: EditId
    allow_overlap: bool = Field(False, description="Go on where edits share value slots, in order.")


class RewindArguments(Arguments):
    """To which version a branch goes."""

    version: VersionName


class Choice(Arguments):
    """Which answer of one fact stays. subject: null for an erasure of the whole relation"""

    relation: Name
    subject: Name | None = None
    keep: Literal["ours", "theirs", "both"]


class JoinArguments(Arguments):
    """Which answers stay where two sides answer a fact differently."""

    keep: Literal["ours", "theirs", "both"] | None = Field(
        None, description="What stays where both sides answer a fact, unless `choices` says it."
    )
    choices: Annotated[list[Choice], Field(max_length=MOST_ROWS)] = []
    allow_overlap: bool = Field(False, description="Go on where edits share value slots, in order.")


VersionNames = Annotated[list[VersionName], Field(min_length=1, max_length=20)]


class MergeArguments(JoinArguments):
    """Which branches, or other versions, are put onto the branch."""

    branches: VersionNames


class ComposeArguments(JoinArguments):
    """Of which versions the new one is made; one alone is put onto the branch."""

    versions: VersionNames


class TagArguments(VersionArguments):
    """A name for a version."""

    name: Name
    move: bool = Field(False, description="Let a tag that exists name this version from now on.")


class FormArguments(VersionArguments):
    """Which version is written, and in which form."""

    form: one_of(forms()) = Field("checkpoint", alias="as", description=FORMS)  # type: ignore[valid-type]
    max_rank: int | None = Field(
        None, ge=1, le=100_000, description="Refuse an adapter of a larger rank (64)."
    )


class ExportArguments(FormArguments):
    """Which version is exported. target: a new folder below the one of the settings"""

    target: Annotated[str, Field(pattern=FOLDER_NAME, max_length=100)]


class PushArguments(VersionArguments):
    """Which version is published, where, and as what."""

    repo: Repository
    form: one_of(forms(publishable=True)) = Field(  # type: ignore[valid-type]
        "checkpoint", alias="as", description=FORMS
    )
    branch: Name = Field("main", description="Of the repository.")
    tag: Name | None = Field(None, description="Of the commit; a tag never moves.")
    pr: bool = Field(False, description="Offer it as a pull request.")
    private: bool = Field(False, description="Only you see a repository that this makes.")
    max_rank: int | None = Field(None, ge=1, le=100_000)
    license: Name | None = Field(None, description="As the Hub spells it (that of the base).")


class PullArguments(Arguments):
    """What is taken in."""

    source: Annotated[
        str,
        Field(min_length=3, max_length=300, description="`owner/name` or `owner/name@revision`"),
    ]


class RollbackArguments(Arguments):
    """Which state of a repository is restored."""

    repo: Repository
    to: Name = Field(description="A version, tag or commit that was published there.")
    branch: Name = Field("main", description="Of the repository.")


class VerifyArguments(Arguments):
    """What is rebuilt and compared."""

    version: VersionName | None = Field(None, description="Only this one, in place of all.")
    since: Name | None = Field(None, description="Digest of the journal of an earlier verify.")


def bundled_relation(name: str) -> Relation:
    """A relation that ships with kn-edit. Raises BadSetting for a name that none has."""
    require_known("the relation", name, bundled())
    return load_relation(name)
