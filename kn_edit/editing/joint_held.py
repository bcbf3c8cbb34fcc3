"""What a joint update must leave alone: a function of the base, the set of facts and the settings.

Other facts of each bundled relation, in several wordings; a few prompts of every other relation;
what each fact brings along; neutral text. Neither what judges nor what is edited is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor

from kn_edit.editing.joint_base import JointBase, places_of
from kn_edit.editing.joint_subjects import end_place, subject_end
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
from kn_edit.editing.neutral import held_in_place
from kn_edit.edits.members import Member, Place
from kn_edit.facts import Fact, Prompt, bundled, load_relation
from kn_edit.models.encoding import Ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask_openly

BESIDE_FACTS = 3  # of each relation, whose prompts are held at their other tokens too
W_BESIDE = 10.0  # of such a token, in units of a place where a subject ends


@dataclass(frozen=True, eq=False)
class SubjectHeld:
    """Where what is written where subjects end is to do nothing.

    keys: coefficients of the layer that is written there, float32, (places, d_ff)
    weights: (places,)
    """

    keys: Tensor
    weights: Tensor


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

        One seeded order of the facts that the base knows serves all: the first ones of them that
        are not edited, at most half of as many again.
        """
        return {name: self._judges_of(name) for name in self._edited_subjects}

    def held(self) -> Tensor:
        """Coefficients where nothing is to change, float32, (places, d_ff)."""
        edited = {place.ids for member in self.members for place in member.places}
        groups = [*self._groups()]
        parts: list[Tensor] = [self.base.keys(())]
        for index, wanted in enumerate(_wanted(groups, self._judging_texts | edited)):
            self.base.progress("asking others", index, len(groups))
            if wanted:
                parts.append(self.base.keys(groups[index])[wanted])
        return torch.cat(parts)

    def subject_held(self) -> SubjectHeld:
        """The same where subjects end, and at the other tokens of a few prompts."""
        base = self.base
        without = {place.ids for member in self.members for place in member.ends}
        for ids in self._judging_texts:
            without.update(_beginnings(base.model, ids))
        groups = [*self._subject_groups()]
        parts = [base.subject_keys(())]
        weights = [torch.empty(0)]
        chosen = _wanted([places for _, places in groups], without)
        for (weight, places), wanted in zip(groups, chosen, strict=True):
            if wanted:
                parts.append(base.subject_keys(places)[wanted])
                weights.append(torch.full((len(wanted),), weight))
        return SubjectHeld(torch.cat(parts), torch.cat(weights))

    @cached_property
    def _judging_texts(self) -> frozenset[Ids]:
        """The texts of all prompts that judge."""
        own = {place.ids for member in self.members for place in member.judges}
        prompts = (prompt for of_pack in self.judges.values() for prompt in of_pack)
        return frozenset(own | {ask_openly(self.base.model, prompt).ids for prompt in prompts})

    def _subject_groups(self) -> Iterator[tuple[float, tuple[Place, ...]]]:
        """Places where subjects end, and beside them, in groups, each with its weight."""
        model, settings = self.base.model, self.base.settings
        for name in bundled():
            prompts = prompts_of_pack(model, name, 1, seed=self.base.seed)
            yield 1.0, tuple(sorted({place for p in prompts if (place := _end(model, p))}))
        for name in self._edited_subjects:
            relation = load_relation(name)
            for number, fact in enumerate(self._other_facts(name)):
                wordings = prompts_for(model, relation, fact)[: settings.wordings]
                ends = {p: place for p in wordings if (place := _end(model, p))}
                yield 1.0, tuple(sorted({*list(ends.values())[: settings.subject_wordings]}))
                if number < BESIDE_FACTS:
                    yield W_BESIDE, tuple(sorted(_beside(model, ends)))

    @cached_property
    def _edited_subjects(self) -> dict[str, set[str]]:
        """The edited subjects of each bundled relation, by its name, sorted."""
        subjects: dict[str, set[str]] = {}
        for member in self.members:
            if member.pack:
                subjects.setdefault(member.relation, set()).add(member.subject)
        return dict(sorted(subjects.items()))

    def _other_facts(self, name: str) -> list[Fact]:
        """Facts of a bundled relation that are held: none that is edited, and none that judges."""
        edited = self._edited_subjects[name]
        judging = {prompt.fact.subject for prompt in self.judges[name]}
        return [fact for fact in load_relation(name).facts if fact.subject not in edited | judging][
            : self.base.settings.held_facts
        ]

    def _judges_of(self, name: str) -> tuple[Prompt, ...]:
        base, relation = self.base, load_relation(name)
        edited = self._edited_subjects[name]
        known_facts = (
            fact for fact in base.locator.each_known_fact(relation) if fact.subject not in edited
        )
        firsts = list(islice(known_facts, 2 * JUDGES))
        judges = firsts[: min(JUDGES, len(firsts) // 2)]
        prompts = [prompt for fact in judges for prompt in probes(base.model, relation, fact)]
        right = answered_right(base.model, base.locator, prompts) or tuple(prompts)
        return right if len(right) >= FEWEST_JUDGES else (*right, *self.last_judges(name))

    def last_judges(self, name: str) -> tuple[Prompt, ...]:
        """Prompts of other relations, where those of a relation are too few to judge its facts."""
        base = self.base
        prompts = other_prompts(base.model, name, 1, skip=OTHER_FACTS, seed=base.seed)
        unedited = (prompt for prompt in prompts if prompt.cloze not in self.edited_prompts)
        return tuple(islice(unedited, JUDGES))

    def _groups(self) -> Iterator[tuple[Place, ...]]:
        """Places that are held, in groups whose coefficients are computed together."""
        model, settings = self.base.model, self.base.settings
        yield places_of(held_in_place(model, self.base.seed))
        names = {member.relation for member in self.members}
        for name in bundled():
            if names - {name}:
                elsewhere = prompts_of_pack(model, name, 1, seed=self.base.seed)
                yield places_of(ask_openly(model, prompt) for prompt in elsewhere)
        for name in self._edited_subjects:
            relation = load_relation(name)
            for fact in self._other_facts(name):
                prompts = prompts_for(model, relation, fact)[: settings.wordings]
                yield places_of(ask_openly(model, prompt) for prompt in prompts)
        for member in self.members:
            yield member.held


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


def _end(model: Model, prompt: Prompt) -> Place | None:
    """Where a prompt has its subject's last token; None where it does not name it."""
    question = ask_openly(model, prompt)
    end = subject_end(model, Chain(prompt, (question,)), prompt.fact.subject)
    return None if end is None else end_place(model, question.ids, end)


def _beside(model: Model, ends: Mapping[Prompt, Place]) -> set[Place]:
    """All other tokens of some prompts."""
    places = set()
    for prompt, end in ends.items():
        ids = ask_openly(model, prompt).ids
        places |= {
            end_place(model, ids, position)
            for position in range(len(ids))
            if position != end.position
        }
    return places


def _beginnings(model: Model, ids: Ids) -> Iterator[Ids]:
    """The beginnings of a text that a causal LM reads at its tokens; of a masked one, all of it."""
    if not model.causal:
        return iter([ids])
    return (ids[:length] for length in range(1, len(ids) + 1))
