"""How much one caller may ask: a bucket of requests that fills up again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import ceil

MOST_CALLERS = 10_000  # of whom a bucket is kept; the one that called longest ago is let go


class Rate:
    """Requests of each caller: so many a second, and some at once."""

    def __init__(
        self, per_second: float, at_once: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> int:
        """Take one request of a caller: 0 where it may go on, else after how many seconds."""
        now = self._clock()
        drops, then = self._buckets.pop(caller, (self._at_once, now))
        drops = min(self._at_once, drops + (now - then) * self._per_second)
        allowed = drops >= 1
        self._buckets[caller] = (drops - 1 if allowed else drops, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return 0 if allowed else max(1, ceil((1 - drops) / self._per_second))
