"""What sets versions apart, and where their edits meet, told by what was changed since they parted.

So two long versions that differ by few edits are compared without their lists.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kn_edit.ledger import history, lists, reading, written
from kn_edit.ledger.ancestry import meeting
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.membership import members
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import JOINT, FactRecord, LayerDifference, Overlap, Sides
from kn_edit.ledger.spans import Effect
from kn_edit.ledger.writes import all_of
from kn_edit.neuron import NeuronId


@dataclass(frozen=True)
class Apart:
    """The edits that set two versions apart.

    only_a, only_b: those that one of them alone has, each in its order
    moved: some that both have; all others stand in both in the same order
    """

    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()

    @property
    def edits(self) -> set[str]:
        """All of them."""
        return {*self.only_a, *self.only_b, *self.moved}


def apart(connection: Connection, base: str, a: str, b: str) -> Apart:
    """The edits that set two versions apart.

    base: the fingerprint of the ledger's model. Raises DamagedRow.
    """
    if a == b:
        return Apart()
    common = meeting(connection, a, b)
    effects = [
        None if common is None else lists.effect_since(connection, version, common)
        for version in (a, b)
    ]
    if effects[0] is None or effects[1] is None:
        recipes = (lists.read(connection, base, version) for version in (a, b))
        return Apart(*history.difference(*recipes))
    sides = [_Side.of(effect) for effect in effects if effect is not None]
    return Apart(
        only_a=_only(connection, base, a, sides),
        only_b=_only(connection, base, b, sides[::-1]),
        moved=tuple(
            edit
            for edit in dict.fromkeys((*sides[0].appended, *sides[1].appended))
            if all(side.has(edit, sides) for side in sides)
        ),
    )


def facts_apart(
    connection: Connection, between: Apart
) -> tuple[tuple[FactRecord, ...], tuple[FactRecord, ...]]:
    """The facts of joint edits that one of two versions alone has. Raises DamagedRow."""
    joint = reading.made_by(connection, JOINT, {*between.only_a, *between.only_b})
    members_a, members_b = (
        {
            member: fact
            for record in reading.edit_records(
                connection, [edit for edit in only if edit in joint], overlaps=False
            )
            for member, fact in record.members.items()
        }
        for only in (between.only_a, between.only_b)
    )
    return (
        tuple(fact for member, fact in members_a.items() if member not in members_b),
        tuple(fact for member, fact in members_b.items() if member not in members_a),
    )


def differing(
    connection: Connection, base: str, versions: Sequence[str], edits: Collection[str]
) -> tuple[tuple[NeuronId, ...], tuple[LayerDifference, ...]]:
    """Slots and layers that two versions write in different ways.

    edits: those that are not in both, or not in the same order; a slot that none of them writes
    does not differ
    """
    writers = written.sharing(connection, all_of(written.of_edits(connection, edits).values()))
    a, b = (members(connection, base, version, writers) for version in versions)
    return (
        history.differing_slots(a, b, writers.__getitem__),
        history.differing_layers(a, b, writers.__getitem__),
    )


def first_meetings(
    connection: Connection, base: str, sides: Sides, result: Recipe
) -> tuple[Overlap, ...]:
    """Edits that meet for the first time in a slot when versions are joined to a result, and edits
    that the result lacks with those that came after them.

    All edits of the longest recipe met before: only what is not in it, and who writes the same
    slots, is looked at.
    """
    longest = max(sides.recipes, key=len)
    taken = {*history.beyond(result, longest)}
    new = {edit for recipe in sides.recipes for edit in history.beyond(recipe, longest, taken)}
    gone = {*history.beyond(longest, result)} | (new - taken)
    writes = all_of(written.of_edits(connection, new | gone).values())
    writers = written.sharing(connection, writes)
    parts = [members(connection, base, version, writers) for version in sides.versions]
    remaining = [tuple(edit for edit in part if edit not in gone) for part in parts]
    after = [
        overlap
        for part in parts
        for edit in part
        if edit in gone
        for overlap in history.overlaps_after(part, edit, writers.__getitem__)
        if overlap.other not in gone
    ]
    return (*history.overlaps_between(remaining, writers.__getitem__), *dict.fromkeys(after))


@dataclass(frozen=True)
class _Side:
    """What leads to a version from the one at which two of them parted."""

    dropped: frozenset[str]
    appended: dict[str, None]

    @classmethod
    def of(cls, effect: Effect) -> _Side:
        dropped, appended = map(Recipe.from_bytes, (effect.dropped, effect.appended))
        return cls(frozenset(dropped), dict.fromkeys(appended))

    def has(self, edit: str, sides: list[_Side]) -> bool:
        """Whether the version has an edit that one of both sides changes."""
        stood_before = any(edit in side.dropped for side in sides)
        return edit in self.appended or (stood_before and edit not in self.dropped)


def _only(connection: Connection, base: str, version: str, sides: list[_Side]) -> tuple[str, ...]:
    """The edits that a version has and the other one has not, in its order.

    sides: its own, then the other one
    """
    own, opposite = sides
    kept = [edit for edit in opposite.dropped if edit not in own.appended and own.has(edit, sides)]
    lost = [edit for edit in kept if not opposite.has(edit, sides)]
    ordered = lost if len(lost) < 2 else members(connection, base, version, lost)
    return (*ordered, *(edit for edit in own.appended if not opposite.has(edit, sides)))
