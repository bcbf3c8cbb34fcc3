"""Does what was erased stay erased? Relations erased by kn-edit's own method, and asked again.

    python benchmarks/erased.py [--model demo-bert] [--relations capital class ...] [--retrain]

Each relation is erased by the default method of `kn-edit erase`, until it is --times as perplexing.
Facts that the base knows are then asked in the trained wordings and in held-out ones, with the
weights as they are, rounded to 8 and 4 bits, and after 20 steps of fine-tuning on facts of other
relations (erased_tuning.py). A linear probe looks for the answer in the last hidden state
(erased_probe.py). A causal model also answers freely, and chooses between the right answer and
another. The same is asked of the base, of an erasure of as many random slots of the same layers,
and with --retrain (of demo-bert alone) of a FactBERT that was never trained on the relation, which
takes two minutes to make. A row holds one relation and is written as soon as it is measured, so a
run that was stopped goes on. Rows of another state of the code belong into another file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

import torch
from erased_probe import readouts
from erased_tuning import BATCH, STEPS, fine_tuned, other_facts

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import train_factbert

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import Draft, EditContext
from kn_edit.editing.erasures import AIM, Specific
from kn_edit.editing.locating import Locator, Search, chains_for
from kn_edit.editing.method import EraseRequest
from kn_edit.editing.neighbours import other_relations
from kn_edit.editing.protocol_shares import free_prompts, questions_about
from kn_edit.edits.delta import Delta
from kn_edit.edits.erase import overwritten, unknown_token, written_slot
from kn_edit.engine.engine import Engine
from kn_edit.evaluation.choice import choice_prompts
from kn_edit.evaluation.free import FreePrompt, Names, free_replies
from kn_edit.evaluation.metrics import same_tokens
from kn_edit.evaluation.protocols import FreeOptions
from kn_edit.facts import Fact, Relation, load_relation
from kn_edit.models.chat import chat_frame
from kn_edit.models.model import Model, load
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Question
from kn_edit.models.rounding import rounded
from kn_edit.neurons.assess import Assessment, assess, perplexity_of
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.seeds import generator
from kn_edit.workspace import Workspace

RATES = (1e-5, 1e-4)  # of Adam: a usual one for a pretrained model, and ten times that
ROUNDINGS = ("int8", "int4", "nf4")
AS_IT_IS = "as it is"  # the weights
FREE = FreeOptions(tokens=24, samples=0, entropy=False)

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Exam:
    """What is asked of each model about one relation.

    facts: that the base knows; chosen_by: how many of these, the first, chose the erased neurons
    asked_freely: of the others, the first so many are asked with nothing fed in
    others: questions of other relations; base_tokens: what the base says to these
    tuning: questions about facts of other relations, for fine-tuning
    """

    relation: Relation
    facts: tuple[Fact, ...]
    chosen_by: int
    asked_freely: int
    others: tuple[Question, ...]
    base_tokens: tuple[int, ...]
    tuning: tuple[Question, ...]
    seed: int

    @property
    def unseen(self) -> tuple[Fact, ...]:
        """The facts that had no part in choosing neurons; all of them where each had."""
        return self.facts[self.chosen_by :] or self.facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("docs/measured/erased.jsonl"))
    parser.add_argument("--folder", type=Path, default=Path(".bench/erased"))
    parser.add_argument("--model", default="demo-bert")
    parser.add_argument("--relations", nargs="+", default=["capital", "class", "continent"])
    parser.add_argument("--facts", type=int, default=60)
    parser.add_argument("--free", type=int, default=12)
    parser.add_argument("--times", type=float, default=AIM)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retrain", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.rows.parent.mkdir(parents=True, exist_ok=True)
    chosen.rows.touch()
    rows = [json.loads(line) for line in chosen.rows.read_text(encoding="utf-8").splitlines()]
    done = {(row["model"], row["relation"], row["times"]) for row in rows}
    work = chosen.folder / Path(chosen.model).name
    with (
        Workspace.init(chosen.model, work) as workspace,
        chosen.rows.open("a", encoding="utf-8") as file,
    ):
        for name in chosen.relations:
            if (chosen.model, name, chosen.times) in done:
                continue
            retrained = retrained_folder(chosen.folder, name) if chosen.retrain else None
            row = measured(
                workspace.engine,
                load_relation(name),
                times=chosen.times,
                facts=chosen.facts,
                asked_freely=chosen.free,
                seed=chosen.seed,
                retrained=retrained,
            )
            rows.append({"model": chosen.model, **row})
            print(json.dumps(rows[-1], ensure_ascii=False), file=file, flush=True)
            print(f"{name}: erased and asked", flush=True)
    print(table(rows))


def retrained_folder(folder: Path, relation: str) -> Path:
    """A FactBERT that was trained without a relation; made if it is not there."""
    path = folder / f"factbert-without-{relation}"
    if not (path / "config.json").exists():
        path.mkdir(parents=True, exist_ok=True)
        train_factbert.save(*train_factbert.made(train_factbert.Settings(), relation), path)
    return path


def measured(
    engine: Engine,
    relation: Relation,
    *,
    times: float,
    facts: int,
    asked_freely: int,
    seed: int,
    retrained: Path | None = None,
) -> Row:
    """Erase a relation and ask each model about it.

    times: as perplexing as the relation shall become; facts: known ones that are asked, at most
    retrained: a folder of a model that never learned it
    """
    began = time.process_time()
    erasure = draft(EditContext(engine, seed=seed), EraseRequest(relation), Specific(times=times))
    exam = exam_about(engine, relation, erasure, facts, asked_freely, seed)
    models: dict[str, Sequence[Delta]] = {
        "base": [],
        "erased": [erasure.delta],
        "random slots": [random_erasure(engine, erasure, seed)],
    }
    figures = {}
    for name, deltas in models.items():
        with engine.at(deltas) as live:
            figures[name] = asked(live.model, exam)
    if retrained is not None:
        figures["never learned"] = asked(load(retrained), exam)
    return {
        "relation": relation.name,
        "times": times,
        "seed": seed,
        "neurons": len(erasure.neurons),
        "written": erasure.found["written"],
        "facts": len(exam.facts),
        "facts_unseen": len(exam.facts) - exam.chosen_by,
        "steps": STEPS,
        "batch": BATCH,
        "models": figures,
        "seconds": round(time.process_time() - began, 1),
    }


def exam_about(
    engine: Engine, relation: Relation, erasure: Draft, most: int, asked_freely: int, seed: int
) -> Exam:
    """The facts that the base knows, those that chose the neurons first, and what lies beside."""
    with engine.at([]) as live:
        model = live.model
        known = Locator(live, Search(), engine.progress, seed).known_facts(relation, most=most)
        others = other_relations(model, relation.name, seed=seed)
        base_tokens = first_tokens(model, others)
        tuning = other_facts(model, relation, seed)
    subjects = set(erasure.found["facts"])
    chosen_by = [fact for fact in known if fact.subject in subjects]
    return Exam(
        relation=relation,
        facts=(*chosen_by, *(fact for fact in known if fact.subject not in subjects)),
        chosen_by=len(chosen_by),
        asked_freely=asked_freely,
        others=tuple(others),
        base_tokens=tuple(base_tokens),
        tuning=tuple(tuning),
        seed=seed,
    )


def random_erasure(engine: Engine, erasure: Draft, seed: int) -> Delta:
    """An erasure of as many random slots of the same layers: a control."""
    model = engine.model
    draw = generator(seed, f"random slots of {erasure.relation}")
    neurons = as_many_elsewhere([neuron for neuron, _ in erasure.neurons], model.d_ff, draw)
    return overwritten(engine.place, sorted(neurons), written_slot(model, unknown_token(model)))


def asked(model: Model, exam: Exam) -> Row:
    """Everything that is asked of one model: as it is, rounded, and tuned on other facts."""
    figures: dict[str, Any] = {}
    for name, changed in changes(model, exam):
        with changed as changed_model:
            figures[name] = answers(changed_model, exam)
    figures[AS_IT_IS] |= {"readouts": readouts(model, held_out_questions(model, exam), exam.seed)}
    if model.causal:
        figures[AS_IT_IS] |= {"free": said_freely(model, exam), "choice": chosen(model, exam)}
    return figures


def changes(model: Model, exam: Exam) -> Iterator[tuple[str, Any]]:
    """What is done to a model before it is asked, each as a block at whose end it is undone."""
    yield AS_IT_IS, nullcontext(model)
    for rounding in ROUNDINGS:
        yield rounding, rounded(model, rounding)
    for rate in RATES:
        yield f"tuned at {rate:g}", fine_tuned(model, exam.tuning, rate)


def answers(model: Model, exam: Exam) -> Row:
    """Shares of prompts and facts that are answered right, perplexity, and other relations."""
    trained, held_out = (
        {fact: _assessed(model, exam.relation, fact, held_out) for fact in exam.facts}
        for held_out in (False, True)
    )
    unseen = [answer for fact in exam.unseen for answer in held_out[fact]]
    recovered = [
        any(answer.right for answer in (*trained[fact], *held_out[fact])) for fact in exam.facts
    ]
    tokens = first_tokens(model, exam.others, finite=False)
    return {
        "trained": _right(_pooled(trained)),
        "held_out": _right(_pooled(held_out)),
        "held_out_unseen": _right(unseen),
        "any_wording": fmean(map(float, recovered)),
        "perplexity": perplexity_of(_pooled(trained)),
        "perplexity_held_out": perplexity_of(_pooled(held_out)) if any(held_out.values()) else None,
        "others_unchanged": fmean(map(float, same_tokens(exam.base_tokens, tokens))),
    }


def _assessed(model: Model, relation: Relation, fact: Fact, held_out: bool) -> list[Assessment]:
    chains = chains_for(model, relation, fact, held_out=held_out)
    return assess(model, chains, finite=False)  # NaN counts as wrong


def _pooled(by_fact: Mapping[Fact, Sequence[Assessment]]) -> list[Assessment]:
    return [answer for fact_answers in by_fact.values() for answer in fact_answers]


def _right(assessments: Sequence[Assessment]) -> float | None:
    """The share of prompts that get their answer; None where nothing is asked."""
    return fmean(float(answer.right) for answer in assessments) if assessments else None


def held_out_questions(model: Model, exam: Exam) -> list[Question]:
    """One prompt of each fact for the readouts: a held-out one if there is any."""
    relation = exam.relation
    chains = [
        chains_for(model, relation, fact, held_out=True) or chains_for(model, relation, fact)
        for fact in exam.facts
    ]
    return [fact_chains[0].questions[0] for fact_chains in chains]


def said_freely(model: Model, exam: Exam) -> float:
    """The share of greedy texts about unseen facts that name the right answer."""
    shares = []
    for fact in exam.unseen[: exam.asked_freely]:
        names = Names(new=(fact.answer,), subject=fact.subject)
        prompts = free_prompts(model, exam.relation, fact, fact.answer)
        replies = free_replies(model, prompts, FREE)
        shares += [names.mentions(reply.greedy.text).new for reply in replies]
    return fmean(map(float, shares))


def chosen(model: Model, exam: Exam) -> Row:
    """In which share of questions the right answer alone is said where another is offered too."""
    draw = generator(exam.seed, f"answers offered of {exam.relation.name}")
    every_answer = sorted({fact.answer for fact in exam.relation.facts})
    right, wrong = [], []
    for fact in exam.unseen[: exam.asked_freely]:
        other = draw.choice([answer for answer in every_answer if answer != fact.answer])
        names = Names(new=(fact.answer,), old=(other,), subject=fact.subject)
        question = questions_about(model, exam.relation, fact)[0]
        prompt = FreePrompt(question, chat=chat_frame(model) is not None)
        for reply in free_replies(model, choice_prompts(prompt, fact.answer, other), FREE):
            mentions = names.mentions(reply.greedy.text)
            right.append(mentions.right)
            wrong.append(mentions.old and not mentions.new)
    return {"right": fmean(map(float, right)), "wrong": fmean(map(float, wrong))}


def table(rows: Sequence[Row]) -> str:
    """Two tables, each with a line for every model of every row: answers, and what else is left."""
    return f"{answer_table(rows)}\n\n{readout_table(rows)}"


def answer_table(rows: Iterable[Row]) -> str:
    """The share of held-out prompts that get their answer, by what was done to the weights."""
    weights = [*ROUNDINGS, *(f"tuned at {rate:g}" for rate in RATES)]
    lines = [_line("base", "relation, times", "of it", "trained", "held out", *weights, "others")]
    for row, state, figures in _states(rows):
        shares = (
            figures[AS_IT_IS]["trained"],
            *(figures[name]["held_out"] for name in (AS_IT_IS, *weights)),
            figures[AS_IT_IS]["others_unchanged"],
        )
        lines.append(_line(row["model"], _name(row), state, *map(_share, shares)))
    return _with_rule(lines)


def readout_table(rows: Iterable[Row]) -> str:
    """What else is left with the weights as they are: perplexity, ranks, and free answers."""
    head = ("base", "relation, times", "of it", "any wording", "unseen facts", "perplexity")
    ranks = ("ranked by head", "by probe", "by shuffled probe", "named freely", "chosen", "other")
    lines = [_line(*head, *ranks)]
    for row, state, figures in _states(rows):
        values = figures[AS_IT_IS]
        choice = values.get("choice", {"right": None, "wrong": None})
        cells = (
            _share(values["any_wording"]),
            _share(values["held_out_unseen"]),
            f"{values['perplexity']:.3g}",
            *(_share(values["readouts"][name]["above"]) for name in ("head", "probe", "shuffled")),
            *map(_share, (values.get("free"), choice["right"], choice["wrong"])),
        )
        lines.append(_line(row["model"], _name(row), state, *cells))
    return _with_rule(lines)


def _states(rows: Iterable[Row]) -> Iterator[tuple[Row, str, Row]]:
    """Every row with each of its models: the model's name, and its figures."""
    for row in rows:
        for state, figures in row["models"].items():
            yield row, state, figures


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _with_rule(lines: Sequence[str]) -> str:
    head, *body = lines
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *body])


def _name(row: Row) -> str:
    return f"{row['relation']}, {row['times']:g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
