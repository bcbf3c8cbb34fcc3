"""Propose an edit by any method, and measure it where it was computed."""

from __future__ import annotations

from kn_edit.editing.drafts import Draft, EditContext, measured
from kn_edit.editing.method import EditMethod, EraseRequest, Kind, UpdateRequest, UpdatesRequest
from kn_edit.editing.methods import method_of


def draft(
    context: EditContext,
    request: UpdateRequest | UpdatesRequest | EraseRequest,
    method: EditMethod | str | None = None,
) -> Draft:
    """An edit that is computed and measured, not recorded; by the usual method of its kind.

    Raises what the method's `propose` raises, and what measuring does.
    """
    kind = Kind.ERASE if isinstance(request, EraseRequest) else Kind.UPDATE
    return measured(context, method_of(kind, method).propose(context, request))
