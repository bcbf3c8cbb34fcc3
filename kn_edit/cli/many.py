"""An update of every row of a file: done rows are passed over, a row that fails ends nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kn_edit.canonical import short
from kn_edit.cli import edited
from kn_edit.cli.output import JsonList, Output
from kn_edit.cli.progress import duration
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.errors import RowsFailed, listed, prefixed
from kn_edit.evaluation.metric import headline
from kn_edit.workspace import Batch, Case, Edited, Plan, Workspace, to_json
from kn_edit.workspace.batch import BatchRow, RowStatus, worst

Row = tuple["Case", str]

MOST_LINES = 5  # that a note lists
MOST_OVERLAPS = 3  # earlier edits that are told one by one


@dataclass
class Run:
    """How far a batch has come, and what of it is shown."""

    batch: Batch
    output: Output
    expected: float | None = None  # seconds for a row, before the first is measured
    began: float = field(default_factory=time.monotonic)
    json: JsonList = field(default_factory=JsonList)
    shown_count: int = 0  # results that stand on stdout
    ended: float = 0.0  # when the last row was

    def __post_init__(self) -> None:
        self.ended = self.began

    def position(self) -> str:
        """Which row is in hand, and how long the others take: `row 3 of 40, 25 min left`."""
        results, rows = self.batch.results, self.batch.rows
        computed = sum(result.metrics is not None for result in results)
        begun = f"row {len(results) + 1} of {len(rows)}"
        if not computed and self.expected is None:
            return begun
        remaining = sum(row.error is None for row in self.batch.left)
        each = (self.ended - self.began) / computed if computed else self.expected or 0.0
        spent = min(time.monotonic() - self.ended, each)  # on the row in hand
        return f"{begun}, {duration(each * remaining - spent)} left"


def tell_plan(plan: Plan, output: Output) -> None:
    """Notice the rows that nothing is left to do for."""
    if plan.done:
        output.notice(f"{_counted(plan.done)} the new answer already, and passed over")
    if plan.repeated:
        output.notice(f"{_counted(plan.repeated)} been given by an earlier row, and passed over")


def rows_failed(rows: Sequence[BatchRow], of: int) -> RowsFailed:
    """What rows come to that were left out before anything was computed. of: how many there are"""
    sentences = tuple(
        prefixed(f"{row.name}: ", row.error.phrase()) for row in rows if row.error is not None
    )
    return RowsFailed(sentences, of, worst(row.error for row in rows), [])


def update_rows(
    batch: Batch, workspace: Workspace, output: Output, expected: float | None = None
) -> None:
    """Make edits one after the other; each is recorded, and shown, before the next begins.

    expected: seconds that each will take, as far as that is known. Raises GateFailed where nothing
    but the gate refused rows, RowsFailed where others failed.
    """
    run = Run(batch, output, expected=expected)

    def progress(task: str, done: int, total: int) -> None:
        output.meter(f"{run.position()}: {task}", done, total)

    _begin(run)
    finished = False
    try:
        with workspace.call(progress=progress):
            for _ in batch:
                run.ended = time.monotonic()
                _show(run)
        finished = True
    finally:  # what was recorded is told, whatever stopped the rest
        _end(run, None if finished or not batch.rows else (batch.left or batch.rows[-1:])[0])
    error = batch.error
    if error is not None:
        raise error


def notices(result: Edited, output: Output) -> None:
    """Say what an edit came with beside its figures."""
    for notice in result.draft.notices:
        output.notice(notice)
    if len(result.overlaps) > MOST_OVERLAPS:
        names = listed([short(overlap.other) for overlap in result.overlaps], MOST_OVERLAPS)
        output.notice(f"{len(result.overlaps)} earlier edits write some of the same slots: {names}")
        return
    for overlap in result.overlaps:
        slots = listed(overlap.slot_names)
        output.notice(f"edit {short(overlap.other)} writes some of the same slots: {slots}")


def tell_notes(cases: Iterable[Case], output: Output) -> None:
    """Notice what readers took otherwise than the rows have it, a line of each kind."""
    rows: dict[str, list[Row]] = {}
    for case in cases:
        for note in case.notes:
            rows.setdefault(note, []).append((case, ""))
    for note, noted in rows.items():
        output.notice(f"{_named(noted)}: {note}")


def _begin(run: Run) -> None:
    if run.batch.rows and not (run.output.as_json or run.output.quiet):
        run.output.text([edited.rows_head()])


def _show(run: Run) -> None:
    """Show the results that are not shown yet, which is one unless a signal came between."""
    output, results = run.output, run.batch.results
    while run.shown_count < len(results):
        result = results[run.shown_count].worded(COMMAND_LINE)
        run.shown_count += 1
        if output.as_json:
            run.json.add(output, to_json.batch_row(result))
        elif output.quiet:
            output.ids([result.edited.edit] if result.edited and result.edited.edit else [])
        else:
            output.text(edited.result_row(result, result.status == RowStatus.MEASURED))
        if result.status == RowStatus.UNCHANGED:
            output.notice(f"{result.row.name} has the new answer already, and was passed over")
        elif result.status == RowStatus.FAILED and (output.as_json or output.quiet):
            output.notice(f"{result.row.name}: {result.reasons[0]}")
        elif result.status == RowStatus.MEASURED and result.reasons and not output.as_json:
            output.notice(f"{result.row.name} would fail the gate: {listed(result.reasons)}")
        if result.edited:
            notices(result.edited, output)


def _end(run: Run, stopped_at: BatchRow | None) -> None:
    output, batch = run.output, run.batch
    done = f"{batch.recorded} of {len(batch.rows)} were recorded"
    try:
        _show(run)
    finally:
        if stopped_at is not None:
            output.notice(f"stopped at {stopped_at.case.fact}; {done}")
        if output.as_json:
            run.json.close(output, done)
    if stopped_at is None and len(batch.rows) > 1:
        for line in _summary(run):
            output.notice(line)


def _summary(run: Run) -> list[str]:
    """How many rows came to what, the means of what was measured, and how long it took."""
    counts = Counter(result.status for result in run.batch.results)
    listed_counts = listed([f"{count} {status}" for status, count in counts.most_common()])
    seconds = time.monotonic() - run.began
    lines = [f"{len(run.batch.rows)} rows in {duration(seconds)}: {listed_counts}"]
    metrics = [result.metrics for result in run.batch.results if result.metrics]
    means = []
    for name in headline():
        values = [row[name] for row in metrics if row.get(name) is not None]
        if values:
            means.append(f"{name} {sum(values) / len(values):.2f} ({len(values)})")
    if means:
        lines.append(f"means over the rows that were measured: {listed(means)}")
    return lines


def _counted(rows: Sequence[Row]) -> str:
    """`line 7 has` or `3 rows (lines 1, 2 and 7) have`."""
    return f"{_named(rows)} {'has' if len(rows) == 1 else 'have'}"


def _named(rows: Sequence[Row]) -> str:
    """`line 7`, or `3 rows (lines 1, 2 and 7)`."""
    cases = [case for case, _ in rows]
    if len(cases) == 1:
        return BatchRow(cases[0], "").name
    lines = [str(case.fact.place.line) for case in cases[: MOST_LINES + 1] if case.fact.place]
    if len(cases) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"{len(cases) - MOST_LINES} more"]
    return f"{len(cases)} rows" + (f" (lines {listed(lines)})" if lines else "")
