"""From a form to a job, and to its page."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from fastapi.responses import RedirectResponse

from kn_edit.jobs.job import JobRequest
from kn_edit.service.access import Caller
from kn_edit.service.service import Service
from kn_edit.service.work import VERBS, checked_arguments

MOST_KEY = 64  # characters


def form_key() -> str:
    """A key for a form as it is shown: sent twice, it makes one job."""
    return token_hex(8)


def submitted(
    service: Service,
    caller: Caller,
    verb: str,
    arguments: Mapping[str, Any],
    *,
    branch: str,
    head: str | None,
    key: str,
) -> RedirectResponse:
    """Queue a job, and go to its page.

    branch: that it writes to; head: the version that the branch has to be at; key: of the form
    Raises BadArguments, NoQueue, UnknownBranch.
    """
    entry = VERBS[verb]
    checked_arguments(verb, entry.arguments, arguments)
    request = JobRequest(
        verb=verb,
        arguments=dict(arguments),
        branch=branch if entry.moves else None,
        expected_head=head if entry.moves else None,
        by=caller.name,
        key=f"page-{caller.name}-{key[:MOST_KEY]}" if key else None,
    )
    return RedirectResponse(f"/jobs/{service.queue.submit(request).id}", status_code=303)
