"""How long work tells where it stands: what it does, how much of how much."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with the name of a task, the steps done, and all steps; 0 where nobody knows."""


def silent(task: str, done: int, total: int) -> None:
    """A progress that goes nowhere, for callers that do not look."""


def bytes_of(progress: Progress, task: str) -> Callable[[int, int], None]:
    """A progress of bytes done and all bytes, under the name of a task."""
    return lambda done, total: progress(task, done, total)
