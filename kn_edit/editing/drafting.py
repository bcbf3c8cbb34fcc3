"""Propose an edit by any method, and measure it where it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kn_edit.editing.drafts import Draft, EditContext, EditTerms, Proposal, measured
from kn_edit.editing.method import EditMethod, EraseRequest, Kind, UpdateRequest, UpdatesRequest
from kn_edit.editing.methods import method_of
from kn_edit.editing.stated import answered
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.errors import KnEditError


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


@dataclass(frozen=True, eq=False)
class UpdateShare:
    """An update that a worker computes and measures. terms: on which; see EditTerms"""

    request: UpdateRequest
    method: EditMethod
    terms: EditTerms

    def computed(
        self, engine: Engine, deltas: Sequence[Delta]
    ) -> tuple[Proposal, Draft] | KnEditError:
        """What was computed, and what it does; or why there is nothing: that ends no other."""
        try:
            context = self.terms.context(engine, deltas)
            case = answered(engine, deltas, self.request.case)
            proposal = self.method.propose(context, replace(self.request, case=case))
            return proposal, measured(context, proposal)
        except KnEditError as error:
            return error
