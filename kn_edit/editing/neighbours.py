"""What an edit must leave alone: prompts that the solver holds in place, and prompts that judge."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.editing.finding import Finder, shared_out
from kn_edit.editing.locating import Locator, prompts_for
from kn_edit.errors import CannotAsk
from kn_edit.facts import Case, Fact, Prompt, Relation, bundled, load_relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_openly
from kn_edit.seeds import USUAL, generator

HELD = 24  # prompts of other subjects that the solver holds in place
HELD_BESIDE_CHAT = 40  # the same, where a fact is to change in a chat too: that reaches further
HELD_ELSEWHERE = 8  # and of other relations
HELD_EARLIER = 32  # and of updates that were made before
JUDGES = 12  # other facts that judge, at most half of those that the model knows
FEWEST_JUDGES = 4  # prompts of a relation's other facts; with fewer, others are found
FOUND = 24  # other subjects that are found to be held in place
SAME = 6  # other prompts about the edited subject that are held, and as many that judge
PROBES = 2  # prompts of every other fact that judges, trained and held out alike
OTHER_FACTS = 4  # of every other bundled relation, to see whether an erasure spares them


@dataclass(frozen=True)
class Neighbours:
    """What an edit must leave alone. Nothing that judges may be held in place."""

    named: tuple[Question, ...]  # by the user: the solver holds all of them in place
    other_subjects: tuple[Question, ...]  # of these, of other subjects, it holds the nearest
    elsewhere: tuple[Question, ...]  # and the nearest of these, of other relations
    judges: tuple[Prompt, ...]  # other subjects; it never sees these
    same_subject: tuple[Question, ...] = ()  # other prompts about the edited subject: it holds them
    same_subject_judges: tuple[Prompt, ...] = ()  # and others, which it never sees
    prompts: tuple[Prompt, ...] = ()  # of `named` and `other_subjects`, in this order


def neighbours(model: Model, base: Locator, case: Case) -> Neighbours:
    """Share a fact's neighbours out. The model must be the base, so that all edits share them.

    Those that the user names are held in place, and those of the file judge. The relation's other
    facts do both; where there are too few, others are found for the fact's own prompts.
    """
    finder = Finder.of(model, case, base.seed)
    # Readers pair each neighbour with every template, also with those passed over.
    named = [p for p in case.neighbours if p.template.answer_last or not model.causal]
    facts = _shared_facts(base, case, {prompt.fact.subject for prompt in named})
    nearby = [] if named else _in_turn(model, case.relation, facts.held)
    judges = [prompt for prompt, _ in finder.askable(case.judges)]
    wanted = JUDGES
    if not judges:
        judges, wanted = _asked_of(model, base, case.relation, facts.judges), FEWEST_JUDGES
    if len(judges) < wanted or not (facts.held or facts.judges):
        names = [fact.subject for fact in facts.held] + [prompt.cloze for prompt in named]
        pairs = finder.other_subject_prompts(
            [*names, *(prompt.cloze for prompt in judges)], FOUND + JUDGES
        )
        held, spare = shared_out(model, pairs, every=3, most=JUDGES)
        nearby = nearby if facts.held or facts.judges else [prompt for prompt, _ in held]
        judges += [prompt for prompt, _ in spare[: max(0, JUDGES - len(judges))]]
    about_subject, subject_judges = shared_out(
        model, finder.same_subject(2 * SAME), every=2, most=SAME
    )
    return Neighbours(
        named=tuple(ask_openly(model, prompt) for prompt in named),
        other_subjects=tuple(ask_openly(model, prompt) for prompt in nearby),
        elsewhere=tuple(other_relations(model, case.relation.name, 1, seed=base.seed)),
        judges=tuple(judges) or _last_judges(model, case, base.seed),
        same_subject=tuple(question for _, question in about_subject),
        same_subject_judges=tuple(prompt for prompt, _ in subject_judges),
        prompts=(*named, *nearby),
    )


@dataclass(frozen=True)
class _Facts:
    """A relation's other facts: those that may be held in place, and those that judge."""

    held: Sequence[Fact]
    judges: Sequence[Fact]


