"""What is told of the history, as JSON: a version, an edit, what sets two apart, moves."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kn_edit.errors import UnknownId
from kn_edit.jobs.callers import caller_json, callers_in
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.replies import page
from kn_edit.workspace import Step, Workspace, to_json

Plain = dict[str, Any]


def version(workspace: Workspace, name: str) -> Plain:
    """A version with where it is published, and the moves that led to it. Raises UnknownId."""
    ledger = workspace.ledger
    record = ledger.version(name)
    places = [place for place in ledger.publications() if place.version == record.id]
    return to_json.version(record, ledger.refs()) | {
        "published": [*map(to_json.publication, places)],
        "moves": [*map(to_json.move, ledger.moves_to(record))],
    }


def edit(workspace: Workspace, id: str) -> Plain:
    """An edit by at least 8 digits of its id. Raises UnknownId, AmbiguousId, ShortPrefix."""
    return to_json.edit(workspace.ledger.edit(id))


def named(workspace: Workspace, name: str) -> Plain:
    """A version, or an edit. Raises UnknownId, AmbiguousId, ShortPrefix."""
    with suppress(UnknownId):
        return version(workspace, name)
    return edit(workspace, name)


def difference(workspace: Workspace, a: str, b: str) -> Plain:
    """What sets two versions apart. Raises UnknownId."""
    ids = workspace.ledger.version_id(a), workspace.ledger.version_id(b)
    return to_json.difference(*ids, workspace.diff(*ids))


def moves(
    workspace: Workspace,
    database: ServiceDatabase,
    branch: str,
    limit: int,
    before: int | None = None,
) -> Plain:
    """A part of the moves that led to a branch, newest first. Raises UnknownBranch.

    database: of the service, which knows who asked for them
    """
    steps = workspace.log(limit + 1, branch=branch, before=before)
    return part(database, steps, limit)


def part(
    database: ServiceDatabase,
    steps: list[Step],
    limit: int,
    *,
    drawn: bool = False,
) -> Plain:
    """A part of moves. steps: one more than the limit, where more follow; drawn: with those before
    each"""
    callers = callers_in(database, steps)

    def plain(step: Step) -> Plain:
        move = to_json.drawn_step(step) if drawn else to_json.step(step) | {"step": step.seq}
        return move | caller_json(step, callers)

    return page(steps, limit, cursor=lambda step: step.seq, plain=plain)
