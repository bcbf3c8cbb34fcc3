"""What an edit must leave alone: prompts that the solver holds in place, and prompts that judge."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.facts import Case, Fact, Prompt, Relation, bundled, load_relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask, ask_openly
from kn_edit.workspace.locating import Locator, prompts_for

SEED = 0
HELD = 24  # prompts of other subjects that the solver holds in place
HELD_ELSEWHERE = 8  # and of other relations
HELD_EARLIER = 32  # and of updates that were made before
JUDGES = 12  # other facts that judge, at most half of those that the model knows
PROBES = 2  # prompts of every other fact that judges, trained and held out alike
OTHER_FACTS = 4  # of every other bundled relation, to see whether an erasure spares them


@dataclass(frozen=True)
class Neighbours:
    """Other subjects of the relation. None both judges and may be held in place."""

    named: tuple[Question, ...]  # by the user: the solver holds all of them in place
    near: tuple[Question, ...]  # of these, one of each subject, it holds the nearest
    elsewhere: tuple[Question, ...]  # and the nearest of these, of other relations
    judges: tuple[Prompt, ...]  # it never sees these


def neighbours(model: Model, base: Locator, case: Case) -> Neighbours:
    """Share a fact's neighbours out. The model must be the base, so that all edits share them."""
    tried = base.tried(case.relation, case.fact)
    if case.neighbours:
        # Readers pair each neighbour with every template, also with those passed over.
        causal = model.causal
        held = [p for p in case.neighbours if p.template.answer_last or not causal]
        names = {prompt.fact.subject for prompt in held}
        judges = [fact for fact in tried if fact.subject not in names]
    else:
        known = base.known(case.relation, case.fact)
        judges = known[: min(JUDGES, len(known) // 2)]
        # What the model says of facts that it does not know is to stay as well.
        rest = [fact for fact in tried if fact not in judges]
        turns = [prompts_for(model, case.relation, fact) for fact in rest]
        held = [prompts[at % len(prompts)] for at, prompts in enumerate(turns)]
    questions = tuple(ask_openly(model, prompt) for prompt in held)
    asked = [prompt for fact in judges for prompt in probes(model, case.relation, fact)]
    judging = _answered_right(model, base, asked)
    elsewhere = tuple(other_relations(model, case.relation.name, 1))
    if case.neighbours:
        return Neighbours(questions, (), elsewhere, judging)
    return Neighbours((), questions, elsewhere, judging)


def nearest(near: Sequence[Question], own: Tensor, others: Tensor, most: int) -> list[Question]:
    """Those that an edit reaches most, so many of them.

    A shift in proportion to the fact's own coefficients c reaches a neighbour with coefficients d
    in proportion to the inner product of c and d. own, others: coefficients of the slots that are
    edited, at the fact's prompts and at the neighbours', (prompts, n).
    """
    exact = torch.promote_types(own.dtype, torch.float32)  # products leave the range of float16
    reach = (others.to(exact) @ own.to(exact).mean(0)).abs()  # (neighbours,)
    order = reach.argsort(descending=True, stable=True).tolist()
    return [near[at] for at in order[:most]]


def probes(model: Model, relation: Relation, fact: Fact) -> tuple[Prompt, ...]:
    """The prompts by which a neighbour judges an edit."""
    trained = prompts_for(model, relation, fact)[:PROBES]
    return (*trained, *prompts_for(model, relation, fact, held_out=True)[:PROBES])


def other_relations(
    model: Model, name: str, each: int = PROBES, *, skip: int = 0
) -> list[Question]:
    """Places whose first token an edit must not change: of a few facts of every other bundled
    relation so many prompts. skip: leave out the first facts that would be taken."""
    questions = []
    for other in (load_relation(pack) for pack in bundled() if pack != name):
        facts = list(other.facts)
        random.Random(SEED).shuffle(facts)
        some = facts[skip : skip + OTHER_FACTS]
        prompts = [prompt for fact in some for prompt in prompts_for(model, other, fact)[:each]]
        questions += [ask_openly(model, prompt) for prompt in prompts]
    return questions


def _answered_right(model: Model, base: Locator, judging: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """A prompt that the model gets wrong anyway says little about harm."""
    stated = [prompt for prompt in judging if prompt.fact.stated]
    right = iter(base.right([ask(model, prompt) for prompt in stated]))
    return tuple(p for p in judging if not p.fact.stated or next(right))
