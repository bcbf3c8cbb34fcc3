"""The context of experiments: a base model, facts that it knows, and where results are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from random import Random
from typing import TypeVar

from kn_edit.editing.locating import Locator, Search, chains_for
from kn_edit.editing.updates import Calibrated
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.experiments.rows import Row, Rows
from kn_edit.facts import Case, Fact, Relation, load_relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain
from kn_edit.neuron import NeuronId
from kn_edit.neurons.locate import Located
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.progress import Progress
from kn_edit.seeds import USUAL, generator

T = TypeVar("T")

DEFAULT_METHOD, DEFAULT_SEARCH = Calibrated(), Search()
CONTROLS = 6  # facts that stand for the rest of a relation, or for other relations


@dataclass(frozen=True)
class Plan:
    """What a run takes up. Equal plans on equal bases give equal numbers."""

    relations: tuple[str, ...]
    facts: int  # known ones, of each relation
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """What the experiments of a run are about: the plan, and facts that the base knows."""

    plan: Plan
    out: Path
    relations: Mapping[str, Relation]
    facts: Mapping[str, tuple[Fact, ...]]  # known to the base, in random order, by relation
    method: Calibrated  # by which updates are made
    search: Search  # where to look for neurons


@dataclass(frozen=True, eq=False, kw_only=True)
class ExperimentContext(Sample):
    """What every experiment works on: the sample, and the model."""

    engine: Engine

    @classmethod
    def open(
        cls,
        engine: Engine,
        plan: Plan,
        out: Path,
        method: Calibrated = DEFAULT_METHOD,
        search: Search = DEFAULT_SEARCH,
    ) -> ExperimentContext:
        """Draw the sample: facts that the base answers right on its first prompts.

        method: by which updates are made; search: how to look for neurons
        """
        relations = {relation.name: relation for relation in map(load_relation, plan.relations)}
        with engine.at([]) as live:
            locator = Locator(live, search, engine.progress, plan.seed)
            facts = {
                name: tuple(_drawn(locator, relation, plan)) for name, relation in relations.items()
            }
        return cls(
            engine=engine,
            plan=plan,
            out=out,
            relations=relations,
            facts=facts,
            method=method,
            search=search,
        )

    @property
    def progress(self) -> Progress:
        return self.engine.progress

    @property
    def cases(self) -> dict[str, Case]:
        """Every fact of the sample by a name of its own."""
        return {
            f"{name}: {fact.subject}": Case(relation, fact)
            for name, relation in self.relations.items()
            for fact in self.facts[name]
        }

    @property
    def solver(self) -> dict[str, object]:
        """The solver's settings, for rows that depend on them."""
        return asdict(self.method.settings_for(self.engine.model))

    def rows(self, experiment: str, **settings: object) -> Rows:
        """The rows of an experiment; its own settings go into the file with the plan's."""
        header = {"experiment": experiment, "base": self.engine.base.fingerprint}
        if self.plan.seed != USUAL:  # rows from before it reached everything are not mixed in
            header["seeded"] = "everything drawn"
        return Rows(
            self.out / "rows" / f"{experiment}.jsonl", header | asdict(self.plan) | dict(settings)
        )

    def measured(
        self, experiment: str, names: Sequence[str], make: MakeRow, **settings: object
    ) -> list[Row]:
        """The rows of these names, in order; workers make those that are not there yet.

        make: a function that other processes can import, or a partial of one
        """
        sample = Sample(**{entry.name: getattr(self, entry.name) for entry in fields(Sample)})

        def new_rows(missing: Sequence[str]) -> Iterator[tuple[str, Row]]:
            shares = [RowShare(sample, make, name) for name in missing]
            for number, row in self.engine.workers.results([], shares):
                yield missing[number], row

        return self.rows(experiment, **settings).filled(names, new_rows, self.progress)

    @contextmanager
    def base(self) -> Iterator[tuple[Model, Locator]]:
        """The unedited model, and what finds its neurons."""
        with self.engine.at([]) as live:
            yield (
                live.model,
                Locator(live, self.search, self.progress, self.plan.seed),
            )

    def located(self, case: Case) -> Located:
        """A fact's knowledge neurons on the base, filtered by its relation's other facts."""
        with self.base() as (_, locator):
            common = locator.relation_neurons(case.relation, case.fact)
            return locator.fact(case.relation, case.fact, common)

    def chains(
        self, model: Model, case: Case, *, held_out: bool = False, most: int | None = None
    ) -> list[Chain]:
        return chains_for(model, case.relation, case.fact, held_out=held_out, most=most)

    def firsts(self, model: Model, cases: Sequence[Case], most: int = 1) -> list[Chain]:
        """The first prompts of some facts."""
        return [chain for case in cases for chain in self.chains(model, case, most=most)]

    def same_relation(self, case: Case) -> list[Case]:
        """Other facts of the sample of its relation, a few."""
        candidates = [fact for fact in self.facts[case.relation.name] if fact != case.fact]
        return [Case(case.relation, fact) for fact in self.drawn(case, candidates, CONTROLS)]

    def other_relations(self, case: Case) -> list[Case]:
        """Facts of the sample's other relations, about other subjects, a few."""
        candidates = [
            Case(relation, fact)
            for name, relation in self.relations.items()
            if name != case.relation.name
            for fact in self.facts[name]
            if fact.subject != case.fact.subject
        ]
        return self.drawn(case, candidates, CONTROLS)

    def random_neurons(self, case: Case, neurons: Sequence[NeuronId]) -> tuple[NeuronId, ...]:
        """Draw as many neurons as `neurons` from the same layers, none of them among these."""
        d_ff = self.engine.model.d_ff
        return tuple(sorted(as_many_elsewhere(neurons, d_ff, self.chance(case))))

    def drawn(self, case: Case, among: Sequence[T], count: int) -> list[T]:
        """Draw `count` members of a sequence, or all, with the randomness of this fact."""
        return self.chance(case).sample(among, min(count, len(among)))

    def chance(self, case: Case) -> Random:
        """Randomness of a fact's own, so that no result hangs on the order of the facts."""
        return own_generator(self.plan.seed, f"{case.relation.name} {case.fact.subject}")


MakeRow = Callable[[ExperimentContext, str], Row]


@dataclass(frozen=True, eq=False)
class RowShare:
    """A row of an experiment, by its name."""

    sample: Sample
    make: MakeRow
    name: str

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> Row:
        context = ExperimentContext(engine=engine, **vars(self.sample))
        return self.make(context, self.name)


def own_generator(seed: int, name: str) -> Random:
    """The generator of one thing of an experiment, a fact or a relation."""
    return generator(seed, name, usual=f"{USUAL} {name}")


def _drawn(locator: Locator, relation: Relation, plan: Plan) -> list[Fact]:
    """Known facts in random order, as many as planned or as there are."""
    order = own_generator(plan.seed, relation.name).sample(relation.facts, len(relation.facts))
    known_facts: list[Fact] = []
    for fact in order:
        if len(known_facts) == plan.facts:
            break
        if locator.knows(relation, fact):
            known_facts.append(fact)
    return known_facts
