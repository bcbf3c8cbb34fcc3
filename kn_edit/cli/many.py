"""An update of every row of a file: done rows are passed over, a row that fails ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kn_edit.cli import plain
from kn_edit.cli.output import Output
from kn_edit.errors import ExitCode, GateFailed, KnEditError, RowsFailed, SameAnswer, listed

if TYPE_CHECKING:
    from kn_edit.workspace import Case, Edited, Plan

Row = tuple["Case", str]
Make = Callable[["Case", str], "Edited"]

MOST_LINES = 5  # that a note lists
# What concerns a row alone, from the mildest to the worst; all else ends the run.
_OF_A_ROW = (ExitCode.QUALITY_GATE, ExitCode.USAGE, ExitCode.ERROR, ExitCode.CONFLICT)


@dataclass
class Run:
    """How far a run over rows has come."""

    rows: Sequence[Row]
    output: Output
    results: list[Edited] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # by the gate
    failures: list[tuple[ExitCode, str]] = field(default_factory=list)

    @property
    def recorded(self) -> int:
        return sum(result.edit is not None for result in self.results)


def tell_plan(plan: Plan, output: Output) -> None:
    """Notice the rows that nothing is left to do for."""
    if plan.done:
        output.notice(f"{_counted(plan.done)} the new answer already, and passed over")
    if plan.repeated:
        output.notice(f"{_counted(plan.repeated)} been given by an earlier row, and passed over")


def update_rows(rows: Sequence[Row], make: Make, output: Output) -> None:
    """Make edits one after the other; each is recorded, and shown, before the next begins.

    Raises GateFailed where nothing but the gate refused rows, RowsFailed where others failed.
    """
    from kn_edit.cli import edited

    run = Run(rows, output)
    if rows and not (output.as_json or output.quiet):
        output.people([edited.ROW_HEAD])
    row: Row | None = None
    finished = False
    try:
        for row in rows:
            _update(run, row, make)
        finished = True
    finally:  # what was recorded is told, whatever stopped the rest
        if not finished and row is not None:
            output.notice(f"stopped at {row[0].fact}; {run.recorded} of {len(rows)} were recorded")
        if output.as_json:
            done = f"{run.recorded} of {len(rows)} were recorded" if finished else ""
            output.show(run.documents, (), list, done=done)
    if run.failures:
        codes = [code for code, _ in run.failures]
        worst = max(codes, key=_OF_A_ROW.index)
        sentences = tuple(sentence for _, sentence in run.failures)
        raise RowsFailed((*sentences, *run.refused), len(rows), worst, run.results)
    if run.refused:
        raise GateFailed(tuple(run.refused), run.results)


def notices(result: Edited, output: Output) -> None:
    """Say what an edit came with beside its figures."""
    for notice in result.draft.notices:
        output.notice(notice)
    for overlap in result.overlaps:
        slots = listed(overlap.slots)
        output.notice(f"edit {overlap.other[:12]} writes some of the same slots: {slots}")


def measured(error: GateFailed) -> Any:
    """What the gate refused: an Edited without ids. The error knows it as an object only."""
    return error.result


def _update(run: Run, row: Row, make: Make) -> None:
    from kn_edit.cli import edited

    (case, target), output = row, run.output
    try:
        result = make(case, target)
    except GateFailed as error:
        result = measured(error)
        run.refused.append(f"{case.fact.subject} ({listed((*error.faults, *error.misses), 2)})")
    except SameAnswer:  # nobody stated the answer, and the model says the new one already
        output.notice(f"{_line(case)} has the new answer already, and was passed over")
        return
    except KnEditError as error:
        if error.exit_code not in _OF_A_ROW:
            raise
        sentence = f"{_line(case)}: {error}"
        run.failures.append((error.exit_code, sentence))
        output.notice(sentence)
        return
    run.results.append(result)
    run.documents.append(plain.edited(result) | _where(case))
    if output.quiet:
        output.ids([result.edit] if result.edit else [])
    elif not output.as_json:
        output.people([edited.row(result)])
    notices(result, output)


def _counted(rows: Sequence[Row]) -> str:
    """`line 7 has` or `3 rows have`, with their lines."""
    cases = [case for case, _ in rows]
    if len(cases) == 1:
        return f"{_line(cases[0])} has"
    lines = [str(case.fact.place.line) for case in cases[: MOST_LINES + 1] if case.fact.place]
    if len(cases) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"{len(cases) - MOST_LINES} more"]
    where = f" (lines {listed(lines)})" if lines else ""
    return f"{len(cases)} rows{where} have"


def _line(case: Case) -> str:
    place = case.fact.place
    return f"line {place.line}" if place else case.fact.subject


def _where(case: Case) -> dict[str, Any]:
    return {"line": case.fact.place.line} if case.fact.place else {}
