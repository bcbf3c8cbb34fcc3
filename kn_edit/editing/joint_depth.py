"""At which layers of a base a joint update writes: measured on it, once.

Up to one of them where subjects end.

In low layers a shift that was found with some wordings of a fact says little in others; in high
ones the coefficients of subjects come to resemble each other, so what is written for one is heard
at others. So for a few bundled facts each candidate layer is judged by

    (share of other wordings in which a shift there brings on a new answer) * (1 - leak)

where leak is what an edit of one subject gives to another of its relation, in units of what that
gets itself: |k' A^-1 k| / (k A^-1 k), of their coefficients k and k' and the second moment A of
ordinary text (the solution of MEMIT, Meng et al., 2023, for one fact).

And in late ones where answers are. Below some layer the coefficients of two subjects of a relation
nearly coincide there, as no answer has come yet; from it on the leak is a fraction of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, takewhile

import torch
from torch import Tensor

from kn_edit.editing.joint_subjects import (
    ShiftSearch,
    SubjectRow,
    end_place,
    leads_behind,
    subject_end,
    subject_shifts,
)
from kn_edit.editing.locating import Locator, prompts_for
from kn_edit.edits.members import Place
from kn_edit.errors import CannotAsk
from kn_edit.facts import Fact, Relation, bundled, load_relation, same_answer
from kn_edit.models.model import Model
from kn_edit.models.questions import ask
from kn_edit.seeds import generator

FEWEST_LAYERS = 4  # of a network, for some of them to lie low
LOWEST, HIGHEST, CANDIDATES = 0.1, 0.5, 5  # depths of the candidates, and how many there are
USUAL_DEPTH = 0.3  # where nothing tells: that of ROME's and MEMIT's layers
LATE_DEPTH = 2 / 3  # of the lowest layer that may write where answers are
USUAL_LATE_DEPTH = 0.8  # of the lowest one that does, where nothing tells
APART = 1.5  # times the least leak of a late layer, that those have which write there
RELATIONS, FACTS = 5, 3  # that are tried, and of each
FOUND_WITH, UNSEEN = 2, 3  # wordings of a fact
SEARCH = ShiftSearch(margin=2.0, steps=8, step=0.2)
TRIED = (RELATIONS, FACTS, FOUND_WITH, UNSEEN)


@dataclass(frozen=True, eq=False)
class Trial:
    """A fact that is tried: rows of the wordings that a shift is found with, and of others.

    ends: where the former have the subject's last token; answers: where an answer follows the
    prompt, in all wordings
    """

    relation: str
    trained: tuple[SubjectRow, ...]
    unseen: tuple[SubjectRow, ...]
    ends: tuple[Place, ...]
    answers: tuple[Place, ...]


def candidate_layers(model: Model) -> tuple[int, ...]:
    """Layers that may be the last that writes where subjects end, evenly spread.

    Of a network of few layers the last one below another: what it writes is read from there on.
    """
    if model.n_layers < FEWEST_LAYERS:
        return (max(model.n_layers - 2, 0),)
    step = (HIGHEST - LOWEST) / (CANDIDATES - 1)
    depths = (LOWEST + number * step for number in range(CANDIDATES))
    return tuple(sorted({round(depth * model.n_layers) for depth in depths}))


def best_layer(layers: Sequence[int], scores: Sequence[float], n_layers: int) -> int:
    """The layer with the highest score; of equal ones that nearest to the usual depth."""
    usual = USUAL_DEPTH * n_layers
    pairs = zip(scores, layers, strict=True)
    return max(pairs, key=lambda pair: (pair[0], -abs(pair[1] - usual)))[1]


def late_candidates(model: Model, above: int) -> tuple[int, ...]:
    """Layers that may write where answers are, above a layer and below the last one.

    What the last one writes no other reads: it is said as it is wherever it is heard a little.
    None of a network of few layers.
    """
    lowest = round(LATE_DEPTH * (model.n_layers - 1))
    return tuple(range(max(above + 1, lowest), model.n_layers - 1))


def late_layers(layers: Sequence[int], leaks: Sequence[float], n_layers: int) -> tuple[int, ...]:
    """Those around the layer with the least leak that have little more than it, without a gap.

    The usual ones where no leak is known.
    """
    if not any(leaks):
        lowest = round(USUAL_LATE_DEPTH * (n_layers - 1))
        return tuple(layer for layer in layers if layer >= lowest)
    least = min(range(len(leaks)), key=leaks.__getitem__)

    def tells_apart(place: int) -> bool:
        return leaks[place] <= APART * leaks[least]

    above = takewhile(tells_apart, range(least, len(layers)))
    below = takewhile(tells_apart, range(least - 1, -1, -1))
    return tuple(layers[place] for place in sorted([*below, *above]))


def trials(model: Model, locator: Locator, seed: int) -> tuple[Trial, ...]:
    """Facts that the model knows, of some bundled relations, each with another one's answer."""
    names = generator(seed, "relations that show a layer").sample([*bundled()], len(bundled()))
    selected: list[Trial] = []
    for name in names:
        relation = load_relation(name)
        facts = locator.known_facts(relation, most=FACTS)
        if not (facts and locator.knows(relation, facts[0])):  # any are given where none is known
            continue
        of_relation = [trial for fact in facts for trial in _trial(model, relation, fact, facts)]
        if len(of_relation) > 1:  # a leak takes two
            selected += of_relation
        if len({trial.relation for trial in selected}) == RELATIONS:
            break
    return tuple(selected)


