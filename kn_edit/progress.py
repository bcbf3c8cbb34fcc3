"""How long work tells where it stands: what it does, how much of how much."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told what is done, how many steps of how many; of 0 where nobody knows."""


def silent(what: str, done: int, total: int) -> None:
    """For callers that do not look."""


def bytes_of(progress: Progress, what: str) -> Callable[[int, int], None]:
    """The same, for work that counts bytes."""
    return lambda done, total: progress(what, done, total)
