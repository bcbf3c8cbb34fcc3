"""Activation by prompt (the paper's section 4.3): do prompts that express a fact light its neurons?

The mean coefficient of a fact's knowledge neurons at the answer position of four kinds of prompts
made of templates; where there are files of sentences, in these too. Coefficients of gated FFNs have
either sign, so each neuron counts in the direction in which it fires for the fact's trained
prompts, none of which is among the prompts that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from kn_edit.evaluation.section import Claim, Section, Table
from kn_edit.evaluation.statistics import Estimate, mean
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.rows import Row
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients
from kn_edit.models.questions import Chain, Question
from kn_edit.neuron import NeuronId

KINDS = {
    "expressing": "prompts of the fact, held out",
    "subject": "same subject, other relations",
    "relation": "same relation, other subjects",
    "random": "other subjects, other relations",
}
QuestionsByKind = Mapping[str, Sequence[Question]]  # by kind
PAPER = {"expressing": 0.485, "subject": 0.019, "random": -0.018}


def measure(context: ExperimentContext) -> list[Row]:
    """One row a fact: the mean coefficient of its neurons for each kind of prompt."""
    return context.measured("expressing", list(context.cases), _row)


def _row(context: ExperimentContext, name: str) -> Row:
    case = context.cases[name]

    def questions_of(model: Model) -> QuestionsByKind:
        chains = {
            "expressing": context.chains(model, case, held_out=True),
            "subject": context.firsts(model, _same_subject(context, case), 2),
            "relation": context.firsts(model, context.same_relation(case), 2),
            "random": context.firsts(model, context.other_relations(case), 2),
        }
        return {kind: _begins(group) for kind, group in chains.items()}

    return activations(context, case, questions_of)


def activations(
    context: ExperimentContext, case: Case, questions_of: Callable[[Model], QuestionsByKind]
) -> Row:
    """The mean coefficient of a fact's neurons where each kind of question is asked."""
    neurons = [neuron for neuron, _ in context.located(case).neurons]
    if not neurons:
        return {"neurons": [], "coefficients": {}}
    with context.base() as (model, _):
        trained = _of(neurons, coefficients(model, _begins(context.chains(model, case))))
        direction = trained.mean(0).sign()  # in which each fires for the fact, (neurons,)
        means = {
            kind: float((_of(neurons, coefficients(model, questions)) * direction).mean())
            for kind, questions in questions_of(model).items()
            if questions
        }
    return {"neurons": [str(neuron) for neuron in neurons], "coefficients": means}


def _of(neurons: Sequence[NeuronId], values: Tensor) -> Tensor:
    """Some neurons' coefficients, (prompts, neurons)."""
    layers, index = zip(*neurons, strict=True)
    return values[:, layers, index]


def _begins(chains: Sequence[Chain]) -> list[Question]:
    """Where the answers begin."""
    return [chain.questions[0] for chain in chains]


def _same_subject(context: ExperimentContext, case: Case) -> list[Case]:
    """The subject's other relations: they mention it, and ask for something else."""
    return [
        Case(relation, fact)
        for name, relation in context.relations.items()
        if name != case.relation.name
        for fact in relation.facts
        if fact.subject == case.fact.subject
    ]


def section(rows: Sequence[Row]) -> Section:
    text = (
        "Mean coefficient of a fact's knowledge neurons at the answer position of prompts made of "
        "templates, in the direction in which they fire for its trained prompts. The paper's "
        "figures are of sentences from the web, with activations of another scale: what compares "
        "is the order."
    )
    return compared("Activation by prompt", text, rows, KINDS)


def compared(title: str, text: str, rows: Sequence[Row], kinds: Mapping[str, str]) -> Section:
    """A table of the kinds, and whether the first is above each other."""
    estimates = {
        kind: estimate for kind in kinds if (estimate := _estimate(rows, kind)) is not None
    }
    lines = [
        (
            kinds[kind],
            str(estimate.count),
            str(estimate),
            f"{PAPER[kind]:.3f}" if kind in PAPER else "",
        )
        for kind, estimate in estimates.items()
    ]
    expressing = estimates.get("expressing")
    claims = [
        Claim(
            f"{kinds['expressing'].capitalize()} activate a fact's neurons more than "
            f"{kinds[kind]}: {expressing.value:.3f} against {estimate.value:.3f}.",
            expressing.value > estimate.value,
        )
        for kind, estimate in estimates.items()
        if kind != "expressing" and expressing is not None
    ]
    table = Table(title, ("prompts", "facts", "coefficient", "the paper"), tuple(lines))
    return Section(title=title, text=text, tables=(table,), claims=tuple(claims))


def _estimate(rows: Sequence[Row], kind: str) -> Estimate | None:
    values = [row["coefficients"][kind] for row in rows if kind in row["coefficients"]]
    return mean(values) if values else None
