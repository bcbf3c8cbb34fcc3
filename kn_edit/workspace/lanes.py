"""Where the lines of a drawn history run: a column for each line that leads down to an older step.

A step stands where the newest line to it is; other lines to it end there, and those of what was
merged begin there. Where a listing is cut off, its lines lead down to its end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kn_edit.ledger import Step

FIRST = "init"  # the kind of the step that comes after none

Lanes = tuple[int | None, ...]  # the step that the line in each column leads to


@dataclass(frozen=True)
class Place:
    """A step of a drawn history. Columns count from 0; a lane without a line is None.

    column: where it stands
    arriving: the lines that come from above; ends: the columns of those that lead to it
    passing: the lines beside it, with itself in its column
    leaving: the lines that go on below; starts: the columns of those that it begins, beside its own
    """

    step: Step
    column: int
    arriving: Lanes
    ends: tuple[int, ...]
    passing: Lanes
    leaving: Lanes
    starts: tuple[int, ...]


def laid_out(steps: Iterable[Step]) -> Iterator[Place]:
    """The place of each step, newest first."""
    lanes: list[int | None] = []
    for step in steps:
        arriving = tuple(lanes)
        ends = tuple(column for column, seq in enumerate(lanes) if seq == step.seq)
        column = ends[0] if ends else _free(lanes, 0)
        lanes = _without(lanes, ends[1:])
        lanes[column] = step.seq
        passing = tuple(lanes)
        lanes[column] = step.after[0] if step.after else _below(step)
        starts = tuple(_leading_to(lanes, seq, column) for seq in step.after[1:])
        yield Place(
            step=step,
            column=column,
            arriving=arriving,
            ends=ends,
            passing=passing,
            leaving=tuple(lanes),
            starts=starts,
        )
        while lanes and lanes[-1] is None:
            lanes.pop()


def _below(step: Step) -> int | None:
    """The end of a line to a step that is not listed: no step has this number."""
    return None if step.kind == FIRST else -step.seq


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
