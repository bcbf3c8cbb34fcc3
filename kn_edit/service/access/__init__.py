"""Who calls, and what that caller may do.

roles     reader, editor, publisher
tokens    kept as digests, with their sessions in browsers
audit     who changed what, and who was refused
guard     what every request passes before its route, and after it
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from kn_edit.errors import ForeignPage, KnEditError, NotSignedIn, RoleTooLow
from kn_edit.service.access.roles import LOCAL, Caller, Role

__all__ = ["LOCAL", "Caller", "Role", "from_our_page", "require", "role_needed"]


def from_our_page(request: Request) -> None:
    """Raise ForeignPage where a page of a stranger sent what may change something."""
    if getattr(request.state, "foreign", False):
        raise _refusing(request, ForeignPage())


def require(role: Role) -> Any:
    """The dependency of a route that only callers of a role, or a higher one, may call.

    It gives the Caller: `caller: Annotated[Caller, require(Role.EDITOR)]`. Raises NotSignedIn,
    RoleTooLow, ForeignPage.
    """

    async def required(request: Request) -> Caller:  # async: no thread is taken for it
        request.state.role = role
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            raise _refusing(request, NotSignedIn())
        from_our_page(request)
        if caller.role < role:
            raise _refusing(request, RoleTooLow(caller.name, caller.role.word, role.word))
        return caller

    dependency: Callable[[Request], Awaitable[Caller]] = required
    dependency.role = role  # type: ignore[attr-defined]
    return Depends(dependency)


def _refusing(request: Request, error: KnEditError) -> KnEditError:
    """An error, noted for the audit."""
    request.state.refused = type(error).__name__
    return error


def role_needed(dependency: object) -> Role | None:
    """The role that a dependency of a route demands; None where it demands none."""
    return getattr(dependency, "role", None)
