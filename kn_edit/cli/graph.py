"""The journal of all branches as one drawn graph, a line a step, newest first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from rich.text import Text

from kn_edit.canonical import short
from kn_edit.cli import terminal
from kn_edit.cli.records import OVERRULED
from kn_edit.cli.tables import Parts, fitted, safe
from kn_edit.figures import moment
from kn_edit.jobs.callers import StepCaller
from kn_edit.workspace import Step
from kn_edit.workspace.lanes import laid_out

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where the line of a cell leads to
STEP = 16
LINES = {
    **{UP | DOWN: "│", LEFT | RIGHT: "─", UP | RIGHT: "╰", UP | LEFT: "╯", DOWN | RIGHT: "╭"},
    **{DOWN | LEFT: "╮", UP | DOWN | RIGHT: "├", UP | DOWN | LEFT: "┤", UP | LEFT | RIGHT: "┴"},
    **{DOWN | LEFT | RIGHT: "┬", UP | DOWN | LEFT | RIGHT: "┼", STEP: "●", 0: " "},
}
PLAIN = {UP | DOWN: "|", LEFT | RIGHT: "-", STEP: "*", 0: " "}  # anything else is a +
MOST_ALIGNED = 16  # columns of lines that texts are set to the right of
LEAST_TEXT = 24  # columns of what a step says

Cells = Sequence[int]


def drawn(
    steps: Sequence[Step], current: str, callers: Mapping[int, StepCaller] | None = None
) -> Parts:
    """A line for each step, with those between that say how it hangs together.

    current: the name of the current branch, which is marked; callers: who asked for steps
    """
    unicode = terminal.draws_lines()
    rows = list(_rows(steps))
    width = min(max((2 * len(cells) for cells, _ in rows), default=0), MOST_ALIGNED)
    for cells, step in rows:
        lines = _line(cells, unicode=unicode)
        if step is None:
            yield Text(lines.rstrip(), no_wrap=True, overflow="ignore")
        else:
            caller = (callers or {}).get(step.seq)
            yield _described(f"{lines:<{width}}", step, current, caller)


def _described(lines: str, step: Step, current: str, caller: StepCaller | None) -> Text:
    """What a step says beside its lines, in one row of the terminal."""
    text = Text(lines, no_wrap=True, overflow="ignore")
    text.append(f"{short(step.version)}  {moment(step.created)}  ")
    room = max(terminal.width() - len(text.plain), LEAST_TEXT)
    if step.refs:
        refs = (f"*{name}" if name == current else name for name in step.refs)
        names = fitted(f"({', '.join(refs)})", room // 2)
        text.append(f"{names} ", style="bold")
        room -= len(names) + 1
    if step.overruled:
        text.append(OVERRULED, style="yellow")
        room -= len(OVERRULED)
    message = f"{step.message}, {caller}" if caller else step.message
    text.append(fitted(safe(message), max(room, 1)))
    return text


def _line(cells: Cells, *, unicode: bool) -> str:
    """The characters of a row: two a column, so that lines to the right have room."""
    texts = []
    for cell in cells:
        between = LEFT | RIGHT if cell & RIGHT else 0
        for kind in (cell, between):
            texts.append(LINES[kind] if unicode else PLAIN.get(kind, "+"))
    return "".join(texts)


def _rows(steps: Sequence[Step]) -> Iterator[tuple[Cells, Step | None]]:
    """Rows of cells: of steps, and between them of lines that meet or part."""
    for place in laid_out(steps):
        if len(place.ends) > 1:
            merged = [
                seq if index not in place.ends[1:] else None
                for index, seq in enumerate(place.arriving)
            ]
            yield _connected(place.arriving, place.ends, place.arriving, merged), None
        cells = [
            STEP if index == place.column else _through(seq)
            for index, seq in enumerate(place.passing)
        ]
        yield cells, place.step
        if place.starts:
            ends = (place.column, *place.starts)
            yield _connected(place.leaving, ends, place.passing, place.leaving), None


def _connected(
    lanes: Sequence[int | None],
    ends: Collection[int],
    above: Sequence[int | None],
    below: Sequence[int | None],
) -> Cells:
    """A row in which a line across connects columns. above, below: the lines of those rows"""
    first, last = min(ends), max(ends)
    cells = []
    for column in range(len(lanes)):
        cell = UP if column < len(above) and above[column] is not None else 0
        cell |= DOWN if below[column] is not None else 0
        cell |= RIGHT if first <= column < last else 0
        cell |= LEFT if first < column <= last else 0
        cells.append(cell)
    return cells


def _through(lane: int | None) -> int:
    return 0 if lane is None else UP | DOWN
