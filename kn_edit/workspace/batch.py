"""Updates of many rows, recorded one after the other: a row that fails ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from kn_edit.errors import (
    CallerError,
    ExitCode,
    GateFailed,
    KnEditError,
    RowsFailed,
    SameAnswer,
    Wording,
    listed,
    prefixed,
    worded,
)
from kn_edit.facts import Case

if TYPE_CHECKING:
    from kn_edit.workspace.edited import Edited
    from kn_edit.workspace.planning import Plan

MOST_KEPT = 50  # of the first results, those that were refused keep what was computed
# What concerns a row alone, from the mildest to the worst; all else ends the run.
OF_A_ROW = (ExitCode.QUALITY_GATE, ExitCode.USAGE, ExitCode.ERROR, ExitCode.CONFLICT)


class RowStatus(StrEnum):
    """What became of a row."""

    RECORDED = "recorded"
    MEASURED = "measured, not recorded"  # a dry run
    REFUSED = "refused by the gate"
    UNCHANGED = "unchanged"  # the model says the new answer already
    FAILED = "failed"


@dataclass(frozen=True)
class BatchRow:
    """A fact that is to be updated. error: why it cannot be begun, if that is known already"""

    case: Case
    target: str
    error: KnEditError | None = None

    @property
    def name(self) -> str:
        """Its line in a file, or its subject."""
        place = self.case.fact.place
        return f"line {place.line}" if place else self.case.fact.subject


@dataclass(frozen=True)
class RowResult:
    """What became of a row.

    edited: what was computed, and where it is recorded; None where nothing was, and of rows before
        the last one, whose numbers would fill memory
    reasons: why it was not recorded
    """

    row: BatchRow
    status: RowStatus
    edited: Edited | None = None
    reasons: tuple[str, ...] = ()
    error: KnEditError | None = None
    metrics: Mapping[str, Any] | None = None  # of what was computed

    @classmethod
    def of(
        cls, row: BatchRow, status: RowStatus, edited: Edited, reasons: Iterable[str] = ()
    ) -> RowResult:
        """The result of a row of which something was computed."""
        metrics = edited.draft.metrics
        return cls(row, status, edited=edited, reasons=tuple(reasons), metrics=metrics)

    def worded(self, wording: Wording) -> RowResult:
        """The same, its reasons in the words of a front end."""
        return replace(self, reasons=tuple(worded(reason, wording) for reason in self.reasons))


MakeRows = Callable[[Sequence[BatchRow]], Iterator[RowResult]]


class Batch:
    """Updates of many rows; iterating makes them, and gives the result of each.

    Whoever stops in between has lost nothing: `results` holds what was done, `left` what was not
    tried, and iterating again goes on there.
    plan: which rows there were, and which of them nothing is left to do for
    rows: those that are left, in their order; make: gives the result of each of some rows, in order
    """

    def __init__(self, plan: Plan, rows: Sequence[BatchRow], make: MakeRows) -> None:
        self.plan, self.rows = plan, tuple(rows)
        self.results: list[RowResult] = []
        self._make = make

    def __iter__(self) -> Iterator[RowResult]:
        """Make one edit after the other. Raises what concerns more than the row in hand."""
        for result in self._make(self.left):
            self.results.append(result)
            yield result
            self._forget(len(self.results) - 1)

    @property
    def left(self) -> tuple[BatchRow, ...]:
        """The rows that were not tried."""
        return self.rows[len(self.results) :]

    @property
    def recorded(self) -> int:
        """How many rows were recorded."""
        return sum(result.status == RowStatus.RECORDED for result in self.results)

    @property
    def error(self) -> KnEditError | None:
        """What the rows that were not recorded come to; None where nothing failed.

        GateFailed where nothing but the gate refused rows, RowsFailed where others failed.
        """
        refused = tuple(
            f"{result.row.case.fact.subject} ({listed(result.reasons, 2)})"
            for result in self.results
            if result.status == RowStatus.REFUSED
        )
        edits = [result.edited for result in self.results if result.edited]
        failed = [result for result in self.results if result.status == RowStatus.FAILED]
        if failed:
            sentences = tuple(
                prefixed(f"{result.row.name}: ", result.reasons[0]) for result in failed
            )
            code = worst(result.error for result in failed)
            return RowsFailed((*sentences, *refused), len(self.rows), code, edits)
        return GateFailed(refused, edits) if refused else None

    def _forget(self, index: int) -> None:
        """Let go of the tensors of a result, but of the first ones that the gate refused."""
        result = self.results[index]
        if result.status != RowStatus.REFUSED or index >= MOST_KEPT:
            self.results[index] = replace(result, edited=None)


def batch_rows(plan: Plan, check: Callable[[Case, str], None]) -> list[BatchRow]:
    """The rows that are left, in the order of their file.

    A row of a benchmark that the model cannot be asked fails alone; any other ends the run before
    the first edit. Raises what `check` raises.
    """
    rows = [BatchRow(case, target, error) for (case, target), error in plan.refused]
    for case, target in plan.wanted:
        error: KnEditError | None = None
        try:
            if case.published:
                check(case, target)
            else:
                with case.fact.located():
                    check(case, target)
        except KnEditError as refusal:
            if not (case.published and _is_of_a_row(refusal)):
                raise
            error = refusal
        rows.append(BatchRow(case, target, error))
    return sorted(rows, key=lambda row: row.case.fact.place.line if row.case.fact.place else 0)


def one_by_one(update: Callable[[Case, str], Edited]) -> MakeRows:
    """Make each edit on top of those before it."""

    def make(rows: Sequence[BatchRow]) -> Iterator[RowResult]:
        for row in rows:
            yield row_result(row, update)

    return make


def row_result(row: BatchRow, update: Callable[[Case, str], Edited]) -> RowResult:
    """Update the fact of a row. Raises what concerns more than this row."""
    if row.error is not None:
        return RowResult(row, RowStatus.FAILED, reasons=(row.error.phrase(),), error=row.error)
    try:
        edited = update(row.case, row.target)
    except GateFailed as error:
        # The first fault and where it shows, then the rest: a table has room for two.
        reasons = (*error.faults[:1], *error.misses, *error.faults[1:])
        return RowResult.of(row, RowStatus.REFUSED, refused_edit(error), reasons)
    except SameAnswer as error:  # nobody stated the answer, and the model says the new one already
        return RowResult(row, RowStatus.UNCHANGED, reasons=(error.phrase(),), error=error)
    except KnEditError as error:
        if not _is_of_a_row(error):
            raise
        return RowResult(row, RowStatus.FAILED, reasons=(error.phrase(),), error=error)
    if edited.edit is None:
        draft = edited.draft
        return RowResult.of(row, RowStatus.MEASURED, edited, (*draft.unsound, *draft.faults))
    return RowResult.of(row, RowStatus.RECORDED, edited)


def _is_of_a_row(error: KnEditError) -> bool:
    """Whether an error concerns a row alone, so that the others go on."""
    return not isinstance(error, CallerError) and error.exit_code in OF_A_ROW


def refused_edit(error: GateFailed) -> Any:
    """What the gate refused: an Edited without ids. The error knows it as an object only."""
    return error.result


def worst(errors: Iterable[KnEditError | None]) -> ExitCode:
    """The exit code of a run in which rows ended with these errors, one at least."""
    return max((error.exit_code for error in errors if error), key=OF_A_ROW.index)
