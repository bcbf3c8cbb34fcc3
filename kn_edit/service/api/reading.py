"""What routes that only look have in common."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from kn_edit.service.access import Caller, Role, require
from kn_edit.service.problems import Declared, declared

Reader = Annotated[Caller, require(Role.READER)]

MOST = 200
USUAL = 50
LAST = 2**53  # above every number
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many entries to give.")]
Before = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="`next` of the part that came before."),
]
NumberBefore = Annotated[
    int | None, Query(ge=0, le=LAST, description="`next` of the part that came before.")
]


def gives(model: Any, *problems: int, status: int = 200, changes: bool = True) -> Declared:
    """What a route declares that it answers. changes: whether it tells that nothing changed"""
    answers: Declared = {status: {"model": model}}
    if changes:
        answers[304] = {"description": "The caller has this answer already."}
    return answers | declared(*problems)
