"""Forms that ask the model and change nothing: the neurons of a fact, a version beside the base."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from kn_edit.errors import KnEditError
from kn_edit.errors.remedies import PLAIN
from kn_edit.service.access import Caller
from kn_edit.service.arguments import LocateArguments
from kn_edit.service.pages.fact_form import FIRST, FactForm
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Reader, router
from kn_edit.service.pages.submitting import form_key, submitted
from kn_edit.service.problems import problem
from kn_edit.service.service import Service, TheService
from kn_edit.service.work import checked_arguments

Name = Annotated[str, Query(max_length=200)]

pages = router()


class Location(FactForm):
    """The form that looks for the neurons of a fact at a version."""

    version: str = Field(default="head", max_length=200)


class Measurement(BaseModel):
    """The form that measures a version against the base."""

    version: str = Field(default="head", max_length=200)
    key: str = Field(default="", max_length=64)


@pages.get("/locate", name="locate")
def locate_form(
    request: Request,
    service: TheService,
    caller: Reader,
    relation: Name = FIRST,
    subject: Name = "",
    version: Name = "head",
) -> HTMLResponse:
    """The forms of a fact whose neurons are looked for, with what a link names."""
    location = Location(relation=relation, subject=subject, version=version, key=form_key())
    return _locate_form(request, service, location)


@pages.post("/locate")
def locate(
    request: Request, service: TheService, caller: Reader, location: Annotated[Location, Form()]
) -> Response:
    """Look for the neurons of a fact."""
    arguments = location.fact_arguments()
    try:
        checked_arguments("locate", LocateArguments, arguments).asked_case()
        return _queued(service, caller, "locate", arguments, location)
    except KnEditError as error:
        return _locate_form(request, service, location, problem(error, PLAIN))


@pages.get("/evaluate", name="evaluate")
def evaluate_form(
    request: Request, service: TheService, caller: Reader, version: Name = "head"
) -> HTMLResponse:
    """The form of a version that is measured against the base."""
    return _evaluate_form(request, service, Measurement(version=version, key=form_key()))


@pages.post("/evaluate")
def evaluate(
    request: Request,
    service: TheService,
    caller: Reader,
    measurement: Annotated[Measurement, Form()],
) -> Response:
    """Measure a version against the base."""
    try:
        return _queued(service, caller, "evaluate", {}, measurement)
    except KnEditError as error:
        return _evaluate_form(request, service, measurement, problem(error, PLAIN))


def _queued(
    service: Service,
    caller: Caller,
    verb: Literal["locate", "evaluate"],
    arguments: dict[str, Any],
    form: Location | Measurement,
) -> Response:
    """Queue a question about the version that the name stands for now. Raises UnknownVersion."""
    version = service.workspace.ledger.version_id(form.version)
    arguments = arguments | {"version": version}
    return submitted(service, caller, verb, arguments, branch="", head=None, key=form.key)


def _locate_form(
    request: Request, service: Service, location: Location, document: dict[str, Any] | None = None
) -> HTMLResponse:
    return page(
        request,
        "locate.html",
        document["status"] if document else 200,
        **location.template_values(),
        refs=service.workspace.ledger.refs(),
        problem=document,
    )


def _evaluate_form(
    request: Request,
    service: Service,
    measurement: Measurement,
    document: dict[str, Any] | None = None,
) -> HTMLResponse:
    return page(
        request,
        "evaluate.html",
        document["status"] if document else 200,
        form=measurement.model_dump(),
        refs=service.workspace.ledger.refs(),
        problem=document,
    )
