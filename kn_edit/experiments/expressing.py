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
from kn_edit.experiments.lab import Lab
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
Asked = Mapping[str, Sequence[Question]]  # by kind
PAPER = {"expressing": 0.485, "subject": 0.019, "random": -0.018}


def measure(lab: Lab) -> list[Row]:
    """One row a fact: the mean coefficient of its neurons for each kind of prompt."""
    cases = lab.cases
    rows = lab.rows("expressing")
    return rows.all(list(cases), lambda name: _row(lab, cases[name]), lab.progress)


def _row(lab: Lab, case: Case) -> Row:
    def asked(model: Model) -> Asked:
        chains = {
            "expressing": lab.chains(model, case, held_out=True),
            "subject": lab.firsts(model, _same_subject(lab, case), 2),
            "relation": lab.firsts(model, lab.same_relation(case), 2),
            "random": lab.firsts(model, lab.other_relations(case), 2),
        }
        return {kind: _begins(some) for kind, some in chains.items()}

    return activations(lab, case, asked)


def activations(lab: Lab, case: Case, asked: Callable[[Model], Asked]) -> Row:
    """The mean coefficient of a fact's neurons where each kind of question is asked."""
    neurons = [neuron for neuron, _ in lab.located(case).neurons]
    if not neurons:
        return {"neurons": [], "coefficients": {}}
    with lab.base() as (model, _):
        own = _of(neurons, coefficients(model, _begins(lab.chains(model, case))))
        direction = own.mean(0).sign()  # in which each fires for the fact, (neurons,)
        seen = {
            kind: float((_of(neurons, coefficients(model, questions)) * direction).mean())
            for kind, questions in asked(model).items()
            if questions
        }
    return {"neurons": [str(neuron) for neuron in neurons], "coefficients": seen}


def _of(neurons: Sequence[NeuronId], seen: Tensor) -> Tensor:
    """Some neurons' coefficients, (prompts, neurons)."""
    layers, index = zip(*neurons, strict=True)
    return seen[:, layers, index]


def _begins(chains: Sequence[Chain]) -> list[Question]:
    """Where the answers begin."""
    return [chain.questions[0] for chain in chains]


def _same_subject(lab: Lab, case: Case) -> list[Case]:
    """The subject's other relations: they mention it, and ask for something else."""
    return [
        Case(relation, fact)
        for name, relation in lab.relations.items()
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
    found = {kind: one for kind in kinds if (one := _estimate(rows, kind)) is not None}
    lines = [
        (kinds[kind], str(one.count), str(one), f"{PAPER[kind]:.3f}" if kind in PAPER else "")
        for kind, one in found.items()
    ]
    own = found.get("expressing")
    claims = [
        Claim(
            f"{kinds['expressing'].capitalize()} activate a fact's neurons more than "
            f"{kinds[kind]}: {own.value:.3f} against {other.value:.3f}.",
            own.value > other.value,
        )
        for kind, other in found.items()
        if kind != "expressing" and own is not None
    ]
    table = Table(title, ("prompts", "facts", "coefficient", "the paper"), tuple(lines))
    return Section(title, text, (table,), tuple(claims))


def _estimate(rows: Sequence[Row], kind: str) -> Estimate | None:
    values = [row["coefficients"][kind] for row in rows if kind in row["coefficients"]]
    return mean(values) if values else None
