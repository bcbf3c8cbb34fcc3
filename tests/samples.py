"""Samples of long lists of cases: `make test` takes some, `make torture` takes all."""

from __future__ import annotations

import os
import random
from collections.abc import Hashable, Iterable
from typing import TypeVar

TORTURE = os.environ.get("KN_EDIT_TORTURE") == "1"

Case = TypeVar("Case")


def sampled(cases: Iterable[Case], count: int, seed: int = 0) -> list[Case]:
    """So many cases in their order, or all of them with KN_EDIT_TORTURE=1.

    Where a case is a tuple, each value of each of its places is in some case that is taken, also
    where that needs more cases than count.
    """
    cases = list(cases)
    if TORTURE or len(cases) <= count:
        return cases
    order = [*range(len(cases))]
    random.Random(seed).shuffle(order)
    values: set[Hashable] = set()
    first, rest = [], []
    for place in order:
        new = {*_values(cases[place])} - values
        (first if new else rest).append(place)
        values |= new
    taken = first + rest[: max(count - len(first), 0)]
    return [cases[place] for place in sorted(taken)]


def _values(case: object) -> list[Hashable]:
    """What stands in each place of a case."""
    return (
        [(place, repr(value)) for place, value in enumerate(case)]
        if isinstance(case, tuple)
        else []
    )
