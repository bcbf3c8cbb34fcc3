"""Questions to the model of a workspace, at any of its versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kn_edit.editing.assessing import AssessShare
from kn_edit.editing.evaluating import Evaluation
from kn_edit.editing.evaluating import evaluate as evaluate_edits
from kn_edit.editing.locating import Locator, Search, every_prompt, prompts_for
from kn_edit.editing.requests import answers_of, check_case
from kn_edit.editing.scaling import Scaled
from kn_edit.editing.scaling import scale as scale_neurons
from kn_edit.editing.stated import answered, can_be_asked
from kn_edit.edits.delta import Delta
from kn_edit.engine.shares import InOrder
from kn_edit.errors import require_number
from kn_edit.evaluation.protocols import ProtocolPlan
from kn_edit.facts import Case, Relation, fact_key
from kn_edit.ledger import VersionRecord
from kn_edit.models import questions
from kn_edit.models.encoding import refuse_special
from kn_edit.models.model import Model
from kn_edit.models.questions import ask, ask_openly
from kn_edit.neurons.assess import Assessment
from kn_edit.neurons.locate import Located
from kn_edit.seeds import checked
from kn_edit.workspace.opened import OpenWorkspace


def assess(
    workspace: OpenWorkspace, case: Case, version: str, answer: str | None
) -> list[Assessment]:
    """What the model says at a version to every prompt of a fact."""
    (share,) = _assess_shares(workspace, [case], version, answer)
    return share.computed(workspace.engine, deltas_of(workspace, version))


def assess_many(
    workspace: OpenWorkspace, cases: Sequence[Case], version: str, answer: str | None
) -> Iterator[list[Assessment]]:
    """What the model says of each of several facts, in order, asked by workers if there are any."""
    shares = _assess_shares(workspace, cases, version, answer)
    deltas = deltas_of(workspace, version)
    for done, assessments in enumerate(InOrder(workspace.engine.workers.results(deltas, shares))):
        workspace.progress("asking", done, len(shares))
        yield assessments


def _assess_shares(
    workspace: OpenWorkspace, cases: Sequence[Case], version: str, answer: str | None
) -> list[AssessShare]:
    recorded = with_recorded_answers(workspace, cases, workspace.ledger.version(version))
    return [
        AssessShare(case, recorded_case, answer)
        for case, recorded_case in zip(cases, recorded, strict=True)
    ]


def check(workspace: OpenWorkspace, case: Case, to: str | None) -> None:
    """Raise EmptyField, BadField, NothingToAsk or CannotAsk for a case that cannot be asked."""
    check_case(case, to)
    model = workspace.engine.model
    for prompt in case.neighbours:
        if prompt.template.answer_last or not model.causal:
            refuse_special(model, prompt.before + prompt.after)
            ask_openly(model, prompt)
    for prompt in prompts_for(model, case.relation, case.fact):
        for answer in ("" if case.published else case.fact.answer, to):
            if answer:
                ask(model, prompt, answer)


def asked_otherwise(workspace: OpenWorkspace, case: Case) -> tuple[str, ...]:
    """A sentence for each prompt of a case that the tokenizer cannot say as it is written."""
    model = workspace.engine.model
    possible = can_be_asked(workspace.engine, case)
    prompts = every_prompt(model, case.relation, case.fact) if possible else ()
    return questions.asked_otherwise([ask(model, prompt) for prompt in prompts])


def locate(
    workspace: OpenWorkspace, case: Case, search: Search | str | None, *, version: str, seed: int
) -> Located:
    """The knowledge neurons of a fact at a version."""
    fact = with_answer(workspace, case, workspace.ledger.version(version)).fact
    with locating(workspace, search, None, seed) as (_, base):
        common = base.relation_neurons(case.relation, fact)
    with locating(workspace, search, version, seed) as (_, head):
        return head.fact(case.relation, fact, common)


def locate_relation(
    workspace: OpenWorkspace,
    relation: Relation,
    most: int | None,
    search: Search | str | None,
    *,
    version: str,
    seed: int,
) -> list[Located]:
    """The knowledge neurons of the first facts of a relation that the model knows."""
    with locating(workspace, search, version, seed) as (_, locator):
        return locator.relation(relation, locator.known_facts(relation, most=most))


def scale(
    workspace: OpenWorkspace,
    case: Case,
    factor: float,
    search: Search | str | None,
    *,
    version: str,
    seed: int,
) -> Scaled:
    """What a fact's neurons do when they are scaled. Raises NoNeurons, BadSetting."""
    require_number("the factor", factor)
    current = with_answer(workspace, case, workspace.ledger.version(version))
    located = locate(workspace, current, search, version=version, seed=seed)
    with locating(workspace, search, version, seed) as (model, locator):
        return scale_neurons(model, locator, current, located, factor)


def evaluate(workspace: OpenWorkspace, version: str, seed: int, plan: ProtocolPlan) -> Evaluation:
    """A version against the base. Raises CannotContinue."""
    recipe = workspace.ledger.version(version).edits
    edits = workspace.ledger.records(recipe)
    deltas = workspace.ledger.deltas(recipe)
    return evaluate_edits(workspace.engine, deltas, edits, workspace.progress, seed=seed, plan=plan)


def load(workspace: OpenWorkspace, version: str) -> Any:
    """A transformers model of its own at a version."""
    return workspace.engine.fresh(deltas_of(workspace, version)).net


@contextmanager
def locating(
    workspace: OpenWorkspace, search: Search | str | None, version: str | None, seed: int
) -> Iterator[tuple[Model, Locator]]:
    """The model at a version, the base for None, and what finds its neurons.

    seed: of what is drawn. Raises BadSetting for what is none.
    """
    seed = checked(seed)
    deltas = deltas_of(workspace, version) if version else []
    with workspace.engine.at(deltas) as live:
        yield live.model, Locator(live, Search.of(search or Search()), workspace.progress, seed)


def deltas_of(workspace: OpenWorkspace, version: str) -> list[Delta]:
    """The deltas of a version's edits, in order. Raises UnknownId."""
    return workspace.ledger.deltas(workspace.ledger.version(version).edits)


def with_answer(workspace: OpenWorkspace, case: Case, version: VersionRecord) -> Case:
    """The case with the answer that its fact has at a version: by an edit, or what it says."""
    return with_answers(workspace, [case], version)[0]


def with_answers(
    workspace: OpenWorkspace, cases: Sequence[Case], version: VersionRecord
) -> list[Case]:
    """Cases, each with the answer that its fact has at a version."""
    deltas = workspace.ledger.deltas(version.edits)
    recorded = with_recorded_answers(workspace, cases, version)
    return [answered(workspace.engine, deltas, case) for case in recorded]


def with_recorded_answers(
    workspace: OpenWorkspace, cases: Sequence[Case], version: VersionRecord
) -> list[Case]:
    """Cases, each with the answer that an edit of a version gave to its fact, if one did."""
    answers = answers_of(workspace.ledger.records(version.edits))
    recorded = [(case, answers.get(fact_key(case.relation, case.fact))) for case in cases]
    return [
        case if answer is None else replace(case, fact=replace(case.fact, answer=answer))
        for case, answer in recorded
    ]
