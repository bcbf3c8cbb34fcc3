"""Routes on branches and tags. They touch no weights, so what they do is done at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from kn_edit.errors import UnknownBranch
from kn_edit.service import models
from kn_edit.service.access import Caller, Role, require
from kn_edit.service.api.reading import Reader, gives
from kn_edit.service.arguments import Arguments, Name, TagArguments, VersionName
from kn_edit.service.kept_answers import KeptRoute, keeps_answer
from kn_edit.service.once import done_once
from kn_edit.service.preconditions import IdempotencyKey
from kn_edit.service.replies import at_version, tagged
from kn_edit.service.service import TheService
from kn_edit.service.work import perform
from kn_edit.workspace import Ref, to_json

router = APIRouter(route_class=KeptRoute, tags=["branches and tags"])
Editor = Annotated[Caller, require(Role.EDITOR)]
CHANGED = gives(models.NamedBranch, 400, 404, 409, changes=False)


class NewBranch(Arguments):
    """A branch to make."""

    name: Name
    version: VersionName = "head"


class NewName(Arguments):
    """What a branch is called from now on."""

    name: Name


@router.get("/branches", response_model=None, responses=gives(models.Page[models.Branch]))
@keeps_answer
def list_branches(request: Request, service: TheService, caller: Reader) -> Response:
    """Every branch by name, with its last edit and its last move."""
    branches = service.workspace.branches()
    return tagged(request, {"items": [*map(to_json.branch, branches)], "next": None})


@router.get(
    "/branches/{name:path}",
    response_model=None,
    responses=gives(models.Branch, 404, changes=False),
)
@keeps_answer
def show_branch(service: TheService, caller: Reader, name: Name) -> Response:
    """A branch. The ETag is its version, which `If-Match` of a write has to name."""
    for record in service.workspace.branches():
        if record.name == name:
            return at_version(to_json.branch(record), record.version)
    raise UnknownBranch(name, None)


@router.post(
    "/branches",
    response_model=None,
    status_code=201,
    responses=gives(models.NamedBranch, 400, 404, 409, status=201, changes=False),
)
def make_branch(
    body: NewBranch, service: TheService, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make a branch at a version."""

    def make() -> dict[str, object]:
        return _named(service.workspace.branch(body.name, body.version))

    return done_once(
        service, caller, idempotency_key, ["make", body.model_dump()], make, status=201
    )


@router.patch("/branches/{name:path}", response_model=None, responses=CHANGED)
def rename_branch(
    name: Name,
    body: NewName,
    service: TheService,
    caller: Editor,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Give a branch another name."""

    def rename() -> dict[str, object]:
        return _named(service.workspace.rename_branch(name, body.name))

    return done_once(service, caller, idempotency_key, ["rename", name, body.name], rename)


@router.delete("/branches/{name:path}", response_model=None, responses=CHANGED)
def delete_branch(
    name: Name,
    service: TheService,
    caller: Editor,
    force: Annotated[
        bool, Query(description="Also where no other branch or tag has its edits.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Remove the name of a branch, and nothing else."""

    def delete() -> dict[str, object]:
        return _named(service.workspace.delete_branch(name, force=force))

    return done_once(service, caller, idempotency_key, ["delete", name, force], delete)


@router.get("/tags", response_model=None, responses=gives(models.Page[models.Tag]))
@keeps_answer
def list_tags(request: Request, service: TheService, caller: Reader) -> Response:
    """Every tag by name, with its version."""
    refs = service.workspace.ledger.refs()
    tags = [{"tag": ref.name, "version": ref.version} for ref in refs if ref.kind == "tag"]
    return tagged(request, {"items": tags, "next": None})


@router.post(
    "/tags",
    response_model=None,
    status_code=201,
    responses=gives(models.Tag, 400, 404, 409, status=201, changes=False),
)
def make_tag(
    body: TagArguments, service: TheService, caller: Editor, idempotency_key: IdempotencyKey = None
) -> Response:
    """Name a version."""
    arguments = body.model_dump()

    def make() -> dict[str, object]:
        return perform(service.workspace, "tag", arguments)

    return done_once(service, caller, idempotency_key, ["tag", arguments], make, status=201)


def _named(ref: Ref) -> dict[str, object]:
    return {"branch": ref.name, "version": ref.version, "current": ref.current}
