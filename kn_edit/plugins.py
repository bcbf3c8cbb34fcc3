"""What installed packages add to a table, by entry points."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any


@cache
def add_installed(group: str, add: Callable[[Any], object]) -> None:
    """Give `add` what the packages that are installed name in a group of entry points, once."""
    for entry in entry_points(group=group):
        add(entry.load())
