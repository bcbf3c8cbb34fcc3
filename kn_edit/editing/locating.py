"""Locate the neurons of facts at one version of a base, with the scores cached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from kn_edit.engine.version import ModelVersion
from kn_edit.errors import (
    CannotAsk,
    NoFactToAsk,
    NothingToAsk,
    require_known,
    require_whole,
)
from kn_edit.facts import Fact, Prompt, Relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask
from kn_edit.neurons.locate import METHODS, ROUGH, Located, PromptScores, fact_neurons, located
from kn_edit.neurons.selection import Neurons, Thresholds, fitted_share, relation_neurons
from kn_edit.progress import Progress
from kn_edit.seeds import USUAL, generator

TRIED = 96  # other subjects that are asked, to find some that the model knows
BRIEF = 3  # prompts by which a fact is known
ASKED = 24  # subjects that are asked together, as long as more known ones are looked for
OTHERS = 6  # facts that show which neurons serve the relation: as good as 8 by 3 prompts each
FILTERING = 2  # prompts of each (docs/decisions/0010)
ACTIVATION_COARSE = 0.5  # the paper's threshold of its activation baseline


@dataclass(frozen=True)
class Search:
    """How to look for neurons."""

    method: str = "adaptive"
    m: int = 20  # points of the Riemann rule
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        require_known("the rule", self.method, METHODS)
        require_whole("m, the points of the Riemann rule,", self.m, 1)
        object.__setattr__(self, "m", int(self.m))  # numpy's cannot be written as JSON

    @classmethod
    def by(cls, method: str, *, m: int = 20, threshold: float | None = None) -> Search:
        """A search by one of METHODS; threshold: the coarse one, if not the method's own."""
        if threshold is None:
            threshold = ACTIVATION_COARSE if method == "activation" else Thresholds.coarse
        return cls(method, m, Thresholds(coarse=threshold))

    @classmethod
    def of(cls, named: Search | str) -> Search:
        """A search as people name it: itself, or its method. Raises BadSetting."""
        return named if isinstance(named, Search) else cls.by(named)