def _shared_facts(base: Locator, case: Case, named: Collection[str]) -> _Facts:
    """Share a relation's other facts out.

    named: subjects that the user wants held, and that judge nothing
    """
    tried = base.tried(case.relation, case.fact)
    if named:
        return _Facts(
            held=[fact for fact in tried if fact.subject in named],
            judges=[fact for fact in tried if fact.subject not in named],
        )
    known_facts = base.known_facts(case.relation, case.fact, most=2 * JUDGES)
    judges = known_facts[: min(JUDGES, len(known_facts) // 2)]
    # What the model says of facts that it does not know is to stay as well.
    return _Facts([fact for fact in tried if fact not in judges], judges)


def _in_turn(model: Model, relation: Relation, facts: Sequence[Fact]) -> list[Prompt]:
    """One prompt of each fact, each time the next template."""
    turns = [prompts_for(model, relation, fact) for fact in facts]
    return [prompts[index % len(prompts)] for index, prompts in enumerate(turns)]


def _asked_of(
    model: Model, base: Locator, relation: Relation, facts: Sequence[Fact]
) -> list[Prompt]:
    """Prompts by which facts judge; all of them where the model gets every one wrong."""
    prompts = [prompt for fact in facts for prompt in probes(model, relation, fact)]
    return list(answered_right(model, base, prompts) or prompts)


def _last_judges(model: Model, case: Case, seed: int) -> tuple[Prompt, ...]:
    """Prompts of other relations that are not held, for a model that knows no other words."""
    prompts = other_prompts(model, case.relation.name, 1, skip=OTHER_FACTS, seed=seed)
    return tuple(prompts[:JUDGES])


def nearest(
    questions: Sequence[Question], fact_coefficients: Tensor, coefficients: Tensor, most: int
) -> list[Question]:
    """Select the neighbours that an edit reaches most, at most `most` of them.

    A shift in proportion to the fact's own coefficients c reaches a neighbour with coefficients d
    in proportion to the inner product of c and d.

    questions: of the neighbours; fact_coefficients, coefficients: of the slots that are edited, at
    the fact's prompts and at the neighbours', (prompts, n)
    """
    exact = torch.promote_types(
        fact_coefficients.dtype, torch.float32
    )  # products leave the range of float16
    reach = (coefficients.to(exact) @ fact_coefficients.to(exact).mean(0)).abs()  # (neighbours,)
    order = reach.argsort(descending=True, stable=True).tolist()
    return [questions[index] for index in order[:most]]


def probes(model: Model, relation: Relation, fact: Fact) -> tuple[Prompt, ...]:
    """The prompts by which a neighbour judges an edit."""
    trained = prompts_for(model, relation, fact)[:PROBES]
    return (*trained, *prompts_for(model, relation, fact, held_out=True)[:PROBES])


def other_relations(
    model: Model, name: str, per_fact: int = PROBES, *, skip: int = 0, seed: int = USUAL
) -> list[Question]:
    """Places whose first token an edit must not change, of every other bundled relation."""
    prompts = other_prompts(model, name, per_fact, skip=skip, seed=seed)
    return [ask_openly(model, prompt) for prompt in prompts]


def other_prompts(
    model: Model, name: str, per_fact: int = PROBES, *, skip: int = 0, seed: int = USUAL
) -> list[Prompt]:
    """A few prompts of a few facts of every other bundled relation.

    skip: leave out the first facts that would be taken; seed: of the facts that are drawn
    """
    return [
        prompt
        for pack in bundled()
        if pack != name
        for prompt in prompts_of_pack(model, pack, per_fact, skip=skip, seed=seed)
    ]


def prompts_of_pack(
    model: Model,
    name: str,
    per_fact: int = PROBES,
    *,
    skip: int = 0,
    most: int = OTHER_FACTS,
    seed: int = USUAL,
) -> list[Prompt]:
    """A few prompts of a few facts of a bundled relation; see `other_prompts`. most: facts"""
    relation = load_relation(name)
    facts = list(relation.facts)
    generator(seed, f"facts of {relation.name}").shuffle(facts)
    return [
        prompt
        for fact in facts[skip : skip + most]
        for prompt in prompts_for(model, relation, fact)[:per_fact]
    ]


def answered_right(model: Model, base: Locator, judging: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """A prompt that the model gets wrong anyway says little about harm.

    So does one whose answer it has no words for.
    """
    chains: dict[Prompt, Chain] = {}
    for prompt in judging:
        if prompt.fact.stated:
            with suppress(CannotAsk):
                chains[prompt] = ask(model, prompt)
    right = dict(zip(chains, base.right([*chains.values()]), strict=True))
    return tuple(p for p in judging if not p.fact.stated or right.get(p, False))
