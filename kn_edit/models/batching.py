"""Which questions and texts run side by side: few tokens are padded, few runs are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kn_edit.models.model import Model
from kn_edit.models.questions import Question, distinct_rows

MOST_ROWS = 32  # texts that run side by side
GROUP_COST = 30  # of one more group, in tokens: weights are read anew, layers are called
FEWEST = 32  # questions of a window, unless there are no more
WINDOW_BYTES = 32 << 20  # of the answers of a window

Ids = tuple[int, ...]


def windows(questions: Sequence[Question], answer_bytes: int) -> Iterator[Sequence[Question]]:
    """Cut a list so that the answers of each part, so many bytes each, fit in memory together."""
    size = max(FEWEST, WINDOW_BYTES // answer_bytes)
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


def side_by_side(model: Model, questions: Sequence[Question]) -> list[list[int]]:
    """Places of questions in groups that run side by side at the least cost.

    Questions about one text are in one group.
    """
    texts, rows = distinct_rows([question.ids for question in questions], within=model.causal)
    places: dict[Ids, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(texts[row], []).append(place)
    return [[place for ids in group for place in places[ids]] for group in packed(texts)]


def packed(texts: Iterable[Ids], *, padded: bool = True) -> list[list[Ids]]:
    """Put texts into groups that run side by side at the least cost, the shorter ones first.

    The cost of a group is what its texts have in tokens when padded, and GROUP_COST. Repeats are
    left out. padded: False where only texts of one length may stand in a group
    """
    ordered = sorted(dict.fromkeys(texts), key=len)
    costs, starts = [0.0], [0]
    for end in range(1, len(ordered) + 1):
        length = len(ordered[end - 1])
        options = [
            (costs[start] + (end - start) * length + GROUP_COST, start)
            for start in range(max(0, end - MOST_ROWS), end)
            if padded or len(ordered[start]) == length
        ]
        cost, start = min(options)
        costs.append(cost)
        starts.append(start)
    groups: list[list[Ids]] = []
    end = len(ordered)
    while end:
        groups.append(ordered[starts[end] : end])
        end = starts[end]
    return groups[::-1]