class Locator:
    """Finds neurons of facts at one version of a model."""

    def __init__(
        self, live: ModelVersion, search: Search, progress: Progress, seed: int = USUAL
    ) -> None:
        self._live = live
        self._search, self._progress = search, progress
        self.seed = seed  # of what is drawn, such as the order in which other subjects are taken
        self._known: dict[tuple[str, Fact | None], _KnownFacts] = {}

    def by(self, search: Search) -> Locator:
        """A locator at the same version, by another search."""
        return Locator(self._live, search, self._progress, self.seed)

    def relation_neurons(self, relation: Relation, fact: Fact) -> Neurons:
        """Neurons that other facts of the relation share: they carry it, and not the fact."""
        stated = (known for known in self.each_known_fact(relation, fact) if known.stated)
        known_facts = list(islice(stated, OTHERS))
        scored = self._scores(
            [self._chains(relation, known_fact, FILTERING) for known_fact in known_facts],
            relation.name,
            ROUGH if self._search.method == "adaptive" else self._search.method,
        )
        thresholds = self._search.thresholds
        sets = [fact_neurons(prompts, thresholds, thresholds.shared) for prompts in scored]
        return relation_neurons(sets, thresholds.other_facts)

    def fact(self, relation: Relation, fact: Fact, common: Neurons) -> Located:
        """The knowledge neurons of one fact, without those that carry the relation."""
        (scored,) = self._scores([self._chains(relation, fact)], fact.subject)
        thresholds = self._search.thresholds
        share = fitted_share([self._coarse(scored, common)], thresholds)
        return located(fact, scored, common, thresholds, share, seed=self.seed)

    def relation(self, relation: Relation, facts: Sequence[Fact]) -> list[Located]:
        """The knowledge neurons of many facts, each filtered by all the others.

        Raises NoFactToAsk where there are none.
        """
        if not facts:
            raise NoFactToAsk(relation.name)
        chains = [self._chains(relation, fact) for fact in facts]
        scored = self._scores(chains, relation.name)
        thresholds = self._search.thresholds
        share = fitted_share([self._coarse(prompts) for prompts in scored], thresholds)
        sets = [fact_neurons(prompts, thresholds, share) for prompts in scored]
        return [
            located(
                fact,
                scored[index],
                relation_neurons(sets[:index] + sets[index + 1 :], thresholds.other_facts),
                thresholds,
                share,
                seed=self.seed,
            )
            for index, fact in enumerate(facts)
        ]

    def known_facts(
        self, relation: Relation, fact: Fact | None = None, most: int | None = None
    ) -> list[Fact]:
        """Other facts of the relation that the model answers right; all tried if none is.

        A fact without a stated answer counts as known. One whose answer the model cannot be asked
        for (a masked LM's, of several tokens) is passed over. most: the first so many of them
        """
        return list(islice(self.each_known_fact(relation, fact), most))

    def each_known_fact(self, relation: Relation, fact: Fact | None = None) -> Iterator[Fact]:
        """The facts of `known_facts`, one by one: no more are asked than are looked at."""
        if (relation.name, fact) not in self._known:
            self._known[relation.name, fact] = _KnownFacts(self._known_groups(relation, fact))
        return iter(self._known[relation.name, fact])

    def tried(self, relation: Relation, fact: Fact | None = None, most: int = TRIED) -> list[Fact]:
        """Other facts of the relation that the model can be asked for, at most so many.

        One random order serves the whole relation, so that its facts share their neighbours'
        scores.
        """
        facts = list(relation.facts)
        generator(self.seed, "other facts").shuffle(facts)
        facts = [
            candidate for candidate in facts if fact is None or candidate.subject != fact.subject
        ]
        return list(
            islice((candidate for candidate in facts if self._can_ask(relation, candidate)), most)
        )

    def knows(self, relation: Relation, fact: Fact) -> bool:
        """Whether the model answers a fact's first prompts right."""
        return self._can_ask(relation, fact) and all(self.right(self._brief(relation, fact)))

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        """Whether the model puts each chain's answer first."""
        self._progress("asking", 0, 0)
        return self._live.scorer.right(chains)

    def _known_groups(self, relation: Relation, fact: Fact | None) -> Iterator[list[Fact]]:
        """The known ones among so many facts at a time; all of them at the end if none is."""
        facts = self.tried(relation, fact)
        none_known = True
        for start in range(0, len(facts), ASKED):
            known = self._known_among(relation, facts[start : start + ASKED])
            none_known = none_known and not known
            yield known
        if none_known:
            yield facts

    def _known_among(self, relation: Relation, facts: Sequence[Fact]) -> list[Fact]:
        """Those that the model answers right. What has one prompt wrong is not asked the next."""
        chains = {fact: self._brief(relation, fact) for fact in facts if fact.stated}
        for number in range(BRIEF):
            asked = {fact: prompts[number] for fact, prompts in chains.items() if prompts[number:]}
            for fact, right in zip(asked, self.right(list(asked.values())), strict=True):
                if not right:
                    del chains[fact]
        return [fact for fact in facts if fact in chains or not fact.stated]

    def _can_ask(self, relation: Relation, fact: Fact) -> bool:
        try:
            return not fact.stated or bool(self._brief(relation, fact))
        except CannotAsk:
            return False

    def _brief(self, relation: Relation, fact: Fact) -> list[Chain]:
        return self._chains(relation, fact, BRIEF)

    def _chains(self, relation: Relation, fact: Fact, most: int | None = None) -> list[Chain]:
        return chains_for(self._live.model, relation, fact, most=most)

    def _coarse(
        self, prompts: Sequence[PromptScores], without: Neurons = frozenset()
    ) -> list[Neurons]:
        return [scores.coarse(self._search.thresholds.coarse) - without for scores in prompts]

    def _scores(
        self, groups: Sequence[Sequence[Chain]], label: str, method: str | None = None
    ) -> list[list[PromptScores]]:
        """The scores of prompts in groups. method: if not that of the search"""
        chains = [chain for group in groups for chain in group]
        scored: dict[int, PromptScores] = {}
        self._progress(f"locating {label}", 0, len(chains))
        for place, scores in self._live.scorer.scores(
            chains, method or self._search.method, self._search.m
        ):
            scored[place] = scores
            self._progress(f"locating {label}", len(scored), len(chains))
        places = iter(range(len(chains)))
        return [[scored[next(places)] for _ in group] for group in groups]


class _KnownFacts:
    """Facts that are found in groups, when they are looked at."""

    def __init__(self, groups: Iterator[list[Fact]]) -> None:
        self._groups, self._found = groups, list[Fact]()

    def __iter__(self) -> Iterator[Fact]:
        place = 0
        while True:
            yield from self._found[place:]
            place = len(self._found)
            group = next(self._groups, None)
            if group is None:
                return
            self._found += group


def prompts_for(
    model: Model, relation: Relation, fact: Fact, *, held_out: bool = False
) -> tuple[Prompt, ...]:
    """The prompts of a fact that this model can be asked. Raises NothingToAsk for trained ones."""
    prompts = relation.prompts(fact, held_out=held_out, answer_last=model.causal)
    if not prompts and not held_out:
        raise NothingToAsk(relation.name, "a causal LM needs a template that ends with [Y]")
    return prompts


def chains_for(
    model: Model,
    relation: Relation,
    fact: Fact,
    answer: str | None = None,
    *,
    held_out: bool = False,
    most: int | None = None,
) -> list[Chain]:
    """The prompts of a fact that this model can be asked, each asked for an answer.

    answer: by default the fact's own; most: only so many prompts, the first. Raises NothingToAsk,
    CannotAsk.
    """
    prompts = prompts_for(model, relation, fact, held_out=held_out)[:most]
    return [ask(model, prompt, answer) for prompt in prompts]


def every_prompt(model: Model, relation: Relation, fact: Fact) -> tuple[Prompt, ...]:
    """The trained prompts of a fact, then the held-out ones. Raises NothingToAsk."""
    trained = prompts_for(model, relation, fact)
    return (*trained, *prompts_for(model, relation, fact, held_out=True))


def passed_over(model: Model, relation: Relation) -> int:
    """How many templates this model cannot be asked."""
    return sum(model.causal and not template.answer_last for template in relation.templates)
