"""Forms that propose an edit. It is tried out first: nothing is recorded before that is asked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from kn_edit.errors import KnEditError
from kn_edit.errors.remedies import PLAIN
from kn_edit.service.access import Caller
from kn_edit.service.arguments import UpdateArguments
from kn_edit.service.pages.fact_form import FIRST, FactForm
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Editor, Reader, router
from kn_edit.service.pages.submitting import form_key, submitted
from kn_edit.service.problems import problem
from kn_edit.service.service import Service, TheService
from kn_edit.service.work import checked_arguments
from kn_edit.workspace import bundled, load_relation

pages = router()


class Proposal(FactForm):
    """The form of an update."""

    to: str = Field(default="", max_length=200)
    branch: str = Field(default="", max_length=200)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the verb `update`; a statement says its new answer itself."""
        to = {"to": self.to} if self.to and self.way != "statement" else {}
        return self.fact_arguments() | to | {"dry_run": True}


class Erasure(BaseModel):
    """The form of an erasure."""

    relation: str = Field(default=FIRST, max_length=200)
    branch: str = Field(default="", max_length=200)
    key: str = Field(default="", max_length=64)


@pages.get("/propose", name="propose")
def form(request: Request, service: TheService, caller: Reader) -> HTMLResponse:
    """The forms of an update, by a relation, a statement or prompts."""
    return _form(request, service, Proposal(key=form_key()))


@pages.post("/propose")
def propose(
    request: Request, service: TheService, caller: Editor, proposal: Annotated[Proposal, Form()]
) -> Response:
    """Try an update out."""
    arguments = proposal.arguments()
    try:
        checked_arguments("update", UpdateArguments, arguments).wanted()
        return _tried(service, caller, "update", arguments, proposal)
    except KnEditError as error:
        return _form(request, service, proposal, problem(error, PLAIN))


@pages.get("/propose/subjects")
def subjects(request: Request, service: TheService, caller: Reader, relation: str) -> HTMLResponse:
    """The subjects of a relation, to suggest."""
    facts = load_relation(relation).facts if relation in bundled() else ()
    return page(request, "subjects.html", facts=facts)


@pages.get("/erase", name="erase")
def erase_form(request: Request, service: TheService, caller: Reader) -> HTMLResponse:
    """The form of an erasure."""
    return _erase_form(request, service, Erasure(key=form_key()))


@pages.post("/erase")
def erase(
    request: Request, service: TheService, caller: Editor, erasure: Annotated[Erasure, Form()]
) -> Response:
    """Try an erasure out."""
    arguments = {"relation": erasure.relation, "dry_run": True}
    try:
        return _tried(service, caller, "erase", arguments, erasure)
    except KnEditError as error:
        return _erase_form(request, service, erasure, problem(error, PLAIN))


def _tried(
    service: Service,
    caller: Caller,
    verb: str,
    arguments: dict[str, Any],
    form: Proposal | Erasure,
) -> Response:
    """Queue the trial of an edit on the head that its branch has now. Raises as `submitted`."""
    head = service.workspace.ledger.version_id(form.branch)
    return submitted(service, caller, verb, arguments, branch=form.branch, head=head, key=form.key)


def _form(
    request: Request,
    service: Service,
    proposal: Proposal,
    document: dict[str, Any] | None = None,
) -> HTMLResponse:
    """The page, with what was typed; with a problem, that first."""
    return page(
        request,
        "propose.html",
        document["status"] if document else 200,
        **proposal.template_values(),
        **_places(service, proposal.branch),
        problem=document,
    )


def _erase_form(
    request: Request, service: Service, erasure: Erasure, document: dict[str, Any] | None = None
) -> HTMLResponse:
    return page(
        request,
        "erase.html",
        document["status"] if document else 200,
        form=erasure.model_dump(),
        relations=bundled(),
        **_places(service, erasure.branch),
        problem=document,
    )


def _places(service: Service, chosen: str) -> dict[str, Any]:
    """The branches that an edit can go to, and which one is chosen."""
    branches = [branch.name for branch in service.workspace.branches()]
    current = service.workspace.current_branch
    return {"branches": branches, "branch": chosen if chosen in branches else current}
