"""Updates that are computed beside each other on one version, and recorded one after the other.

What becomes of a row depends on the rows alone, not on what computes them: workers of a cluster
give the edits that this process gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from kn_edit.editing.drafting import UpdateShare
from kn_edit.editing.earlier import newest
from kn_edit.engine.shares import InOrder
from kn_edit.errors import GateFailed, KnEditError
from kn_edit.facts import Case
from kn_edit.ledger import VersionRecord
from kn_edit.workspace.asking import with_recorded_answers
from kn_edit.workspace.batch import BatchRow, RowResult, row_result
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.making import Making
from kn_edit.workspace.on_head import earlier_in, recorder_of, requests_at, terms_of
from kn_edit.workspace.opened import OpenWorkspace
from kn_edit.workspace.recording import MOVED, reasons_against


@dataclass(frozen=True)
class BesideEachOther:
    """Makes the edits of rows, some of them on the same version.

    at_once: how many; all where nothing is recorded, because then the version stays what it is
    update: makes one edit on top of the head
    """

    workspace: OpenWorkspace
    making: Making
    at_once: int
    update: Callable[[Case, str], Edited]

    def __call__(self, rows: Sequence[BatchRow]) -> Iterator[RowResult]:
        """The result of each row, in order. Raises what concerns more than the row in hand."""
        self.workspace.engine.check_editable()
        size = len(rows) if self.making.dry_run else self.at_once
        for start in range(0, len(rows), max(size, 1)):
            yield from self._group(rows[start : start + size])

    def _group(self, rows: Sequence[BatchRow]) -> Iterator[RowResult]:
        branch = self.workspace._moved_branch
        head = self.workspace.ledger.version(branch)
        shares = self._shares([row for row in rows if row.error is None], head)
        deltas = self.workspace.ledger.deltas(head.edits)
        results = InOrder(self.workspace.engine.workers.results(deltas, shares))

        def edited(case: Case, to: str) -> Edited:
            self.workspace.progress("waiting for workers", 0, 0)
            result = next(results)
            if isinstance(result, KnEditError):
                raise result
            proposal, draft = result
            recorder = recorder_of(self.workspace, [case], self.making.how, branch)
            accept, dry_run = self.making.accept, self.making.dry_run
            if dry_run or reasons_against(draft, accept):
                return recorder.judge(draft, head.id, accept=accept, dry_run=dry_run)
            try:
                recipe = tuple(head.edits)
                return _untold(
                    recorder.record_draft(recipe, proposal, draft, accept=accept, dry_run=False)
                )
            except GateFailed:
                # It passes alone, and not behind the rows before it: one is made that knows them.
                results.settle()
                return self.update(case, to)

        for row in rows:
            yield row_result(row, edited)

    def _shares(self, rows: Sequence[BatchRow], head: VersionRecord) -> list[UpdateShare]:
        """The work on each row at a version."""
        cases = with_recorded_answers(self.workspace, [row.case for row in rows], head)
        requests = requests_at(self.workspace, head, cases, [row.target for row in rows])
        how, method = self.making.how, self.making.method
        shares = []
        for request in requests:
            earlier = tuple(newest(earlier_in(self.workspace, head, [request.case])))
            terms = terms_of(self.workspace, how, earlier)
            shares.append(UpdateShare(request, method, terms))
        return shares


def _untold(edited: Edited) -> Edited:
    """The same without a notice that the head moved: rows that are made at once move it."""
    notices = tuple(notice for notice in edited.draft.notices if notice != MOVED)
    return replace(edited, draft=replace(edited.draft, notices=notices))
