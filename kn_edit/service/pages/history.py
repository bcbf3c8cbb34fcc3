"""Pages that look at the history: moves, edits, versions, and what sets two versions apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import HTMLResponse

from kn_edit.jobs.callers import callers_in
from kn_edit.service.kept_answers import keeps_answer
from kn_edit.service.pages.drawing import graph, neuron_map
from kn_edit.service.pages.figures import measured
from kn_edit.service.pages.moves import revert_choices
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Reader, router
from kn_edit.service.pages.submitting import form_key
from kn_edit.service.service import TheService
from kn_edit.workspace import EditRecord, FactChange, Workspace, bundled

MOVES = 50  # on one page of the history
MOST_FACTS = 100  # of one edit that are listed
MOST_BLAMED = 60  # neurons of one edit whose other writers are looked for

pages = router()


@dataclass(frozen=True)
class Answer:
    """What the model said to a prompt when an edit was made."""

    prompt: str
    before: str
    after: str


@dataclass(frozen=True)
class FactRow:
    """A fact that sets two versions apart. before, after: its answer in each; None as the base"""

    relation: str
    subject: str | None
    before: str | None
    after: str | None


@pages.get("/", name="history")
@keeps_answer
def history(
    request: Request,
    service: TheService,
    caller: Reader,
    passed: Annotated[int, Query(alias="from", ge=0, le=1_000_000)] = 0,
) -> HTMLResponse:
    """The moves of all branches as a graph, newest first."""
    steps = service.workspace.graph(passed + MOVES + 1)
    drawn = graph(steps[: passed + MOVES], passed)
    older = passed + MOVES if len(steps) > passed + MOVES else None
    refs = service.workspace.ledger.refs()
    kinds = {ref.name: "current branch" if ref.current else ref.kind for ref in refs}
    return page(
        request,
        "history.html",
        graph=drawn,
        kinds=kinds,
        older=older,
        newer=max(passed - MOVES, 0) if passed else None,
        head=service.workspace.head,
        callers=callers_in(service.database, steps),
    )


@pages.get("/edits/{name}", name="edit")
def edit(request: Request, service: TheService, caller: Reader, name: str) -> HTMLResponse:
    """What an edit changed, where it writes, and what was measured."""
    workspace = service.workspace
    record = workspace.ledger.edit(name)
    return page(
        request,
        "edit.html",
        edit=record,
        facts=record.by_fact[:MOST_FACTS],
        in_head=bool(workspace.ledger.members([record.id])),
        nbytes=workspace.ledger.delta_size(record.id),
        answers=_answers(record.found),
        measured=list(measured(record.metrics)),
        map=neuron_map(record.neurons, record.layers, workspace.base),
        shared=_shared(workspace, record),
        blamed=min(len(record.neurons), MOST_BLAMED),
        choices=revert_choices(workspace, record.id),
        key=form_key(),
        locatable=bool(record.subject) and record.relation in bundled(),
        overlapping=workspace.ledger.records(record.overlaps, overlaps=False),
    )


@pages.get("/versions/{name:path}", name="version")
def version(request: Request, service: TheService, caller: Reader, name: str) -> HTMLResponse:
    """The facts and edits of a version, and how it came about."""
    workspace = service.workspace
    record = workspace.ledger.version(name)
    edits = workspace.ledger.records(record.edits, overlaps=False)
    refs = workspace.ledger.refs()
    return page(
        request,
        "version.html",
        record=record,
        names=[ref for ref in refs if ref.version == record.id],
        refs=refs,
        edits=edits,
        facts=list(_answered(edits).values()),
        moves=workspace.ledger.moves_to(record),
        published=[
            place for place in workspace.ledger.publications() if place.version == record.id
        ],
    )


@pages.get("/diff", name="diff")
def diff(
    request: Request, service: TheService, caller: Reader, a: str = "base", b: str = "head"
) -> HTMLResponse:
    """What sets two versions apart: facts first, then slots."""
    workspace = service.workspace
    records = [workspace.ledger.version(name) for name in (a, b)]
    difference = workspace.diff(records[0].id, records[1].id)
    edits = [workspace.ledger.records(record.edits, overlaps=False) for record in records]
    only = [
        workspace.ledger.records(ids, overlaps=False)
        for ids in (difference.only_a, difference.only_b)
    ]
    return page(
        request,
        "diff.html",
        a=a,
        b=b,
        records=records,
        refs=workspace.ledger.refs(),
        facts=_changed_facts(edits[0], edits[1], chain(*only)),
        only=only,
        difference=difference,
        map=neuron_map(difference.slots, (), workspace.base),
    )


def _answers(provenance: Mapping[str, Any]) -> list[Answer]:
    """What the model said before and after, where that was recorded; by anybody."""
    recorded = provenance.get("says")
    rows = recorded if isinstance(recorded, list) else []
    texts = [
        [row.get(name) for name in ("prompt", "before", "after")]
        for row in rows[:MOST_FACTS]
        if isinstance(row, dict)
    ]
    return [Answer(*(text if isinstance(text, str) else "" for text in row)) for row in texts]


def _shared(workspace: Workspace, record: EditRecord) -> dict[str, list[EditRecord]]:
    """The neurons of an edit whose slots other edits write too, with those edits."""
    writers = {
        str(neuron): [blame.edit for blame in workspace.blame(neuron) if blame.edit.id != record.id]
        for neuron in record.neurons[:MOST_BLAMED]
    }
    return {neuron: edits for neuron, edits in writers.items() if edits}


def _key(fact: FactChange) -> tuple[str, str | None]:
    return fact.relation, fact.subject


def _answered(edits: Iterable[EditRecord]) -> dict[tuple[str, str | None], FactChange]:
    """The last change of each fact by edits in order; an erasure stands for its relation."""
    return {_key(fact): fact for edit in edits for fact in edit.facts}


def _changed_facts(
    a: Sequence[EditRecord], b: Sequence[EditRecord], only: Iterable[EditRecord]
) -> list[FactRow]:
    """The facts that edits of one version alone are about, with their answers in both."""
    before, after = _answered(a), _answered(b)
    keys = dict.fromkeys(_key(fact) for edit in only for fact in edit.facts)
    return [FactRow(*key, _target(before.get(key)), _target(after.get(key))) for key in keys]


def _target(fact: FactChange | None) -> str | None:
    """The answer that a change gives; None where there is no change."""
    if fact is None:
        return None
    return "erased" if fact.target is None else fact.target
