"""Work in shares, which workers compute; a worker that is lost loses nothing but time.

What a share comes to depends on the base, the version and the share alone: neither on how many
workers there are nor on which of them are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from kn_edit.edits.delta import Delta

if TYPE_CHECKING:
    from kn_edit.engine.engine import Engine

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Share(Protocol[T_co]):
    """Work that one worker does by itself. It, and what it comes to, are sent to other machines."""

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> T_co:
        """What it comes to at the version of these deltas."""
        ...


class Workers(Protocol):
    """What computes shares. several: whether it is worth cutting work, because they share it"""

    several: ClassVar[bool]

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share[T]]
    ) -> Iterator[tuple[int, T]]:
        """The result of each share with its place, once, as soon as it is known.

        deltas: of the version at which the shares are computed. Raises what a share raises.
        """
        ...


class ThisProcess:
    """`Workers` that are this process: what others compute has to be the same, bit for bit."""

    several: ClassVar[bool] = False

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def results(
        self, deltas: Sequence[Delta], shares: Sequence[Share[T]]
    ) -> Iterator[tuple[int, T]]:
        """The result of each share, in order, computed when it is asked for."""
        for number, share in enumerate(shares):
            yield number, share.computed(self._engine, deltas)


class InOrder(Iterator[T]):
    """Results in the order of their shares, whichever is known first."""

    def __init__(self, results: Iterator[tuple[int, T]]) -> None:
        self._results = results
        self._known: dict[int, T] = {}
        self._next = 0

    def __next__(self) -> T:
        while self._next not in self._known:
            self._take(next(self._results))
        self._next += 1
        return self._known.pop(self._next - 1)

    def settle(self) -> None:
        """Wait for all that is left, so that the workers are free for something else."""
        for result in self._results:
            self._take(result)

    def _take(self, result: tuple[int, T]) -> None:
        number, value = result
        self._known[number] = value


def shared(
    workers: Workers,
    deltas: Sequence[Delta],
    items: Sequence[S],
    share_of: Callable[[tuple[S, ...]], Share[Sequence[T]]],
    most: int,
    *,
    tell: Callable[[int, int], None],
) -> list[T]:
    """One result for each item, which workers compute in shares of at most so many.

    Where only one works, it is one share, which tells its progress itself: what items have in
    common is computed once. What an item comes to must not depend on the others of its share.

    tell: called with how many items are computed, of how many, as workers hand in their shares
    """
    most = most if workers.several else max(len(items), 1)
    shares = [share_of(tuple(items[start : start + most])) for start in range(0, len(items), most)]
    results: dict[int, Sequence[T]] = {}
    if workers.several:
        tell(0, len(items))
    for number, values in workers.results(deltas, shares):
        results[number] = values
        if workers.several:
            tell(sum(map(len, results.values())), len(items))
    return [value for number in range(len(shares)) for value in results[number]]
