"""The journal of all branches as one drawn graph, a line a step, newest first.

A column is a line that leads down to an older step. A step stands where the newest line to it is;
other lines to it end there, and those of what was merged begin there. Where a listing is cut off,
its lines lead down to its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.text import Text

from kn_edit.canonical import short
from kn_edit.cli import terminal
from kn_edit.cli.records import OVERRULED
from kn_edit.cli.tables import Parts, fitted, safe
from kn_edit.figures import moment
from kn_edit.workspace import Step

UP, DOWN, LEFT, RIGHT = 1, 2, 4, 8  # where the line of a cell leads to
STEP = 16
FIRST = "init"  # the kind of the step that comes after none
LINES = {
    **{UP | DOWN: "│", LEFT | RIGHT: "─", UP | RIGHT: "╰", UP | LEFT: "╯", DOWN | RIGHT: "╭"},
    **{DOWN | LEFT: "╮", UP | DOWN | RIGHT: "├", UP | DOWN | LEFT: "┤", UP | LEFT | RIGHT: "┴"},
    **{DOWN | LEFT | RIGHT: "┬", UP | DOWN | LEFT | RIGHT: "┼", STEP: "●", 0: " "},
}
PLAIN = {UP | DOWN: "|", LEFT | RIGHT: "-", STEP: "*", 0: " "}  # anything else is a +
MOST_ALIGNED = 16  # columns of lines that texts are set to the right of
LEAST_TEXT = 24  # columns of what a step says

Cells = Sequence[int]


def drawn(steps: Sequence[Step], current: str) -> Parts:
    """A line for each step, with those between that say how it hangs together.

    current: the name of the current branch, which is marked
    """
    unicode = terminal.draws_lines()
    rows = list(_rows(steps))
    width = min(max((2 * len(cells) for cells, _ in rows), default=0), MOST_ALIGNED)
    for cells, step in rows:
        lines = _line(cells, unicode=unicode)
        if step is None:
            yield Text(lines.rstrip(), no_wrap=True, overflow="ignore")
        else:
            yield _described(f"{lines:<{width}}", step, current)


def _described(lines: str, step: Step, current: str) -> Text:
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
    text.append(fitted(safe(step.message), max(room, 1)))
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
    lanes: list[int | None] = []  # the step that the line in each column leads to
    for step in steps:
        ends = [column for column, seq in enumerate(lanes) if seq == step.seq]
        column = ends[0] if ends else _free(lanes, 0)
        if len(ends) > 1:
            yield _connected(lanes, ends, lanes, _without(lanes, ends[1:])), None
            lanes = _without(lanes, ends[1:])
        lanes[column] = step.seq
        yield [STEP if index == column else _through(seq) for index, seq in enumerate(lanes)], step
        above = list(lanes)
        lanes[column] = step.after[0] if step.after else _below(step)
        starts = [_leading_to(lanes, seq, column) for seq in step.after[1:]]
        if starts:
            yield _connected(lanes, [column, *starts], above, lanes), None
        while lanes and lanes[-1] is None:
            lanes.pop()


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


def _below(step: Step) -> int | None:
    """The end of a line to a step that is not listed: no step has this number."""
    return None if step.kind == FIRST else -step.seq


def _through(lane: int | None) -> int:
    return 0 if lane is None else UP | DOWN


def _without(lanes: Sequence[int | None], columns: Collection[int]) -> list[int | None]:
    return [None if column in columns else seq for column, seq in enumerate(lanes)]


def _free(lanes: list[int | None], first: int) -> int:
    """A column without a line, from the first one on; a new one where all have lines."""
    for column in range(first, len(lanes)):
        if lanes[column] is None:
            return column
    lanes.append(None)
    return len(lanes) - 1


def _leading_to(lanes: list[int | None], seq: int, beside: int) -> int:
    """The column of the line to a step: one that is there, or a new one to the right."""
    for column, lane in enumerate(lanes):
        if lane == seq and column != beside:
            return column
    column = _free(lanes, beside + 1)
    lanes[column] = seq
    return column
