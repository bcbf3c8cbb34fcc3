"""Join the edits of several versions, and settle the facts that they answer differently."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from kn_edit.canonical import short
from kn_edit.errors import ChoicesClash, FactsDiffer, require_known
from kn_edit.ledger import Advance, EditRecord, FactRecord, Ledger
from kn_edit.ledger.conflicts import (
    BOTH,
    CHOICES,
    OURS,
    THEIRS,
    Claims,
    FactConflict,
    Settled,
    about_fact,
    conflicts,
    overtaken,
    said_besides,
)
from kn_edit.ledger.history import beyond, composed
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import Sides
from kn_edit.safetext import shortened
from kn_edit.workspace.joint_facts import ClaimSource, JointSides

Keep = str | Callable[[FactConflict], str]  # one choice for all, or what is asked for each
MERGE, COMPOSE = "merge", "compose"
MOST_TOLD = 4  # conflicts that the message of a merge tells
MOST_WORDS = 120  # characters of each


@dataclass(frozen=True, eq=False)
class Union:
    """What the sides of a merge come to.

    recipe: with members in the place of joint edits, where sides have different ones
    joint: these edits; None where there are none
    """

    sides: Sides
    recipe: Recipe
    settled: tuple[Settled, ...]
    joint: JointSides | None

    @property
    def facts(self) -> tuple[FactRecord, ...]:
        """The facts that are to be solved for together; none where an edit over them exists."""
        if self.joint is None:
            return ()
        facts = self.joint.facts_in(self.recipe)
        return () if self.joint.known_edit(facts) else facts

    @property
    def pattern(self) -> EditRecord:
        """A joint edit with the settings and the seed of that which is to be solved."""
        assert self.joint is not None, "a union without joint edits has no facts to solve for"
        return self.joint.pattern

    def recipe_with(self, edit: str | None) -> Recipe:
        """The recipe with one joint edit over its facts. edit: a new one; None: the existing one"""
        if self.joint is None:
            return self.recipe
        existing_edit = self.joint.known_edit(self.joint.facts_in(self.recipe))
        if edit is None and existing_edit is not None:
            edit = existing_edit.id
        return self.joint.folded(self.recipe, edit)


@dataclass(frozen=True)
class Join:
    """A merge that is asked for.

    names: of versions; kind: `merge` puts them onto the branch, `compose` takes them alone, unless
    it is one
    keep: what stays of facts that are answered differently; None: nobody said
    branch: that moves
    """

    kind: str
    names: tuple[str, ...]
    keep: Keep | None
    allow_overlap: bool
    branch: str

    def union(self, ledger: Ledger) -> Union:
        """What the sides come to. Raises FactsDiffer, ChoicesClash, UnknownId."""
        onto_head = self.kind == MERGE or len(self.names) == 1
        sides = ledger.sides(self.names, onto_head=onto_head, branch=self.branch)
        names = self._called(sides, onto_head=onto_head)
        joint = JointSides.of(ledger, sides, names)
        recipes = joint.unfolded(sides.recipes) if joint else sides.recipes
        source = ClaimSource(ledger, joint.claims if joint else {})
        joined = _joined(source, recipes, self.keep, names)
        return Union(sides, joined.recipe, tuple(joined.settled), joint)

    def plan(self, ledger: Ledger, union: Union | None = None, edit: str | None = None) -> Advance:
        """The move to what the sides come to.

        union: that, where it is known; edit: the id of the new edit over the facts of its joint
        edits, where it has one. Raises SlotOverlap, AlreadyThere, and as `union`.
        """
        union = union or self.union(ledger)
        return ledger.plan_join(
            union.sides,
            union.recipe_with(edit),
            self.kind,
            self._message(union.sides, union.settled),
            allow_overlap=self.allow_overlap,
            settled=union.settled,
            edit=edit,
        )

    def _called(self, sides: Sides, *, onto_head: bool) -> list[str]:
        """What the sides are called."""
        names = [self.branch, *self.names] if onto_head else [*self.names]
        return names if len(names) == len(sides.versions) else [short(v) for v in sides.versions]

    def _message(self, sides: Sides, settled: Sequence[Settled]) -> str:
        ids = (short(version) for version in sides.versions)
        named = [shortened(name, MOST_WORDS) for name in self.names] if self.kind == MERGE else ids
        words = [shortened(str(each), MOST_WORDS) for each in settled[:MOST_TOLD]]
        rest = len(settled) - MOST_TOLD
        ending = [f"and {rest} more"] if rest > 0 else []
        return "; ".join([f"{self.kind} {' '.join(named)}", *words, *ending])


def conflicts_between(
    source: ClaimSource, ours: Recipe, theirs: Recipe
) -> tuple[tuple[FactConflict, ...], Claims]:
    """The facts that two recipes answer differently, and what was looked at for them.

    A conflict is about a fact of either side's own edits: those of the side that has fewer are
    read, and those of theirs that an edit of both came after. Then all others about their facts,
    which both may have.
    """
    theirs_only = beyond(theirs, ours)
    early = theirs_only[: len(theirs_only) - _at_the_end(theirs, theirs_only)]
    fewer_here = len(ours) <= len(theirs)  # as what they have in common is as long in both
    fewer = beyond(ours, theirs) if fewer_here else theirs_only
    claims = source.claims(dict.fromkeys((*fewer, *early)))
    statements = [claim for each in claims.values() for claim in each]
    facts = {(claim.relation, claim.subject) for claim in statements}
    about = source.about(facts) - claims.keys()
    claims |= source.claims({**ours.places(about), **theirs.places(about)})
    sides = _among(ours, claims), _among(theirs, claims)
    differing = conflicts(*sides, claims)
    late = [
        each
        for each in overtaken(*sides, claims)
        if not any(each.fact.meets(conflict.fact) for conflict in differing)
    ]
    return (*differing, *late), claims


def _at_the_end(recipe: Recipe, edits: Sequence[str]) -> int:
    """How many of these edits stand at the end of a recipe, with no other one behind."""
    pairs = zip(reversed(recipe), reversed(edits), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass
class _Joined:
    """Recipes that were joined so far."""

    recipe: Recipe
    settled: list[Settled] = field(default_factory=list)


def _joined(
    source: ClaimSource, recipes: Sequence[Recipe], keep: Keep | None, names: Sequence[str]
) -> _Joined:
    """The edits of all sides, each side joined to what those before it came to."""
    joined = _Joined(recipes[0])
    for name, theirs in zip(names[1:], recipes[1:], strict=True):
        differing, claims = conflicts_between(source, joined.recipe, theirs)
        if differing and keep is None:
            raise FactsDiffer(names[0], name, tuple(map(_error_fields, differing)))
        exclusive_edits = {
            OURS: [edit for edit in _among(joined.recipe, claims) if edit not in theirs],
            THEIRS: [edit for edit in _among(theirs, claims) if edit not in joined.recipe],
        }
        settled = [
            _settled(each, _choice(keep, each), exclusive_edits, claims) for each in differing
        ]
        gone = {edit for each in settled for edit in each.left_out}
        _refuse_clash(settled, gone)
        joined.recipe = composed([_without(recipe, gone) for recipe in (joined.recipe, theirs)])
        joined.settled += settled
    return joined


def _choice(keep: Keep | None, conflict: FactConflict) -> str:
    choice = keep(conflict) if callable(keep) else str(keep)
    require_known("what to keep", choice, CHOICES)
    return choice


def _settled(
    conflict: FactConflict,
    choice: str,
    exclusive_edits: Mapping[str, Sequence[str]],
    claims: Claims,
) -> Settled:
    """A conflict as it was chosen, with the edits that go.

    They are those of the losing side alone that say something of the fact, not only the last one.
    exclusive_edits: the edits that each side has alone
    """
    if choice == BOTH:
        return Settled(conflict, choice)
    gone = about_fact(conflict, exclusive_edits[THEIRS if choice == OURS else OURS], claims)
    return Settled(conflict, choice, gone, said_besides(conflict, gone, claims))


def _refuse_clash(settled: Sequence[Settled], gone: Collection[str]) -> None:
    """Raise ChoicesClash for an edit that stays for one fact and goes for another one."""
    for each in settled:
        conflict = each.conflict
        for side, claim in ((OURS, conflict.ours), (THEIRS, conflict.theirs)):
            if each.kept in (side, BOTH) and claim.edit in gone:
                rival_name = next(
                    rival.conflict.name for rival in settled if claim.edit in rival.left_out
                )
                raise ChoicesClash(claim.edit, (conflict.name, rival_name))


def _without(recipe: Recipe, edits: Collection[str]) -> Recipe:
    return recipe.without(tuple(edits)) if edits else recipe


def _among(recipe: Recipe, claims: Claims) -> tuple[str, ...]:
    """The edits of a recipe that claims are known of, in order."""
    places = recipe.places(claims)
    return tuple(sorted(places, key=places.__getitem__))


def _error_fields(conflict: FactConflict) -> tuple[str, str, str, str, str, str, str, str]:
    """A conflict as its error tells it."""
    ours, theirs, fact = conflict.ours, conflict.theirs, conflict.fact
    return (
        *(fact.relation, fact.subject or ""),
        *(ours.answer_text, ours.edit, ours.since),
        *(theirs.answer_text, theirs.edit, theirs.since),
    )
