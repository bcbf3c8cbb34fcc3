"""Templates as pages: what they show is escaped, and safe to read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from kn_edit import __version__
from kn_edit.canonical import short
from kn_edit.figures import count, moment
from kn_edit.safetext import escaped, shown, struck
from kn_edit.service.pages.figures import size, value
from kn_edit.service.service import Service

FOLDER = Path(__file__).parent
MOST, MOST_LINES = 4000, 20_000  # characters of one text, and of one of several lines
HEADERS = {  # beside those that every answer has
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "Cache-Control": "no-store",
}
NAVIGATION = (
    ("/", "History"),
    ("/compare", "Side by side"),
    ("/locate", "Locate"),
    ("/evaluate", "Evaluate"),
    ("/propose", "Propose"),
    ("/branches", "Branches"),
    ("/jobs", "Jobs"),
)


def page(request: Request, template: str, /, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A page from its template; every value is escaped where it is shown."""
    service: Service = request.app.state.service
    text = (
        environment()
        .get_template(template)
        .render(request=request, workspace=service.workspace, version=__version__, **values)
    )
    return HTMLResponse(text, status_code=status_code, headers=HEADERS)


@cache
def environment() -> Environment:
    """The templates, with the filters that they use."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=readable,
    )
    templates.filters |= {
        "short": short,
        "moment": moment,
        "value": value,
        "size": size,
        "lines": Lines,
    }
    templates.globals |= {"count": count, "navigation": NAVIGATION}
    return templates


def readable(text: object) -> object:
    """A text without what hides, reorders or floods, and without secrets; markup as it is."""
    if isinstance(text, str) and not hasattr(text, "__html__"):
        return shown(text, MOST)
    return text


@dataclass(frozen=True)
class Lines:
    """A text of several lines, for where these are kept."""

    text: str

    def __html__(self) -> str:
        return escape(struck(escaped(self.text, keep="\n\t"), MOST_LINES))
