"""Routes that look at the history. They wait for no job."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from kn_edit.service import looking, models
from kn_edit.service.api.reading import LAST, USUAL, Before, Limit, NumberBefore, Reader, gives
from kn_edit.service.arguments import Name, VersionName
from kn_edit.service.kept_answers import KeptRoute, keeps_answer
from kn_edit.service.replies import at_version, page, tagged
from kn_edit.service.service import TheService
from kn_edit.workspace import to_json

router = APIRouter(route_class=KeptRoute, tags=["history"])


@router.get("/status", response_model=None, responses=gives(models.Status, changes=False))
@keeps_answer
def status(service: TheService, caller: Reader) -> Response:
    """The model, where the head is, which edits it holds. The ETag is the head's version."""
    plain = to_json.status(service.workspace)
    return at_version(plain, plain["head"])


@router.get("/models", response_model=None, responses=gives(models.Page[models.Model]))
@keeps_answer
def list_models(request: Request, service: TheService, caller: Reader) -> Response:
    """The base models whose versions the service keeps: there is one."""
    base = service.workspace.base
    model = {
        "model": base.name,
        "revision": base.revision,
        "family": base.model_type,
        "dtype": base.dtype,
        "fingerprint": base.fingerprint,
    }
    return tagged(request, {"items": [model], "next": None})


@router.get("/versions", response_model=None, responses=gives(models.Page[models.Version], 404))
@keeps_answer
def list_versions(
    request: Request,
    service: TheService,
    caller: Reader,
    limit: Limit = USUAL,
    before: Before = None,
) -> Response:
    """The versions that any branch ever was at, newest first."""
    ledger = service.workspace.ledger
    refs = ledger.refs()
    versions = ledger.newest_versions(limit + 1, before=before)
    plain = partial(to_json.version, refs=refs)
    return tagged(request, page(versions, limit, cursor=lambda version: version.id, plain=plain))


@router.get("/versions/{name:path}", response_model=None, responses=gives(models.Version, 404))
@keeps_answer
def show_version(
    request: Request, service: TheService, caller: Reader, name: VersionName
) -> Response:
    """A version: its edits, digests and names, where it was published, the moves that led to it."""
    return tagged(request, looking.version(service.workspace, name))


@router.get("/edits", response_model=None, responses=gives(models.Page[models.Edit], 404))
@keeps_answer
def list_edits(
    request: Request,
    service: TheService,
    caller: Reader,
    limit: Limit = USUAL,
    before: Before = None,
) -> Response:
    """Every edit ever recorded, also those that were taken back, newest first."""
    edits = service.workspace.ledger.newest_edits(limit + 1, before=before)
    return tagged(request, page(edits, limit, cursor=lambda edit: edit.id, plain=to_json.edit))


@router.get("/edits/{id}", response_model=None, responses=gives(models.Edit, 404))
@keeps_answer
def show_edit(request: Request, service: TheService, caller: Reader, id: Name) -> Response:
    """An edit by at least 8 digits of its id."""
    return tagged(request, looking.edit(service.workspace, id))


@router.get("/log", response_model=None, responses=gives(models.Page[models.Step], 404))
@keeps_answer
def log(
    request: Request,
    service: TheService,
    caller: Reader,
    branch: Name = "head",
    limit: Limit = USUAL,
    before: NumberBefore = None,
) -> Response:
    """The moves that led to a branch, newest first."""
    return tagged(
        request, looking.moves(service.workspace, service.database, branch, limit, before)
    )


@router.get("/graph", response_model=None, responses=gives(models.Page[models.DrawnStep]))
@keeps_answer
def graph(
    request: Request,
    service: TheService,
    caller: Reader,
    limit: Limit = USUAL,
    before: NumberBefore = None,
) -> Response:
    """The moves of all branches, newest first; `after` of each names those before it."""
    # With a number also at first: `after` names moves of the next part.
    steps = service.workspace.graph(limit + 1, before=LAST if before is None else before)
    return tagged(request, looking.part(service.database, steps, limit, drawn=True))


@router.get("/diff", response_model=None, responses=gives(models.Difference, 404))
@keeps_answer
def diff(
    request: Request,
    service: TheService,
    caller: Reader,
    a: VersionName,
    b: VersionName = "head",
) -> Response:
    """What sets two versions apart: edits that only one has, slots that may differ."""
    return tagged(request, looking.difference(service.workspace, a, b))


@router.get("/blame", response_model=None, responses=gives(models.Page[models.Blamed]))
@keeps_answer
def blame(
    request: Request,
    service: TheService,
    caller: Reader,
    neuron: Annotated[str, Query(min_length=1, max_length=50, examples=["L9.2141"])],
) -> Response:
    """The edits that write the value slot of a neuron, oldest first."""
    entries = service.workspace.blame(neuron)
    return tagged(request, {"items": [*map(to_json.blame, entries)], "next": None})
