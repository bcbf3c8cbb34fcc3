"""Roles, and who has one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a caller may do; each role may do what those before it may."""

    READER = 1  # look at everything, ask the model
    EDITOR = 2  # record edits and moves
    PUBLISHER = 3  # export, push, roll back

    @property
    def word(self) -> str:
        """As it is written on the command line."""
        return self.name.lower()


@dataclass(frozen=True)
class Caller:
    """Who sent a request. name: of the token, or `local` where none is needed"""

    name: str
    role: Role


LOCAL = Caller("local", Role.PUBLISHER)
