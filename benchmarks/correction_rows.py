"""Rows that corrections are measured on: how they are read, drawn, and judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from correction_table import NAMING

from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neutral import unseen_texts
from kn_edit.editing.stated import can_ask, model_answer
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.errors import KnEditError
from kn_edit.evaluation.fluency import perplexity
from kn_edit.facts import Case, Fact, Prompt, Template, read_cases
from kn_edit.models.encoding import plain_ids
from kn_edit.models.greedy import greedy, words_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_openly

MOST_TOKENS = 8  # of an answer
MOST_LOCALITY = 16  # tokens of a locality answer that are said
BESIDE = ("locality", "invented")  # keys of own facts that are the benchmark's


@dataclass(frozen=True)
class Row:
    """One fact to be corrected, and the locality prompts that its file judges it by."""

    file: str  # its name without the ending
    index: int  # its place in the file, from 0
    case: Case
    to: str
    locality: tuple[Prompt, ...]

    @property
    def rephrased(self) -> Prompt:
        """The first held-out prompt, the file's own rephrasing."""
        return self.case.relation.prompts(self.case.fact, held_out=True)[0]


def naming(row: Row) -> str:
    """How the rephrased prompt names the subject; one of NAMING."""
    subject = row.case.fact.subject
    text = f"{row.rephrased.before}{row.rephrased.after}"
    if subject in text:
        return NAMING[0]
    return NAMING[1 if subject.casefold() in text.casefold() else 2]


def rows_of(path: Path) -> list[Row]:
    """The rows of a file that may be drawn: of a published one, those at even places.

    Own facts are JSONL rows of kn-edit with "locality": [{"prompt": ..., "answer": ...}] beside.
    """
    cases, beside = _read(path)
    rows = []
    for index, (case, locality) in enumerate(zip(cases, beside, strict=True)):
        if case.published and index % 2 == 1:
            continue
        held_out = case.relation.prompts(case.fact, held_out=True)
        judges = (*case.judges, *locality)
        if case.target and held_out and judges:
            judged = replace(case, judges=judges)  # so that no solver draws their subjects
            rows.append(Row(path.stem, index, judged, case.target, judges))
    return rows


def _read(path: Path) -> tuple[Sequence[Case], list[tuple[Prompt, ...]]]:
    first = path.read_text(encoding="utf-8").lstrip()[:1]
    values = [] if first != "{" else _values(path)
    if not values or "statement" not in values[0]:
        cases = read_cases(path)
        return cases, [()] * len(cases)
    locality = [
        tuple(
            Prompt(Fact("locality", each["prompt"], each["answer"]), Template("[X] [Y]"))
            for each in value.get("locality", ())
        )
        for value in values
    ]
    with TemporaryDirectory() as folder:
        plain = Path(folder) / path.name
        rows = ({key: value[key] for key in value if key not in BESIDE} for value in values)
        plain.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return read_cases(plain), locality


def _values(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def draw(engine: Engine, rows: Sequence[Row], count: int, seed: int) -> tuple[list[Row], int]:
    """So many rows, in drawn order, that the unedited model answers wrong; how many it looked at.

    A row that cannot be asked, or whose answer is too long, is passed over here and nowhere else.
    """
    order = Random(seed).sample(rows, len(rows))
    drawn: list[Row] = []
    looked = 0
    with engine.at([]) as live:
        model = live.model
        for row in order:
            if len(drawn) == count:
                break
            looked += 1
            with suppress(KnEditError):
                drawn += _wrong(model, row)
    return drawn, looked


def _wrong(model: Model, row: Row) -> Iterator[Row]:
    """The row with what the model says today as its old answer, if that is not the new one."""
    chains = asked(model, row)
    if any(len(chain.questions) > MOST_TOKENS for chain in chains):
        return
    ask(model, row.rephrased, row.to)
    if any(whole(model, chains)):
        return
    case = row.case
    if not case.fact.stated or not can_ask(model, case, case.fact.answer):
        case = replace(
            case, fact=replace(case.fact, answer=model_answer(model, case)), answered_by_model=True
        )
    if case.fact.answer.strip().casefold() != row.to.strip().casefold():
        yield replace(row, case=case)


def asked(model: Model, row: Row) -> list[Chain]:
    """The row's own prompts, asked for the new answer."""
    prompts = prompts_for(model, row.case.relation, row.case.fact)
    return [ask(model, prompt, row.to) for prompt in prompts]


def whole(model: Model, chains: Sequence[Chain]) -> list[bool]:
    """Whether the whole answer comes, generated greedily in as many tokens as it has."""
    firsts = [chain.questions[0] for chain in chains]
    counts = [len(chain.questions) for chain in chains]
    texts = greedy(model, firsts, counts, finite=False)
    return [
        words_of(model, text.tokens) == words_of(model, [one.token for one in chain.questions])
        for chain, text in zip(chains, texts, strict=True)
    ]


class Judge:
    """What a row's file asks of an edit, beside kn-edit's own metrics."""

    def __init__(self, engine: Engine, row: Row, neutral: float) -> None:
        self._engine, self._row, self._neutral = engine, row, neutral
        with engine.at([]) as live:
            model = live.model
            self._own = asked(model, row)
            self._rephrased = [ask(model, row.rephrased, row.to)]
            self._asked: list[tuple[Question, int]] = []
            for prompt in row.locality:
                with suppress(KnEditError):
                    self._asked.append((ask_openly(model, prompt), _length(model, prompt)))
            self._before = self._locality(model)

    def __call__(self, delta: Delta) -> dict[str, Any]:
        """What the model says with a delta."""
        with self._engine.at([delta]) as live:
            model = live.model
            after = self._locality(model)
            firsts = [chain.questions[0] for chain in self._own]
            counts = [len(chain.questions) for chain in self._own]
            texts = greedy(model, firsts, counts, finite=False)
            return {
                "prompt": whole(model, self._own),
                "rephrased": whole(model, self._rephrased),
                "locality": [old == new for old, new in zip(self._before, after, strict=True)],
                "neutral": neutral_perplexity(model) / self._neutral,
                "says": [words_of(model, text.tokens) if text.tokens else "" for text in texts],
            }

    def _locality(self, model: Model) -> list[list[int]]:
        questions = [question for question, _ in self._asked]
        counts = [count for _, count in self._asked]
        return [text.tokens for text in greedy(model, questions, counts, finite=False)]


def _length(model: Model, prompt: Prompt) -> int:
    """As many tokens as a locality answer has, within bounds; 1 where the file names none."""
    tokens = plain_ids(model, f" {prompt.fact.answer}")
    return min(max(len(tokens), 1), MOST_LOCALITY)


def neutral_perplexity(model: Model) -> float:
    """Perplexity of all neutral text that no solver sees."""
    return perplexity(model, unseen_texts(), finite=False)
