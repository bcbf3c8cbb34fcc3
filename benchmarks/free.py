"""Single edits of known facts, asked freely in questions that no template resembles.

    python benchmarks/free.py --rows .bench/free.jsonl [--facts 60] [--samples 3] [--tokens 40]
        [--known-facts .bench/known-facts.jsonl] [--in-chat | --joint]

Facts and new answers are those of benchmarks/known_facts.py (seed 0), taken in turn from each
relation; each is edited by itself, by the default method. Its three questions stand in
benchmarks/free_questions.jsonl. They were written before any result, by somebody who wrote none of
the templates. The base and the edited model answer in the chat format with nothing fed in: the
likeliest text, and texts that are drawn. A text is right when it names the new answer and not the
old one. A row holds every text and is written as soon as it is measured, so a run that was stopped
goes on. Rows of another state of the code belong into another file.

--in-chat: edit by the calibrated method with that option, and not by the default one; --joint: by
the joint method, each fact a set of its own.
--known-facts: a file into which the same edits write rows as benchmarks/known_facts.py does, so
that both are measured by one run. It must hold the same facts as the rows do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, groupby, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any

import known_facts
import torch
from correction_table import wilson

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.protocol_shares import names_of
from kn_edit.editing.updates import Auto, Calibrated, Joint, UpdateMethod
from kn_edit.evaluation.free import FreeAnswers, FreePrompt, free_replies, question_prompt
from kn_edit.evaluation.metric import EFFICACY
from kn_edit.evaluation.protocols import FreeOptions
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.reproduce import plan_of
from kn_edit.experiments.updating import new_answer
from kn_edit.facts import SUBJECT, Case
from kn_edit.models.model import Model
from kn_edit.workspace import Workspace

QUESTIONS = Path(__file__).with_name("free_questions.jsonl")
FEWEST_ENTROPY = 0.95  # of the base's, that each edit is to leave

Row = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--known-facts", type=Path)
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--in-chat", action="store_true")
    way.add_argument("--joint", action="store_true")
    parser.add_argument("--facts", type=int, default=60)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=40)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.rows.parent.mkdir(parents=True, exist_ok=True)
    chosen.rows.touch()
    rows = [json.loads(line) for line in chosen.rows.read_text(encoding="utf-8").splitlines()]
    done = {row["name"] for row in rows}
    method = Calibrated(in_chat=True) if chosen.in_chat else Joint() if chosen.joint else Auto()
    options = FreeOptions(tokens=chosen.tokens, samples=chosen.samples)
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init("demo", Path(folder) / "work") as workspace,
        chosen.rows.open("a", encoding="utf-8") as file,
    ):
        context = ExperimentContext.open(workspace.engine, plan_of(), Path(folder) / "out")
        names = list(in_turn(context.cases))[: chosen.facts]
        for name in names:
            if name not in done:
                row, other_row = measured(context, context.cases[name], options, method)
                if chosen.known_facts:
                    add({"name": name, **other_row}, chosen.known_facts)
                rows.append({"name": name, **row})
                print(json.dumps(rows[-1], ensure_ascii=False), file=file, flush=True)
                print(f"{name}: {len(rows)} of {len(names)}", flush=True)
    print(table(row for row in rows if row["name"] in names))


def add(row: Row, path: Path) -> None:
    """Write a row, unless a run that was stopped wrote one of this name."""
    with path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        if row["name"] not in {json.loads(line)["name"] for line in file}:
            print(json.dumps(row, ensure_ascii=False), file=file)


def in_turn(names: Iterable[str]) -> Iterator[str]:
    """The names of cases, one of each relation in turn."""
    groups = [list(group) for _, group in groupby(names, key=relation_of)]
    return (name for name in chain(*zip_longest(*groups)) if name is not None)


def relation_of(name: str) -> str:
    """The relation in the name of a case."""
    return name.partition(":")[0]


def prompts_about(model: Model, case: Case) -> list[FreePrompt]:
    """The three questions about a fact."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    return [
        question_prompt(model, question["question"].replace(SUBJECT, case.fact.subject))
        for question in questions
        if question["relation"] == case.relation.name
    ]


def measured(
    context: ExperimentContext, case: Case, options: FreeOptions, method: UpdateMethod
) -> tuple[Row, known_facts.Row]:
    """One edit: what is said about it and what is left of the base's entropy; its known-facts row.

    Both begin with the search for neurons, so the first fact of a relation takes longest.
    """
    began = time.process_time()
    to, engine = new_answer(context, case), context.engine
    edit = draft(EditContext(engine, search=context.search), UpdateRequest(case, to), method)
    known_facts_row = known_facts.row_of(edit, to, time.process_time() - began)
    prompts = prompts_about(engine.model, case)
    with engine.at([]) as live:
        base = free_replies(live.model, prompts, options)
    with engine.at([edit.delta]) as live:
        version = free_replies(live.model, prompts, options)
    answers = FreeAnswers(names_of(case, to), base, version)
    row = {
        "to": to,
        "method": edit.method,
        EFFICACY.name: edit.metrics[EFFICACY.name],
        "seconds": round(time.process_time() - began, 1),
        **answers.plain(),
    }
    return row, known_facts_row


def table(rows: Iterable[Row]) -> str:
    """Shares of right texts with Wilson's 95% interval, and entropy, by relation and of all."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(relation_of(row["name"]), []).append(row)
    groups["all"] = [row for group in groups.values() for row in group]
    head = (
        "relation",
        "edits",
        "base names its answer",
        "greedy right",
        "sampled right",
        "entropy share, mean (least)",
        f"edits with {FEWEST_ENTROPY} or more",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join(_cells(name, group))} |" for name, group in groups.items() if group]
    return "\n".join(lines)


def _cells(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    greedy, drawn = (
        [float(right(text)) for row in rows for reply in row["replies"] for text in texts(reply)]
        for texts in (lambda reply: reply["version"][:1], lambda reply: reply["version"][1:])
    )
    entropies = [row["entropy_share"] for row in rows if row["entropy_share"] is not None]
    enough = sum(share >= FEWEST_ENTROPY for share in entropies)
    return (
        name,
        str(len(rows)),
        f"{fmean(row['base_old'] for row in rows):.3f}",
        str(wilson(greedy)),
        str(wilson(drawn)) if drawn else "-",
        f"{fmean(entropies):.3f} ({min(entropies):.3f})" if entropies else "-",
        f"{enough} of {len(rows)}",
    )


def right(text: Mapping[str, Any]) -> bool:
    """Whether a text names the new answer and not the old one."""
    return bool(text["new"]) and not text["old"]


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
