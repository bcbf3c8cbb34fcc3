"""Facts to edit, one JSON object a line.

    {"relation": "capital", "subject": "France", "to": "Rome"}
    {"subject": "Lyra", "answer": "Oxford", "prompts": ["[X] grew up in the city of [Y]."],
     "held_out": ["The home town of [X] is [Y]."], "neighbours": ["Alice"]}

subject      what the fact is about
answer       its answer today; may be missing where a bundled pack knows the subject
to           the new answer, if any
relation     a bundled relation pack, or, with `prompts`, any name (the file's own by default)
prompts      templates that locate and solve, in place of the pack's; needed without a bundled pack
held_out     templates that only measure, in place of the pack's held-out ones
neighbours   subjects that must keep their answers: of the pack, or, without one, any; these keep
             what the model says today. Missing: the other facts of the pack

Two lines that give one subject of a relation different answers are refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from kn_edit.facts.document import Place, read_lines
from kn_edit.facts.fact import Fact, Prompt, Template
from kn_edit.facts.packs import bundled, bundled_relation
from kn_edit.facts.relation import Case, Relation

KEYS = ("subject", "answer", "to", "relation", "prompts", "held_out", "neighbours")


def read_jsonl(path: str | Path) -> tuple[Case, ...]:
    """The cases of a JSONL file. Raises UnreadableFacts, BadFacts."""
    cases: list[Case] = []
    first: dict[tuple[str, str], tuple[str, int]] = {}
    for row in read_lines(Path(path)):
        case = _case(row)
        fact = case.fact
        answer, line = first.setdefault((fact.relation, fact.subject), (fact.answer, row.line))
        if answer != fact.answer:
            problem = f"line {line} says that the answer for {fact.subject!r} is {answer!r}"
            raise row.wrong(f"{problem}, this one {fact.answer!r}", "leave one of the two out")
        cases.append(case)
    return tuple(cases)


def _case(row: Place) -> Case:
    row.only(KEYS)
    subject, answer, target = row.member("subject"), row.find("answer"), row.find("to")
    relation = _relation(row)
    with row.located():
        fact = relation.fact(subject.string(), answer.string() if answer else None)
    fact = replace(fact, place=row)
    if fact not in relation.facts:
        others = tuple(other for other in relation.facts if other.subject != fact.subject)
        relation = replace(relation, facts=(*others, fact))
    return Case(
        relation=relation,
        fact=fact,
        target=target.string() if target else None,
        neighbours=tuple(_neighbours(row, relation)),
    )


def _relation(row: Place) -> Relation:
    named = row.find("relation")
    name = named.string() if named else row.path.stem
    prompts, held_out = _templates(row, "prompts"), _templates(row, "held_out")
    if named and (name in bundled() or not prompts):
        with named.located():
            pack = bundled_relation(name)
        prompts = prompts or tuple(each for each in pack.templates if not each.held_out)
        held_out = held_out or tuple(each for each in pack.templates if each.held_out)
        return replace(pack, templates=(*prompts, *held_out))
    if not prompts:
        remedy = f'add "prompts", or name one of the bundled relations: {", ".join(bundled())}'
        raise row.wrong('there is neither "relation" nor "prompts"', remedy)
    return Relation(name, (*prompts, *held_out))


def _templates(row: Place, key: str) -> tuple[Template, ...]:
    found = row.find(key)
    templates: list[Template] = []
    for entry in found.items() if found else ():
        with entry.located():
            templates.append(Template(entry.string(), held_out=key == "held_out"))
    return tuple(templates)


def _neighbours(row: Place, relation: Relation) -> Iterable[Prompt]:
    found = row.find("neighbours")
    for entry in found.items() if found else ():
        subject = entry.string()
        fact = Fact(relation.name, subject, "")
        if relation.name in bundled():
            with entry.located():
                fact = relation.fact(subject)
        yield from relation.prompts(fact)
