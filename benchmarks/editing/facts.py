"""Facts that are edited: rows of published files, or bundled facts that the model knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from kn_edit.editing.locating import prompts_for
from kn_edit.facts import Case, Fact, Prompt, Relation, bundled, load_relation, read_cases
from kn_edit.models.model import Model
from kn_edit.models.questions import ask
from kn_edit.neurons.assess import assess

FILES = ("counterfact", "zsre", "wikibigedit", "qaedit")
BUNDLED = "bundled"
DATASETS = (*FILES, BUNDLED)
OWN = 3  # of a fact's own prompts, the first, that editors see and that are asked
HELD_OUT = 3  # paraphrases that are asked, at most
LOCALITY = 4  # prompts about other subjects that are asked, at most
TRIED = 16  # facts of a relation that are asked together, to find some that the model knows


@dataclass(frozen=True)
class EditFact:
    """A fact, and the answer that it is to have."""

    case: Case
    to: str

    @property
    def old(self) -> str:
        """The answer before, empty where nobody stated one."""
        return self.case.fact.answer.strip()

    def prompts(self, model: Model) -> tuple[Prompt, ...]:
        """The fact's own prompts, which editors see."""
        return prompts_for(model, self.case.relation, self.case.fact)[:OWN]

    def paraphrases(self, model: Model) -> tuple[Prompt, ...]:
        """Its held-out prompts, which no editor sees."""
        return prompts_for(model, self.case.relation, self.case.fact, held_out=True)[:HELD_OUT]

    @property
    def locality(self) -> tuple[Prompt, ...]:
        """Prompts about other subjects, which no editor sees."""
        return self.case.judges[:LOCALITY]


def drawn(model: Model, dataset: str, folder: Path, count: int, seed: int) -> list[EditFact]:
    """So many facts in drawn order, or as many as there are; none of them is left out later.

    The first facts of a larger draw from a file are those of a smaller one.
    """
    if dataset == BUNDLED:
        return _bundled(model, count, seed)
    cases = [case for case in read_cases(folder / f"{dataset}.jsonl") if case.target]
    order = Random(seed).sample(cases, len(cases))[:count]
    return [EditFact(case, case.target or "") for case in order]


def _bundled(model: Model, count: int, seed: int) -> list[EditFact]:
    """Facts that the model knows, of all bundled relations in turns, and new answers for them."""
    relations = [load_relation(name) for name in bundled()]
    known = {relation.name: _known(model, relation, seed) for relation in relations}
    facts: list[tuple[Relation, Fact]] = []
    turn = 0
    while len(facts) < count and known:
        relation = relations[turn % len(relations)]
        turn += 1
        fact = next(known[relation.name], None) if relation.name in known else None
        if fact is None:
            known.pop(relation.name, None)
        else:
            facts.append((relation, fact))
    edited = {(relation.name, fact.subject) for relation, fact in facts}
    return [_edit(relation, fact, edited, seed) for relation, fact in facts]


def _known(model: Model, relation: Relation, seed: int) -> Iterator[Fact]:
    """Facts of a relation whose answer the model says to the first prompt, in drawn order."""
    order = Random(f"{seed} {relation.name}").sample(relation.facts, len(relation.facts))
    for start in range(0, len(order), TRIED):
        group = order[start : start + TRIED]
        chains = [ask(model, prompts_for(model, relation, fact)[0]) for fact in group]
        answers = assess(model, chains, finite=False)
        yield from (fact for fact, answer in zip(group, answers, strict=True) if answer.right)


def _edit(relation: Relation, fact: Fact, edited: set[tuple[str, str]], seed: int) -> EditFact:
    """A fact with another answer of its relation, judged by facts that no one edits."""
    draw = Random(f"{seed} {relation.name} {fact.subject}")
    to = draw.choice(sorted({each.answer for each in relation.facts} - {fact.answer}))
    others = [each for each in relation.facts if (relation.name, each.subject) not in edited]
    template = next(each for each in relation.templates if not each.held_out and each.answer_last)
    judges = [Prompt(each, template) for each in draw.sample(others, min(LOCALITY, len(others)))]
    return EditFact(replace(Case(relation, fact), judges=tuple(judges)), to)
