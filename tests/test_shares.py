"""Work in shares: what it comes to, in which order, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from kn_edit.engine.shares import InOrder, ThisProcess, shared


@dataclass(frozen=True)
class Doubled:
    numbers: tuple[int, ...]

    def computed(self, engine: Any, deltas: Sequence[Any]) -> list[int]:
        return [2 * number for number in self.numbers]


class Backwards:
    """Workers that hand in the last share first."""

    several = True

    def results(self, deltas: Any, shares: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(shares))):
            yield number, shares[number].computed(None, deltas)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_stand_in_the_order_of_their_items(count):
    items = range(count)
    for workers in (Backwards(), ThisProcess(None)):
        results = shared(workers, (), items, Doubled, 3, tell=lambda *_: None)
        assert results == [2 * number for number in items]


def test_it_is_told_how_many_items_workers_have_handed_in():
    told: list[tuple[int, int]] = []
    shared(Backwards(), (), range(7), Doubled, 3, tell=lambda *step: told.append(step))
    assert told == [(0, 7), (1, 7), (4, 7), (7, 7)]
    told.clear()
    shared(ThisProcess(None), (), range(7), Doubled, 3, tell=lambda *step: told.append(step))
    assert told == []  # its one share tells its own progress


def test_results_in_order_wait_for_those_before_them():
    results = InOrder(Backwards().results((), [Doubled((number,)) for number in range(3)]))
    assert list(results) == [[0], [2], [4]]
