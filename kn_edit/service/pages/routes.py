"""Routes of pages: an error of one is a page too."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse

from kn_edit.errors import KnEditError, NotSignedIn
from kn_edit.errors.remedies import PLAIN
from kn_edit.service.access import Caller, Role, require
from kn_edit.service.kept_answers import Handler, KeptRoute
from kn_edit.service.pages.rendering import page
from kn_edit.service.problems import problem

Reader = Annotated[Caller, require(Role.READER)]
Editor = Annotated[Caller, require(Role.EDITOR)]
Publisher = Annotated[Caller, require(Role.PUBLISHER)]


class PageRoute(KeptRoute):
    """A route whose errors are told as pages."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handler(request)
            except NotSignedIn as error:
                if request.method == "GET":
                    wanted = urlencode({"next": request.url.path})
                    return RedirectResponse(f"/sign-in?{wanted}", HTTPStatus.SEE_OTHER)
                return problem_page(request, problem(error, PLAIN))
            except KnEditError as error:
                return problem_page(request, problem(error, PLAIN))
            except RequestValidationError as error:
                return problem_page(request, _unfit(error))

        return handled


def router() -> APIRouter:
    """A router of pages, which are no part of the API's description."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def problem_page(request: Request, document: dict[str, Any]) -> Response:
    """A problem document as a page."""
    return page(request, "problem.html", document["status"], problem=document)


def _unfit(error: RequestValidationError) -> dict[str, Any]:
    """What a form lacks, as a problem document."""
    fields = sorted({str(entry["loc"][-1]) for entry in error.errors()})
    message = f"the request does not fit: look at {', '.join(fields)}, and send it again"
    return {"status": 422, "error": "RequestUnfit", "message": message, "remedies": []}
