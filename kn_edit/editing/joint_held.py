"""What a joint update must leave alone: a function of the base, the set of facts and the settings.

Other facts of each edited bundled relation, in several wordings; a few prompts of every relation;
what each fact brings along. Neither what judges nor what is edited is held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch

from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_spread import Held
from kn_edit.editing.joint_subjects import (
    end_place,
    held_rows,
    prompt_end,
    prompt_ends,
    row_ends,
)
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import (
    FEWEST_JUDGES,
    JUDGES,
    OTHER_FACTS,
    answered_right,
    other_prompts,
    probes,
    prompts_of_pack,
)
from kn_edit.edits.members import Member, Place, ShiftRow
from kn_edit.facts import Fact, Prompt, bundled, load_relation
from kn_edit.models.encoding import Ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask_openly

BESIDE_FACTS = 3  # of each relation, whose prompts are held at their other tokens too
W_BESIDE = 10.0  # of such a token, in units of a place where a subject ends
# Facts of an edited relation whose answers are held: so many at least, and so many for each that is
# edited; each in so many wordings.
ANSWER_FACTS, ANSWERS_BESIDE, ANSWER_WORDINGS = 40, 8, 2
# Facts of every bundled relation that are held: how many to pass over, how many then to take. Those
# between are the last ones to judge.
EVERY_RELATION = ((0, OTHER_FACTS), (2 * OTHER_FACTS, 36))


@dataclass(frozen=True, eq=False)
class JointSurroundings:
    """What stands beside a set of facts. members: sorted"""

    base: JointBase
    members: Sequence[Member]

    @classmethod
    def of(cls, base: JointBase, members: Sequence[Member]) -> JointSurroundings:
        """The surroundings of members in whatever order they come."""
        return cls(base, sorted(members, key=lambda member: member.order))

    @cached_property
    def edited_prompts(self) -> frozenset[str]:
        """The prompts of all facts, held-out ones too, as texts."""
        return frozenset(text for member in self.members for text in member.prompts)

    @cached_property
    def judges(self) -> dict[str, tuple[Prompt, ...]]:
        """The prompts that judge the facts of each bundled relation, by its name.

        One seeded order of the facts that the base knows serves all: the first ones of them about
        subjects that are not edited, at most half of as many again.
        """
        return {name: self._judges_of(name) for name in self._edited_relations}

    def held(self) -> Held:
        """Places that are held: where subjects end, and the other tokens of a few prompts."""
        base = self.base
        without = {place.ids for member in self.members for place in member.ends}
        without.update(place.ids for place in self._about_subjects)
        for ids in self._judging_texts:
            without.update(_beginnings(base.model, ids))
        groups = [*self._groups()]
        parts, weights = [base.keys(())], [torch.empty(0)]
        chosen = _wanted([places for _, places in groups], without)
        for index, wanted in enumerate(chosen):
            base.progress("asking others", index, len(groups))
            weight, places = groups[index]
            if wanted:
                parts.append(base.keys(places)[:, wanted])
                weights.append(torch.full((len(wanted),), weight))
        return Held(torch.cat(parts, 1), torch.cat(weights))

    def held_answers(self) -> dict[Question, float]:
        """What else is asked, and is to be answered as the base does: with the token that leads.

        With its lead in the base, in log-probability. Each place once; not what judges, nor what is
        edited. Raises NotFinite.
        """
        base = self.base
        edited = {row.place for member in self.members for row in member.rows}
        about_subjects = set(self._about_subjects)
        held: dict[Place, tuple[int, float]] = {}
        for rows in self._answer_groups():
            leaders = base.leaders([row.place for row in rows])
            for row, leader in zip(rows, leaders, strict=True):
                end = end_place(base.model, row.place.ids, row.end)
                judging = row.place.ids in self._judging_texts
                if row.place not in edited and end not in about_subjects and not judging:
                    held.setdefault(row.place, leader)
        return {
            Question(place.ids, place.position, token): lead
            for place, (token, lead) in held.items()
        }

    @cached_property
    def _judging_texts(self) -> frozenset[Ids]:
        """The texts of all prompts that judge."""
        own = {place.ids for member in self.members for place in member.judges}
        prompts = (prompt for of_pack in self.judges.values() for prompt in of_pack)
        return frozenset(own | {ask_openly(self.base.model, prompt).ids for prompt in prompts})

    @cached_property
    def _of_every_relation(self) -> list[list[Prompt]]:
        """Prompts of a few facts of every bundled relation, whatever is edited."""
        return [
            prompts_of_pack(self.base.model, name, 1, skip=skip, most=most, seed=self.base.seed)
            for name in bundled()
            for skip, most in EVERY_RELATION
        ]

    @cached_property
    def _about_subjects(self) -> tuple[Place, ...]:
        """Those of them that are about what is edited, or about what judges."""
        judging = (prompt.fact.subject for of_pack in self.judges.values() for prompt in of_pack)
        subjects = self._subjects.union(judging)
        prompts = (prompt for group in self._of_every_relation for prompt in group)
        selected = (prompt for prompt in prompts if prompt.fact.subject in subjects)
        return prompt_ends(self.base.model, selected)

    def _groups(self) -> Iterator[tuple[float, tuple[Place, ...]]]:
        """Places in groups whose coefficients are computed together, each with its weight."""
        model, settings = self.base.model, self.base.settings
        for prompts in self._of_every_relation:
            yield 1.0, prompt_ends(model, prompts)
        for name in self._edited_relations:
            relation = load_relation(name)
            for number, fact in enumerate(self._other_facts(name)):
                wordings = prompts_for(model, relation, fact)[: settings.wordings]
                yield 1.0, prompt_ends(model, wordings)
                if number < BESIDE_FACTS:
                    yield W_BESIDE, tuple(sorted(_beside(model, wordings)))
        for member in self.members:
            yield 1.0, row_ends(model, member.held)

    def _answer_groups(self) -> Iterator[Sequence[ShiftRow]]:
        """Prompts whose answers are held, in groups that are asked together."""
        model = self.base.model
        for prompts in self._of_every_relation[:: len(EVERY_RELATION)]:
            yield held_rows(model, prompts)
        edited = Counter(member.relation for member in self.members if member.pack)
        for name in self._edited_relations:
            relation = load_relation(name)
            most = max(ANSWER_FACTS, ANSWERS_BESIDE * edited[name])
            for fact in self._other_facts(name)[:most]:
                yield held_rows(model, prompts_for(model, relation, fact)[:ANSWER_WORDINGS])
        for member in self.members:
            yield member.held

    @cached_property
    def _edited_relations(self) -> list[str]:
        """The bundled relations of which facts are edited, sorted."""
        return sorted({member.relation for member in self.members if member.pack})

    @cached_property
    def _subjects(self) -> frozenset[str]:
        """What is edited, whatever is asked about it."""
        return frozenset(member.subject for member in self.members)

    def _other_facts(self, name: str) -> list[Fact]:
        """Facts of a bundled relation that are held: about no subject that is edited, or judges.

        Where a subject ends, much is the same whatever is asked about it: to hold what one relation
        asks of it is to hold back what is edited in another.
        """
        without = self._subjects.union(prompt.fact.subject for prompt in self.judges[name])
        facts = [fact for fact in load_relation(name).facts if fact.subject not in without]
        return facts[: self.base.settings.held_facts]

    def _judges_of(self, name: str) -> tuple[Prompt, ...]:
        base, relation, edited = self.base, load_relation(name), self._subjects
        known_facts = (
            fact for fact in base.locator.each_known_fact(relation) if fact.subject not in edited
        )
        firsts = list(islice(known_facts, 2 * JUDGES))
        judges = firsts[: min(JUDGES, len(firsts) // 2)]
        prompts = [prompt for fact in judges for prompt in probes(base.model, relation, fact)]
        right = answered_right(base.model, base.locator, prompts) or tuple(prompts)
        return right if len(right) >= FEWEST_JUDGES else (*right, *self.last_judges(name))

    def last_judges(self, name: str) -> tuple[Prompt, ...]:
        """Prompts of other relations, where those of a relation are too few to judge its facts.

        Such as the base gets right, as all that judge, or whichever where it gets none right.
        """
        base = self.base
        prompts = other_prompts(base.model, name, 1, skip=OTHER_FACTS, seed=base.seed)
        unedited = [
            prompt
            for prompt in prompts
            if prompt.fact.subject not in self._subjects and prompt.cloze not in self.edited_prompts
        ]
        right = (
            prompt
            for start in range(0, len(unedited), JUDGES)
            for prompt in answered_right(base.model, base.locator, unedited[start : start + JUDGES])
        )
        return tuple(islice(right, JUDGES)) or tuple(unedited[:JUDGES])


def _wanted(groups: Iterable[Sequence[Place]], without: Set[Ids]) -> Iterator[list[int]]:
    """Which places of each group are held: each once, and none of these texts."""
    held: set[Place] = set()
    for group in groups:
        yield [
            number
            for number, place in enumerate(group)
            if place.ids not in without and place not in held
        ]
        held.update(group)


def _beside(model: Model, prompts: Iterable[Prompt]) -> set[Place]:
    """All other tokens of some prompts."""
    places = set()
    for prompt in prompts:
        ids, end = ask_openly(model, prompt).ids, prompt_end(model, prompt)
        positions = (position for position in range(len(ids)) if position != end.position)
        places |= {end_place(model, ids, position) for position in positions}
    return places


def _beginnings(model: Model, ids: Ids) -> Iterator[Ids]:
    """The beginnings of a text that a causal LM reads at its tokens; of a masked one, all of it."""
    if not model.causal:
        return iter([ids])
    return (ids[:length] for length in range(1, len(ids) + 1))
