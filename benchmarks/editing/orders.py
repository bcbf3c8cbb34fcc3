"""Orders in which facts are edited: as drawn, and two that are hard on sequential editors.

What an edit loses to later ones is told best by how much its key has in common with theirs. So
`exposed-first` begins with the facts whose keys are most like all others, and `grouped` puts facts
that are asked in the same words one behind the other, so that each batch is of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from benchmarks.editing.editors import MEMIT_DEPTH
from benchmarks.editing.facts import EditFact
from benchmarks.editing.places import at_ends, contexts
from kn_edit.models.model import Model

DRAWN = "drawn"


def exposed_first(model: Model, facts: Sequence[EditFact]) -> list[EditFact]:
    """Facts by the mean cosine of their key with the keys of all others, the largest first."""
    layer = round(MEMIT_DEPTH * (model.n_layers - 1))
    keys = at_ends(model, [contexts(model, fact)[0] for fact in facts], [layer])[0][layer]
    unit = keys / keys.norm(dim=1, keepdim=True)
    order = torch.argsort((unit @ unit.T).sum(1), descending=True, stable=True)
    return [facts[number] for number in order.tolist()]


def grouped(model: Model, facts: Sequence[EditFact]) -> list[EditFact]:
    """Facts by the words of their first prompt."""
    return sorted(facts, key=lambda fact: fact.prompts(model)[0].template.text)


ORDERS: dict[str, Callable[[Model, Sequence[EditFact]], list[EditFact]]] = {
    DRAWN: lambda _, facts: list(facts),
    "exposed-first": exposed_first,
    "grouped": grouped,
}
