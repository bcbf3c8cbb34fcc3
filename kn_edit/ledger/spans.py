"""Spans: what lies between a version and one far behind it, packed, so that few steps lead back.

A version is stored as changes of another one. Followed change by change, a line of a hundred
thousand edits is a hundred thousand rows. So every 32 changes a span is stored beside: the version
that is 32 changes back, and what was dropped and appended since. Every 32 of these spans there is
one of the next level, and so on. A list is read by the widest span of each version on the way.

Where most of what would be read was dropped again, a span holds the whole list. So reading costs
what the list costs, whatever happened before. Spans tell nothing that the changes do not tell:
a list that is read is compared with the id of its version, and `verify` makes all spans again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from struct import Struct

from kn_edit.ledger.recipes import WIDTH, Recipe, cut, packed, place_of

FANOUT = 32  # changes of a span, spans of a span of the next level
WHOLE = 15  # the level of a span that holds the whole list: no other one goes beyond it
WASTE = 8 * FANOUT  # changes that may be read beyond twice the length of a list
MOST_HOPS = FANOUT * (WHOLE + 1)  # more steps than lead back from any version
_FEW = 12  # ids that are looked for one by one
_SOME = 40  # ids that are cut out one by one
_MANY = Struct(f"{WIDTH}s" * 1024)


@dataclass(frozen=True)
class Effect:
    """What turns a list of edits into another one: ids to drop, then ids to append; packed."""

    dropped: bytes = b""
    appended: bytes = b""

    @property
    def size(self) -> int:
        """How many ids it has."""
        return (len(self.dropped) + len(self.appended)) // WIDTH

    def applied(self, recipe: Recipe) -> Recipe:
        """The list that a list becomes."""
        return recipe.without(Recipe.from_bytes(self.dropped)).appended_bytes(self.appended)


@dataclass(frozen=True)
class Hop:
    """A step on the way back from a version: level 0 for its own changes, else a span."""

    version: str
    level: int
    effect: Effect

    @property
    def outline(self) -> Outline:
        """The step without its ids."""
        return Outline(self.level, self.effect.size)


@dataclass(frozen=True)
class Outline:
    """A step on the way back from a version, without its ids: its level, and how many it has."""

    level: int
    size: int


@dataclass(frozen=True)
class Span:
    """What a version does to the list of a version before it; None is the empty list."""

    level: int
    ancestor: str | None
    effect: Effect


@dataclass(frozen=True)
class Way:
    """The way back from a version to the empty list, as a list that shares its rest."""

    hop: Hop
    rest: Way | None
    depth: int  # how many hops it has

    @classmethod
    def on(cls, hop: Hop, rest: Way | None) -> Way:
        """A hop, and the way on from there."""
        return cls(hop, rest, 1 if rest is None else rest.depth + 1)

    def until(self, ancestor: str | None) -> list[Hop] | None:
        """The hops before this version, None for the empty list; None where it is not passed."""
        hops: list[Hop] = []
        way: Way | None = self
        while way is not None and way.hop.version != ancestor:
            hops.append(way.hop)
            way = way.rest
        return hops if (way is None) == (ancestor is None) else None

    def beyond(self, ancestor: str | None) -> Way | None:
        """The way on from this version."""
        way: Way | None = self
        while way is not None and way.hop.version != ancestor:
            way = way.rest
        return way


def effect_of(steps: Iterable[tuple[str, bool]]) -> Effect:
    """The effect of the changes of a version, drops first. Raises BadId."""
    steps = list(steps)
    return Effect(
        packed(edit for edit, added in steps if not added),
        packed(edit for edit, added in steps if added),
    )


def joined(effects: Iterable[Effect]) -> Effect:
    """What several effects come to, of which the newest is the first.

    What one of them appends and a newer one drops is in neither part.
    """
    gone: set[bytes] = set()
    pieces: list[bytes] = []
    for effect in effects:
        pieces.append(_remaining(effect.appended, gone))
        gone.update(_ids(effect.dropped))
    return Effect(b"".join(sorted(gone)), b"".join(reversed(pieces)))


def new_span(own_effect: Effect, hops: Sequence[Hop], length: int) -> Span | None:
    """The span to store with a new version, if it is time for one.

    own_effect: its changes; hops: the way back from its parent; length: how many edits it has
    """
    level = level_due(own_effect.size, [hop.outline for hop in hops], length)
    if not level:
        return None
    between = list(takewhile(lambda hop: hop.level < level, hops)) if level < WHOLE else hops
    ancestor = hops[len(between)].version if len(between) < len(hops) else None
    return Span(level, ancestor, joined([own_effect, *(hop.effect for hop in between)]))


def level_due(own_size: int, outlines: Sequence[Outline], length: int) -> int:
    """The level of the span to store with a new version; 0 where none is due.

    own_size: how many changes it has; outlines: of the way back from its parent; length: how many
    edits it has
    """
    near = takewhile(lambda hop: not hop.level, outlines)
    if own_size + sum(hop.size for hop in near) < FANOUT:
        return 0
    if own_size + sum(hop.size for hop in outlines) > 2 * length + WASTE:
        return WHOLE
    level = 1
    while level < WHOLE - 1 and sum(hop.level == level for hop in outlines) + 1 >= FANOUT:
        level += 1
    return level


def _remaining(appended: bytes, gone: set[bytes]) -> bytes:
    """Packed ids without those that are gone; each of these takes one away, and is done."""
    if not gone or not appended:
        return appended
    there = gone if len(gone) <= _FEW else gone.intersection(_ids(appended))
    if len(there) > _SOME:
        gone -= there
        return b"".join(id_ for id_ in _ids(appended) if id_ not in there)
    places = {id_: place_of(id_, appended) for id_ in there}
    gone.difference_update([id_ for id_, place in places.items() if place >= 0])
    return cut(appended, [place for place in places.values() if place >= 0])


def _ids(data: bytes) -> Iterator[bytes]:
    end = len(data) - len(data) % _MANY.size
    for offset in range(0, end, _MANY.size):
        yield from _MANY.unpack_from(data, offset)
    for offset in range(end, len(data), WIDTH):
        yield data[offset : offset + WIDTH]