def _trial(model: Model, relation: Relation, fact: Fact, facts: Sequence[Fact]) -> Iterator[Trial]:
    """The trial of a fact; none where its prompts are too few, or cannot be asked."""
    answers = (beside.answer for beside in facts if not same_answer(beside.answer, fact.answer))
    to = next(answers, None)
    if to is None:
        return
    wordings: list[tuple[SubjectRow, ...]] = []
    answered: list[Place] = []
    with suppress(CannotAsk):
        for prompt in prompts_for(model, relation, fact):
            chain = ask(model, prompt, to)
            end = subject_end(model, chain, fact.subject)
            if end is not None:
                wordings.append(tuple(SubjectRow(question, end) for question in chain.questions))
                first = chain.questions[0]
                answered.append(Place(first.ids, first.position))
    if len(wordings) > FOUND_WITH:
        trained = tuple(row for wording in wordings[:FOUND_WITH] for row in wording)
        unseen = wordings[FOUND_WITH : FOUND_WITH + UNSEEN]
        ends = {end_place(model, row.question.ids, row.end) for row in trained}
        yield Trial(
            relation.name,
            trained,
            tuple(row for wording in unseen for row in wording),
            tuple(sorted(ends)),
            tuple(answered[: FOUND_WITH + UNSEEN]),
        )


def said_unseen(model: Model, tried: Sequence[Trial], layer: int) -> float:
    """In which share of the other wordings the tokens of a new answer lead. Raises NotFinite."""
    shifts = subject_shifts(model, [trial.trained for trial in tried], layer, SEARCH)
    leads = leads_behind(model, [trial.unseen for trial in tried], layer, shifts)
    return float((leads > 0).float().mean())


def leak(tried: Sequence[Trial], keys: Sequence[Tensor], moment: Tensor) -> float:
    """What an edit of one subject gives to another of its relation, in the mean; 1 at most.

    keys: mean coefficients of each trial at its places, (d_ff,); moment: (d_ff, d_ff)
    """
    rows = torch.stack([key.double() for key in keys]).to(moment)
    heard = rows @ torch.linalg.solve(moment, rows.T)  # by the first, of an edit of the second
    shares = [
        min(float(heard[a, b].abs() / heard[b, b]), 1.0)
        for first, second in combinations(range(len(tried)), 2)
        if tried[first].relation == tried[second].relation
        for a, b in ((first, second), (second, first))
    ]
    return sum(shares) / max(len(shares), 1)
