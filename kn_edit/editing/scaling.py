"""Suppress and amplify one fact's neurons, and see what else moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from kn_edit.editing.locating import Locator, chains_for
from kn_edit.errors import NoNeurons, require_number
from kn_edit.facts import Case, Fact, Relation, bundled, load_relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain
from kn_edit.neuron import NeuronId
from kn_edit.neurons.intervention import p_when_scaled
from kn_edit.neurons.locate import Located
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.seeds import USUAL, generator

CONTROLS = 6  # facts that stand for the relation, and for other relations
LOOKED_AT = 24  # of another relation, to find one that the model knows


@dataclass(frozen=True)
class Moved:
    """Mean p(answer) over some prompts, before and after."""

    group: str
    prompts: int
    before: float
    after: float

    @property
    def change(self) -> float | None:
        """Relative to the mean before; None where that is too small for a number."""
        change = self.after / self.before - 1 if self.before else math.inf
        return change if math.isfinite(change) else None


@dataclass(frozen=True)
class Scaled:
    """What scaling a fact's neurons did, to it and to the controls."""

    fact: Fact
    factor: float
    neurons: tuple[NeuronId, ...]
    moved: tuple[Moved, ...]
    seed: int = USUAL  # of the controls


def scale(model: Model, locator: Locator, case: Case, located: Located, factor: float) -> Scaled:
    """Scale a fact's neurons during forward passes; no weight changes. Raises NoNeurons."""
    require_number("the factor", factor)
    neurons = tuple(neuron for neuron, _ in located.neurons)
    if not neurons:
        raise NoNeurons(str(case.fact))
    fact_chains = _chains(model, case.relation, [case.fact], None)
    stated = (fact for fact in locator.each_known_fact(case.relation, case.fact) if fact.stated)
    known_facts = list(islice(stated, CONTROLS))
    draw = generator(locator.seed, "random neurons")
    elsewhere = tuple(as_many_elsewhere(neurons, model.d_ff, draw))
    groups = [
        ("the fact", fact_chains, neurons),
        (
            "other facts of its relation",
            _chains(model, case.relation, known_facts),
            neurons,
        ),
        ("facts of other relations", _elsewhere(model, locator, case), neurons),
        ("the fact, random neurons", fact_chains, elsewhere),
    ]
    moved = tuple(
        Moved(
            group=group,
            prompts=len(chains),
            before=fmean(p_when_scaled(model, chains, chosen, 1.0)),
            after=fmean(p_when_scaled(model, chains, chosen, factor)),
        )
        for group, chains, chosen in groups
        if chains
    )
    return Scaled(fact=case.fact, factor=factor, neurons=neurons, moved=moved, seed=locator.seed)


def _chains(
    model: Model, relation: Relation, facts: Sequence[Fact], most: int | None = 1
) -> list[Chain]:
    return [chain for fact in facts for chain in chains_for(model, relation, fact, most=most)]


def _elsewhere(model: Model, locator: Locator, case: Case) -> list[Chain]:
    """A prompt of a known fact of each of some other relations, about other subjects."""
    chains: list[Chain] = []
    for name in bundled():
        if name == case.relation.name or len(chains) == CONTROLS:
            continue
        relation = load_relation(name)
        tried = [
            fact
            for fact in locator.tried(relation, most=LOOKED_AT)
            if fact.subject != case.fact.subject
        ]
        first = next((fact for fact in tried if locator.knows(relation, fact)), None)
        if first is not None:
            chains += _chains(model, relation, [first])
    return chains
