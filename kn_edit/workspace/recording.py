"""Record a proposed edit on the head, wherever that has moved to since the edit was computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from kn_edit.editing.drafts import Draft, EditContext, Proposal, measured
from kn_edit.errors import GateFailed, HeadMoved
from kn_edit.ledger import Advance, Ledger, NewEdit, VersionRecord
from kn_edit.ledger.history import with_edit
from kn_edit.ledger.recipes import Recipe
from kn_edit.progress import Progress
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.turns import TRIES, turn

MOVED = "another edit moved the head meanwhile, and on the new head this one was measured again"


@dataclass(frozen=True, eq=False)
class Recorder:
    """How edits of one workspace are recorded.

    folder: whose lock lets recorders take turns
    head: the context at the present head, and a proposal as it has to be asked there
    advance: records a planned move with its edit; raises HeadMoved
    require_head: raises HeadMoved for a version on which the caller does not want the edit
    branch: that was current when the edit was begun; it goes there, whichever is current by then
    """

    ledger: Ledger
    folder: Path
    progress: Progress
    head: Callable[[Proposal], tuple[EditContext, Proposal]]
    advance: Callable[[Advance, NewEdit], VersionRecord]
    require_head: Callable[[str], None]
    branch: str

    def record(
        self, context: EditContext, proposal: Proposal, *, accept: bool, dry_run: bool
    ) -> Edited:
        """Measure an edit, and record it if the gate lets it pass. Raises as `record_draft`."""
        draft = measured(context, proposal)
        return self.record_draft(context.recipe, proposal, draft, accept=accept, dry_run=dry_run)

    def record_draft(
        self,
        recipe: tuple[str, ...],
        proposal: Proposal,
        draft: Draft,
        *,
        accept: bool,
        dry_run: bool,
    ) -> Edited:
        """Record an edit that was measured on the version of a recipe, if the gate lets it pass.

        Where the head has moved since, the edit is kept, and measured again on the new head.
        Raises GateFailed, EditAlreadyApplied, EmptyEdit, and HeadMoved where the head moved again
        and again, or the caller named the head that it wants.
        """
        refused = bool(reasons_against(draft, accept))
        moved: HeadMoved | None = None
        with nullcontext() if dry_run or refused else turn(self.folder, self.progress):
            for number in range(TRIES):
                plan = self._plan(draft)
                self.require_head(plan.from_head)
                if plan.recipe == with_edit(Recipe(recipe), draft.delta.id, draft.replaces):
                    try:
                        return self._judged(
                            draft, plan, plan.from_head, accept=accept, dry_run=dry_run
                        )
                    except HeadMoved as error:
                        self.require_head(error.actual)
                        moved = error
                context, proposal = self.head(proposal)
                recipe = context.recipe
                draft = _measured_again(measured(context, proposal), number + 1)
        raise moved or HeadMoved(plan.from_head, self.ledger.version_id(self.branch))

    def judge(self, draft: Draft, head: str, *, accept: bool, dry_run: bool) -> Edited:
        """The verdict on an edit where it was measured, at `head`, whichever the head is now.

        Of one that is not to be recorded: a dry run, or what the gate refuses, as GateFailed.
        """
        return self._judged(draft, self._plan(draft), head, accept=accept, dry_run=dry_run)

    def _plan(self, draft: Draft) -> Advance:
        """The move that records a draft: at the end of the head, or where it replaces an edit."""
        return self.ledger.plan_edit(
            draft.delta,
            draft.kind,
            draft.message,
            branch=self.branch,
            replacing=draft.replaces,
        )

    def _judged(
        self, draft: Draft, plan: Advance, head: str, *, accept: bool, dry_run: bool
    ) -> Edited:
        """Record a draft that was measured on a version, where the plan starts from that."""
        unrecorded = Edited(draft=draft, edit=None, version=None, overlaps=plan.overlaps, head=head)
        if dry_run:
            return unrecorded
        reasons = reasons_against(draft, accept)
        if reasons:
            raise GateFailed(
                reasons,
                unrecorded,
                final=bool(draft.unsound),
                misses=() if draft.unsound else draft.misses,
                update=draft.kind == "update",
            )
        self.progress("recording", 0, 0)
        version = self.advance(plan, draft.new_edit())
        return replace(unrecorded, edit=draft.delta.id, version=version.id)


def reasons_against(draft: Draft, accept: bool) -> tuple[str, ...]:
    """Why a draft is not recorded; none where it is."""
    reasons = (*draft.unsound, *draft.faults) if draft.unsound or not accept else ()
    again = "measured_again" in draft.found
    return (MOVED, *reasons) if reasons and again else reasons


def _measured_again(draft: Draft, times: int) -> Draft:
    attribution = draft.found | {"measured_again": times}
    return replace(draft, found=attribution, notices=(*draft.notices, MOVED))
