"""Runs of the sweep: one line of JSON for each, and none that is there already."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.editing.editors import Editor
from benchmarks.editing.facts import EditFact
from benchmarks.editing.measuring import (
    ELSEWHERE,
    Asked,
    Row,
    Tokens,
    measured,
    neutral,
    spoken,
)
from benchmarks.editing.orders import DRAWN

RETAINED, SHARE = 100, 10  # the first facts, at most a tenth of all, are measured at once too


@dataclass(frozen=True)
class Run:
    """One run; equal runs give equal figures. order: of the facts, see orders.py"""

    model: str
    dataset: str
    method: str
    count: int
    seed: int
    order: str = DRAWN


class Results:
    """Lines of results in a file; a line is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def rows(self) -> list[dict[str, Any]]:
        """Every line that is whole."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # the last line was cut off as it was written
            self.path.write_text(whole, encoding="utf-8")
        return [json.loads(line) for line in whole.splitlines()]

    def has(self, run: Run) -> bool:
        """Whether a run is there."""
        wanted = asdict(run)
        return any({key: row.get(key) for key in wanted} == wanted for row in self.rows())

    def add(self, run: Run, figures: dict[str, Any]) -> None:
        """Write a run behind the others."""
        self.rows()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(run) | figures) + "\n")
            file.flush()
            os.fsync(file.fileno())


class Bench:
    """Measures editors on one list of facts; what the unedited model says is asked once."""

    def __init__(self, unedited: Editor, facts: Sequence[EditFact]) -> None:
        self.facts = list(facts)
        self._before: dict[str, list[Tokens]] = {}
        with unedited.applied() as model:
            self._neutral = neutral(model)
            plain = Asked.of(model, self.facts, unedited.front)
            answers = spoken(model, plain, [ELSEWHERE])[ELSEWHERE]
            for fact, said in zip(self.facts, answers, strict=True):
                self._before[_key(fact)] = said

    def run(self, editor: Editor, facts: Sequence[EditFact]) -> dict[str, Any]:
        """Edit facts in this order, batch by batch, and measure all of them at the end."""
        began = time.process_time()
        edited: list[EditFact] = []
        at_once: list[Row] = []
        measuring, retained = 0.0, min(RETAINED, len(facts) // SHARE)
        for batch in _batches(facts, editor.batch):
            editor.edit(batch)
            edited += batch
            if len(edited) == retained:
                started = time.process_time()
                at_once = self._measured(editor, edited)
                measuring += time.process_time() - started
        seconds = time.process_time() - began - measuring + editor.borrowed
        began = time.process_time()
        with editor.applied() as model:
            perplexity = neutral(model)
        rows = self._measured(editor, facts)
        return {
            "seconds": round(seconds, 1),
            "measuring": round(time.process_time() - began, 1),
            "neutral": round(perplexity / self._neutral, 4),
            "by_fact": _columns(rows),
            **({"first_at_once": _columns(at_once)} if at_once else {}),
        }

    def _measured(self, editor: Editor, facts: Sequence[EditFact]) -> list[Row]:
        with editor.applied() as model:
            asked = Asked.of(model, facts, editor.front)
            return measured(model, asked, [self._before[_key(fact)] for fact in facts])


def _key(fact: EditFact) -> str:
    place = fact.case.fact.place
    return f"{place} {fact.case.relation.name} {fact.case.fact.subject} {fact.to}"


def _batches(facts: Sequence[EditFact], size: int | None) -> Iterator[Sequence[EditFact]]:
    step = size or max(len(facts), 1)
    for start in range(0, len(facts), step):
        yield facts[start : start + step]


def _columns(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Figures by name, a value for each fact."""
    return {name: [row.get(name) for row in rows] for name in (rows[0] if rows else {})}
