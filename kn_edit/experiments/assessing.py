"""Knowledge assessing: what the base knows of whole relations, by relation and by template."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from kn_edit.errors import CannotAsk
from kn_edit.evaluation.section import Section, Table
from kn_edit.experiments.context import ExperimentContext
from kn_edit.experiments.rows import Row
from kn_edit.facts import Case
from kn_edit.neurons.assess import assess

GROUP = 16  # facts that are asked together and recorded as one row


def measure(context: ExperimentContext, most: int | None = None) -> list[Row]:
    """One row for a group of facts: p(answer) and rank on every prompt. most: facts a relation."""
    names = [
        f"{name} {start}"
        for name, relation in context.relations.items()
        for start in range(0, len(relation.facts[:most]), GROUP)
    ]
    return context.measured("assessing", names, partial(_row, most=most), most=most)


def _row(context: ExperimentContext, row_name: str, most: int | None) -> Row:
    name, start = row_name.rsplit(" ", 1)
    relation, answers = context.relations[name], []
    with context.base() as (model, _):
        chains = []
        for fact in relation.facts[:most][int(start) : int(start) + GROUP]:
            case = Case(relation, fact)
            try:
                chains += context.chains(model, case) + context.chains(model, case, held_out=True)
            except CannotAsk:
                continue  # a masked LM cannot be asked for it
        for answer in assess(model, chains):
            template = answer.prompt.template
            answers.append(
                {
                    "subject": answer.prompt.fact.subject,
                    "template": template.text,
                    "held_out": template.held_out,
                    "p": answer.p,
                    "rank": answer.rank,
                }
            )
    return {"relation": relation.name, "answers": answers}


def section(rows: Sequence[Row]) -> Section:
    by_relation: dict[str, list[Row]] = defaultdict(list)
    by_template: dict[tuple[str, str, bool], list[Row]] = defaultdict(list)
    for row in rows:
        for answer in row["answers"]:
            by_relation[row["relation"]].append(answer)
            by_template[row["relation"], answer["template"], answer["held_out"]].append(answer)
    relations = [(name, *_figures(answers)) for name, answers in by_relation.items()]
    everything = [answer for answers in by_relation.values() for answer in answers]
    relations.append(("all", *_figures(everything)))
    templates = [
        (relation, text + (" *" if held_out else ""), *_figures(answers)[1:])
        for (relation, text, held_out), answers in by_template.items()
    ]
    figures = ("prompts", "accuracy", "mean reciprocal rank", "p(answer)")
    return Section(
        "What the model knows",
        "Accuracy: the answer comes first. Every fact of the relations was asked, known or not.",
        (
            Table("By relation", ("relation", *figures), tuple(relations)),
            Table(
                "By template (* held out)", ("relation", "template", *figures[1:]), tuple(templates)
            ),
        ),
    )


def _figures(answers: Sequence[Row]) -> tuple[str, ...]:
    count = len(answers)
    if not answers:  # a masked LM, of which no answer could be asked
        return ("0", "", "", "")
    return (
        str(count),
        f"{sum(answer['rank'] == 1 for answer in answers) / count:.1%}",
        f"{sum(1 / answer['rank'] for answer in answers) / count:.3f}",
        f"{sum(answer['p'] for answer in answers) / count:.3f}",
    )
