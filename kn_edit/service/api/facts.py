"""Routes that look at facts: those that edits changed, and those of the bundled relations."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from kn_edit.service import models
from kn_edit.service.api.reading import USUAL, Limit, NumberBefore, Reader, gives
from kn_edit.service.arguments import RelationName, VersionName, bundled_relation
from kn_edit.service.kept_answers import KeptRoute, keeps_answer
from kn_edit.service.replies import page, tagged
from kn_edit.service.service import TheService
from kn_edit.workspace import bundled, to_json

router = APIRouter(route_class=KeptRoute, tags=["facts"])


@router.get("/facts", response_model=None, responses=gives(models.Page[models.CurrentFact], 404))
@keeps_answer
def list_facts(
    request: Request,
    service: TheService,
    caller: Reader,
    version: VersionName = "head",
    limit: Limit = USUAL,
    before: NumberBefore = None,
) -> Response:
    """The facts that the edits of a version changed, by the last edit of each, newest first."""
    facts = service.workspace.facts(version)
    numbered = [*enumerate(facts)][::-1]
    older = [entry for entry in numbered if before is None or entry[0] < before]
    return tagged(
        request,
        page(
            older[: limit + 1],
            limit,
            cursor=lambda entry: entry[0],
            plain=lambda entry: to_json.changed_fact(entry[1]),
        ),
    )


@router.get("/relations", response_model=None, responses=gives(models.Page[str]))
def list_relations(request: Request, caller: Reader) -> Response:
    """The names of the relations that ship with kn-edit."""
    return tagged(request, {"items": [*bundled()], "next": None})


@router.get("/relations/{name}", response_model=None, responses=gives(models.Relation))
def show_relation(request: Request, caller: Reader, name: RelationName) -> Response:
    """A relation that ships with kn-edit: how it is asked, and the facts that it knows."""
    relation = bundled_relation(name)
    plain = {
        "relation": relation.name,
        "templates": [template.text for template in relation.templates],
        "facts": [*map(to_json.fact, relation.facts)],
    }
    return tagged(request, plain)
