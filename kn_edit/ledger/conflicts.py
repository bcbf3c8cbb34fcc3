"""Conflicts of facts: two sides of a merge that give one fact different answers.

Nothing here knows a database: an edit is an id, and what it says of facts is a list of claims.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ERASED = "erased"  # how the answer of an erasure is told
OURS, THEIRS, BOTH = "ours", "theirs", "both"
CHOICES = (OURS, THEIRS, BOTH)


@dataclass(frozen=True)
class Claim:
    """What an edit says of a fact.

    subject: None of an erasure, which is about every fact of the relation
    answer: the new one; None of an erasure
    templates: of a user's own prompts, which may ask several things of one subject; else empty
    since: when the edit was recorded
    """

    edit: str
    relation: str
    subject: str | None
    answer: str | None
    templates: frozenset[str] = frozenset()
    since: str = ""

    @property
    def answer_text(self) -> str:
        """The answer in words."""
        return ERASED if self.answer is None else self.answer

    def __str__(self) -> str:
        if self.subject is None:
            return f"{self.relation} erased"
        return f"{self.relation}: {self.subject} -> {self.answer}"

    def agrees(self, claim: Claim) -> bool:
        """Whether both give the same answer; spaces around it say nothing."""
        if self.answer is None or claim.answer is None:
            return self.answer is claim.answer
        return self.answer.strip() == claim.answer.strip()

    def meets(self, claim: Claim) -> bool:
        """Whether both are about one fact; own prompts are, with a template in common."""
        if self.relation != claim.relation:
            return False
        if self.subject is None or claim.subject is None:
            return True
        if self.subject != claim.subject:
            return False
        named = not self.templates or not claim.templates
        return named or bool(self.templates & claim.templates)


@dataclass(frozen=True)
class FactConflict:
    """A fact to which two sides of a merge give different answers."""

    ours: Claim
    theirs: Claim

    @property
    def fact(self) -> Claim:
        """The claim that names the fact: that of an update."""
        return self.ours if self.ours.subject is not None else self.theirs

    @property
    def name(self) -> str:
        """The fact in words: `capital: France`."""
        return f"{self.fact.relation}: {self.fact.subject}"

    @property
    def turned(self) -> FactConflict:
        """The same, seen from the other side."""
        return FactConflict(self.theirs, self.ours)


@dataclass(frozen=True)
class Settled:
    """A conflict of facts and what was chosen: ours, theirs, or both.

    left_out: the edits that go
    also: what else these edits said, which goes with them, in words
    """

    conflict: FactConflict
    kept: str
    left_out: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        conflict = self.conflict
        ours, theirs = conflict.ours.answer_text, conflict.theirs.answer_text
        if self.kept == BOTH:
            return f"{conflict.name} keeps both {ours} and {theirs}"
        stays = self.kept == OURS
        words = f"stays {ours}, not {theirs}" if stays else f"becomes {theirs}, not {ours}"
        also = f" (what else goes: {', '.join(self.also)})" if self.also else ""
        return f"{conflict.name} {words}{also}"


Claims = Mapping[str, Sequence[Claim]]  # of each edit


def conflicts(
    ours: Sequence[str], theirs: Sequence[str], claims: Claims
) -> tuple[FactConflict, ...]:
    """The facts to which two recipes give different answers, each by an edit of its own.

    What counts of a recipe is the last claim on a fact. Where that is of an edit which the other
    recipe has too, the other one went on from there, and there is no conflict.
    claims: of the edits of both; edits without any may be left out
    """
    sides = _Side.of(ours, claims), _Side.of(theirs, claims)
    exclusive_edits = frozenset(ours) - frozenset(theirs), frozenset(theirs) - frozenset(ours)
    pairs = [
        *_from_one_side(*sides, *exclusive_edits),
        *(
            pair.turned
            for pair in _from_one_side(sides[1], sides[0], exclusive_edits[1], exclusive_edits[0])
        ),
    ]
    return tuple(dict.fromkeys(pairs))


def overtaken(
    ours: Sequence[str], theirs: Sequence[str], claims: Claims
) -> tuple[FactConflict, ...]:
    """Facts of which a claim would have the last word in the union that has it on neither side.

    Such a claim is of an edit that theirs alone has, and that an edit of both came after there. In
    the union it comes behind that one. As after a merge that kept both of two edits.
    """
    here, there = _Side.of(ours, claims), _Side.of(theirs, claims)
    new_edits = dict.fromkeys(edit for edit in theirs if edit not in {*ours})
    union = _Side.of((*ours, *new_edits), claims)
    facts = [claim for beside in union.updates.values() for _, claim in beside]
    return tuple(
        dict.fromkeys(
            FactConflict(earlier, last)
            for fact in facts
            for last in union.on(fact)
            if last.edit in new_edits and last not in there.on(fact)
            for earlier in here.on(fact) or there.on(fact)
            if not earlier.agrees(last)
        )
    )


def about_fact(conflict: FactConflict, edits: Iterable[str], claims: Claims) -> tuple[str, ...]:
    """Those of these edits that say something of the fact of a conflict, in order."""
    return tuple(
        edit for edit in edits if any(claim.meets(conflict.fact) for claim in claims.get(edit, ()))
    )


def said_besides(conflict: FactConflict, edits: Iterable[str], claims: Claims) -> tuple[str, ...]:
    """What these edits say of other facts than that of a conflict, in words.

    An erasure is of a whole relation, so it is named where one fact of that is what it lost.
    """
    statements = (claim for edit in edits for claim in claims.get(edit, ()))
    other_statements = (
        claim for claim in statements if claim.subject is None or not claim.meets(conflict.fact)
    )
    return tuple(dict.fromkeys(map(str, other_statements)))


@dataclass
class _Side:
    """The claims of a recipe that count, each with its place in the order of all."""

    updates: dict[tuple[str, str], list[tuple[int, Claim]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    erasures: dict[str, tuple[int, Claim]] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Iterable[str], claims: Claims) -> _Side:
        side = cls()
        statements = (claim for edit in recipe for claim in claims.get(edit, ()))
        for place, claim in enumerate(statements, 1):
            if claim.subject is None:
                side.erasures[claim.relation] = (place, claim)
                continue
            beside = side.updates[claim.relation, claim.subject]
            beside[:] = [entry for entry in beside if not claim.meets(entry[1])]
            beside.append((place, claim))
        return side

    def current_updates(self) -> Iterator[Claim]:
        """The updates that no later edit of this side undid."""
        for beside in list(self.updates.values()):
            yield from (claim for place, claim in beside if place > self._erased(claim))

    def on(self, fact: Claim) -> list[Claim]:
        """What counts of the fact of an update: the updates of it, or an erasure after them."""
        beside = self.updates.get((fact.relation, fact.subject or ""), ())
        last = self._erased(fact)
        claims = [claim for place, claim in beside if place > last and claim.meets(fact)]
        if claims or not last:
            return claims
        return [self.erasures[fact.relation][1]]

    def _erased(self, claim: Claim) -> int:
        """The place of the last erasure of a claim's relation; 0 where there is none."""
        return self.erasures.get(claim.relation, (0, claim))[0]


def _from_one_side(
    side: _Side,
    opposite_side: _Side,
    exclusive_edits: frozenset[str],
    opposite_edits: frozenset[str],
) -> Iterator[FactConflict]:
    """Conflicts of the updates of one side with what the other side says of their facts."""
    for claim in side.current_updates():
        for opposite in opposite_side.on(claim) if claim.edit in exclusive_edits else ():
            if opposite.edit in opposite_edits and not claim.agrees(opposite):
                yield FactConflict(claim, opposite)
