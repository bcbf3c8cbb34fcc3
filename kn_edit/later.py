"""Modules that are loaded when something of theirs is first used.

What only looks at the history starts without torch, which takes two seconds to load. Where such
code leads to a module that needs it, the module is named twice, once for readers and type checkers
and once for the program:

    if TYPE_CHECKING:
        from kn_edit.workspace import asking
    else:
        asking = later("kn_edit.workspace.asking")

From there on `asking.assess(...)` reads, and is checked, as after a plain import.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class LaterModule:
    """Stands for a module until something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"later({self._name!r})"


def later(name: str) -> Any:
    """Stand in for the module of this name, which is loaded when something of it is asked for."""
    return LaterModule(name)
