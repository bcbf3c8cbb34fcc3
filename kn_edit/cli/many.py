"""An update of every row of a file: done rows are passed over, a row that fails ends nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kn_edit.cli import plain
from kn_edit.cli.output import JsonList, Output
from kn_edit.cli.plain import headline
from kn_edit.cli.progress import duration
from kn_edit.errors import ExitCode, GateFailed, KnEditError, RowsFailed, SameAnswer, listed

if TYPE_CHECKING:
    from kn_edit.workspace import Case, Edited, Plan, Workspace

Row = tuple["Case", str]
Make = Callable[["Case", str], "Edited"]

MOST_LINES = 5  # that a note lists
MOST_OVERLAPS = 3  # earlier edits that are told one by one
MOST_KEPT = 50  # of the first rows, those that were refused are advised on
# What became of a row.
RECORDED, MEASURED, REFUSED, UNCHANGED, FAILED = (
    "recorded",
    "measured, not recorded",  # a dry run
    "refused by the gate",
    "unchanged",  # the model says the new answer already
    "failed",
)
# What concerns a row alone, from the mildest to the worst; all else ends the run.
_OF_A_ROW = (ExitCode.QUALITY_GATE, ExitCode.USAGE, ExitCode.ERROR, ExitCode.CONFLICT)


@dataclass(frozen=True)
class ToDo:
    """A row of a run. error: why it cannot be begun, if that is known already."""

    case: Case
    target: str
    error: KnEditError | None = None

    @property
    def name(self) -> str:
        place = self.case.fact.place
        return f"line {place.line}" if place else self.case.fact.subject


@dataclass(frozen=True)
class Result:
    """What became of a row."""

    row: ToDo
    status: str
    edited: Edited | None = None
    why_not: tuple[str, ...] = ()
    error: KnEditError | None = None
    metrics: Mapping[str, Any] | None = None  # of what was computed

    @classmethod
    def of(cls, row: ToDo, status: str, edited: Edited, why_not: Iterable[str] = ()) -> Result:
        return cls(row, status, edited, tuple(why_not), metrics=edited.draft.metrics)

    def plain(self) -> dict[str, Any]:
        """The row as --json shows it: as an edit of its own, with what became of it."""
        fact = self.row.case.fact
        named = plain.fact(fact) | {"answer": fact.answer or None, "target": self.row.target}
        edit: dict[str, Any] = (
            plain.edited(self.edited)
            if self.edited
            else {
                "edit": None,
                "version": None,
                "kind": "update",
                **named,
                "facts": [named],
                "metrics": dict.fromkeys(headline()),
                "error": type(self.error).__name__,
            }
        )
        outcome = {
            "recorded": self.status == RECORDED,
            "status": self.status,
            "why_not": list(self.why_not),
        }
        return edit | outcome | ({"line": fact.place.line} if fact.place else {})


@dataclass
class Run:
    """How far a run over rows has come."""

    rows: Sequence[ToDo]
    output: Output
    results: list[Result] = field(default_factory=list)
    expected: float | None = None  # seconds for a row, before the first is measured
    began: float = field(default_factory=time.monotonic)
    json: JsonList = field(default_factory=JsonList)
    shown: int = 0  # results that stand on stdout
    ended: float = 0.0  # when the last row was

    def __post_init__(self) -> None:
        self.ended = self.began

    def add(self, result: Result) -> None:
        self.results.append(result)
        self.ended = time.monotonic()

    @property
    def recorded(self) -> int:
        return sum(result.status == RECORDED for result in self.results)

    def at(self) -> str:
        """Which row is in hand, and how long the others take: `row 3 of 40, 25 min left`."""
        done, rows = len(self.results), len(self.rows)
        computed = sum(result.metrics is not None for result in self.results)
        begun = f"row {done + 1} of {rows}"
        if not computed and self.expected is None:
            return begun
        left = sum(row.error is None for row in self.rows[done:])
        each = (self.ended - self.began) / computed if computed else self.expected or 0.0
        spent = min(time.monotonic() - self.ended, each)  # on the row in hand
        return f"{begun}, {duration(each * left - spent)} left"


def tell_plan(plan: Plan, output: Output) -> None:
    """Notice the rows that nothing is left to do for."""
    if plan.done:
        output.notice(f"{_counted(plan.done)} the new answer already, and passed over")
    if plan.repeated:
        output.notice(f"{_counted(plan.repeated)} been given by an earlier row, and passed over")


def to_do(
    plan: Plan, check: Callable[[Case, str], None], located: Callable[[Case], Any]
) -> list[ToDo]:
    """The rows that are left, in the order of the file.

    A row of a benchmark that the model cannot be asked fails alone; any other ends the run before
    the first edit. Raises what `check` raises.
    """
    rows = [ToDo(case, target, error) for (case, target), error in plan.refused]
    for case, target in plan.wanted:
        error: KnEditError | None = None
        try:
            if case.published:
                check(case, target)
            else:
                with located(case):
                    check(case, target)
        except KnEditError as refusal:
            if not case.published or refusal.exit_code not in _OF_A_ROW:
                raise
            error = refusal
        rows.append(ToDo(case, target, error))
    return sorted(rows, key=lambda row: row.case.fact.place.line if row.case.fact.place else 0)


def rows_failed(rows: Sequence[ToDo], of: int) -> RowsFailed:
    """What rows come to that were left out before anything was computed. of: how many there are"""
    sentences = tuple(f"{row.name}: {row.error}" for row in rows)
    return RowsFailed(sentences, of, _worst(row.error for row in rows), [])


def _worst(errors: Iterable[KnEditError | None]) -> ExitCode:
    """The exit code of a run in which rows ended with these errors, one at least."""
    return max((error.exit_code for error in errors if error), key=_OF_A_ROW.index)


def update_rows(
    rows: Sequence[ToDo],
    make: Make,
    workspace: Workspace,
    output: Output,
    expected: float | None = None,
) -> None:
    """Make edits one after the other; each is recorded, and shown, before the next begins.

    expected: seconds that each will take, as far as that is known. Raises GateFailed where nothing
    but the gate refused rows, RowsFailed where others failed.
    """
    run = Run(rows, output, expected=expected)
    workspace.progress = lambda what, done, total: output.meter(f"{run.at()}: {what}", done, total)
    _begin(run)
    row: ToDo | None = None
    finished = False
    try:
        for row in rows:
            run.add(_result(row, make))
            _show(run)
        finished = True
    finally:  # what was recorded is told, whatever stopped the rest
        _end(run, None if finished else row)
    _raise(run)


def notices(result: Edited, output: Output) -> None:
    """Say what an edit came with beside its figures."""
    for notice in result.draft.notices:
        output.notice(notice)
    if len(result.overlaps) > MOST_OVERLAPS:
        names = listed([overlap.other[:12] for overlap in result.overlaps], MOST_OVERLAPS)
        output.notice(f"{len(result.overlaps)} earlier edits write some of the same slots: {names}")
        return
    for overlap in result.overlaps:
        slots = listed(overlap.shown)
        output.notice(f"edit {overlap.other[:12]} writes some of the same slots: {slots}")


def tell_notes(cases: Iterable[Case], output: Output) -> None:
    """Notice what readers took otherwise than the rows have it, a line of each kind."""
    rows: dict[str, list[Row]] = {}
    for case in cases:
        for note in case.notes:
            rows.setdefault(note, []).append((case, ""))
    for note, noted in rows.items():
        output.notice(f"{_named(noted)}: {note}")


def measured(error: GateFailed) -> Any:
    """What the gate refused: an Edited without ids. The error knows it as an object only."""
    return error.result


def _result(row: ToDo, make: Make) -> Result:
    if row.error is not None:
        return Result(row, FAILED, None, (str(row.error),), row.error)
    try:
        edited = make(row.case, row.target)
    except GateFailed as error:
        # The first fault and where it shows, then the rest: a table has room for two.
        reasons = (*error.faults[:1], *error.misses, *error.faults[1:])
        return Result.of(row, REFUSED, measured(error), reasons)
    except SameAnswer as error:  # nobody stated the answer, and the model says the new one already
        return Result(row, UNCHANGED, None, (str(error),), error)
    except KnEditError as error:
        if error.exit_code not in _OF_A_ROW:
            raise
        return Result(row, FAILED, None, (str(error),), error)
    if edited.edit is None:
        draft = edited.draft
        return Result.of(row, MEASURED, edited, (*draft.unsound, *draft.faults))
    return Result.of(row, RECORDED, edited)


def _begin(run: Run) -> None:
    from kn_edit.cli import edited

    if run.rows and not (run.output.as_json or run.output.quiet):
        run.output.people([edited.rows_head()])


def _show(run: Run) -> None:
    """Show the results that are not shown yet, which is one unless a signal came between."""
    from kn_edit.cli import edited

    output = run.output
    while run.shown < len(run.results):
        result = run.results[run.shown]
        run.shown += 1
        if output.as_json:
            run.json.add(output, result.plain())
        elif output.quiet:
            output.ids([result.edited.edit] if result.edited and result.edited.edit else [])
        else:
            output.people(edited.result_row(result, result.status == MEASURED))
        if result.status == UNCHANGED:
            output.notice(f"{result.row.name} has the new answer already, and was passed over")
        elif result.status == FAILED and (output.as_json or output.quiet):
            output.notice(f"{result.row.name}: {result.why_not[0]}")
        elif result.status == MEASURED and result.why_not and not output.as_json:
            output.notice(f"{result.row.name} would fail the gate: {listed(result.why_not)}")
        if result.edited:
            notices(result.edited, output)
        if result.status != REFUSED or run.shown > MOST_KEPT:
            run.results[run.shown - 1] = replace(result, edited=None)  # its tensors are large


def _end(run: Run, stopped_at: ToDo | None) -> None:
    output, done = run.output, f"{run.recorded} of {len(run.rows)} were recorded"
    try:
        _show(run)
    finally:
        if stopped_at is not None:
            output.notice(f"stopped at {stopped_at.case.fact}; {done}")
        if output.as_json:
            run.json.close(output, done)
    if stopped_at is None and len(run.rows) > 1:
        for line in _summary(run):
            output.notice(line)


def _summary(run: Run) -> list[str]:
    """How many rows came to what, the means of what was measured, and how long it took."""
    counts = Counter(result.status for result in run.results)
    listed_counts = listed([f"{count} {status}" for status, count in counts.most_common()])
    seconds = time.monotonic() - run.began
    lines = [f"{len(run.rows)} rows in {duration(seconds)}: {listed_counts}"]
    metrics = [result.metrics for result in run.results if result.metrics]
    means = []
    for name in headline():
        values = [row[name] for row in metrics if row.get(name) is not None]
        if values:
            means.append(f"{name} {sum(values) / len(values):.2f} ({len(values)})")
    if means:
        lines.append(f"means over the rows that were measured: {listed(means)}")
    return lines


def _raise(run: Run) -> None:
    """Raise what the rows that were not recorded come to, if there are any."""
    refused = tuple(
        f"{result.row.case.fact.subject} ({listed(result.why_not, 2)})"
        for result in run.results
        if result.status == REFUSED
    )
    edits = [result.edited for result in run.results if result.edited]
    failed = [result for result in run.results if result.status == FAILED]
    if failed:
        worst = _worst(result.error for result in failed)
        sentences = tuple(f"{result.row.name}: {result.why_not[0]}" for result in failed)
        raise RowsFailed((*sentences, *refused), len(run.rows), worst, edits)
    if refused:
        raise GateFailed(refused, edits)


def _counted(rows: Sequence[Row]) -> str:
    """`line 7 has` or `3 rows (lines 1, 2 and 7) have`."""
    return f"{_named(rows)} {'has' if len(rows) == 1 else 'have'}"


def _named(rows: Sequence[Row]) -> str:
    """`line 7`, or `3 rows (lines 1, 2 and 7)`."""
    cases = [case for case, _ in rows]
    if len(cases) == 1:
        return ToDo(cases[0], "").name
    lines = [str(case.fact.place.line) for case in cases[: MOST_LINES + 1] if case.fact.place]
    if len(cases) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"{len(cases) - MOST_LINES} more"]
    return f"{len(cases)} rows" + (f" (lines {listed(lines)})" if lines else "")
