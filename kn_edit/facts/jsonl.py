"""Facts to edit in kn-edit's own form: JSON objects, one a line or in a list.

    {"relation": "capital", "subject": "France", "to": "Rome"}
    {"subject": "Lyra", "answer": "Oxford", "prompts": ["[X] grew up in the city of [Y]."],
     "held_out": ["The home town of [X] is [Y]."], "neighbours": ["Alice"]}

statement    the fact as one sentence, or several wordings of it; says subject, `to` and `prompts`:
             "The CEO of [X: Starbucks] is [Y: Brian Niccol]."
subject      what the fact is about
answer       its answer today; may be missing where a bundled pack knows the subject, and where
             `to` says what it shall be: then what the model says is its answer
to           the new answer, if any
relation     a bundled relation pack, or, with `prompts`, any name (the file's own by default)
prompts      templates that locate and solve, in place of the pack's; needed without a bundled pack
held_out     templates that only measure, in place of the pack's held-out ones
aliases      other names of the new answer: a free text that says one of them has said it
answer_aliases  other names of the answer today
neighbours   subjects that must keep their answers: of the pack, or, without one, any; these keep
             what the model says today. Missing: the other facts of the pack

Two rows that give one fact different answers are refused. A fact is a subject of a relation; where
no relation is named, of the prompts that ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Prompt, Template
from kn_edit.facts.fields import ALIAS_FIELDS, MOST_ALIASES
from kn_edit.facts.identity import ByFact, fact_key
from kn_edit.facts.packs import bundled, bundled_relation
from kn_edit.facts.relation import Case, Relation
from kn_edit.facts.rows import read_rows
from kn_edit.facts.source import read_source
from kn_edit.facts.statement import Statement, read_statements
from kn_edit.facts.wording import relation_name

KEYS = (
    "subject",
    "answer",
    "to",
    "relation",
    "prompts",
    "held_out",
    "neighbours",
    "statement",
    *ALIAS_FIELDS,
)

MOST_TEMPLATES = 1_000  # of a row, and as many other subjects
MOST_NEIGHBOURS = 10_000  # prompts of other subjects


def read_jsonl(path: str | Path) -> tuple[Case, ...]:
    """The cases of a file of kn-edit's own rows. Raises UnreadableFacts, BadFacts."""
    path = Path(path)
    return one_answer_each([own_case(row) for row in read_rows(path, read_source(path))])


def one_answer_each(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, if no two rows state different answers of one fact. Raises BadFacts."""
    first: ByFact[Fact] = ByFact()
    for case in cases:
        key, fact = fact_key(case.relation, case.fact), case.fact
        earlier = first.get(key)
        if earlier is None:
            first.put(key, fact)
        elif fact.place and earlier.place and earlier.answer != fact.answer:
            problem = f"line {earlier.place.line} says that the answer for {fact.subject!r} is"
            problem = f"{problem} {earlier.answer!r}, this one {fact.answer!r}"
            raise fact.place.wrong(problem, "leave one of the two out")
    return tuple(cases)


def own_case(row: Place) -> Case:
    """The case of one of kn-edit's own rows. Raises BadFacts."""
    row.only(KEYS)
    answer, target = row.find("answer"), row.find("to")
    to = target.field("new answer") if target else None
    stated = answer.field("answer") if answer else None
    says = _says(row, to)
    subject = says.subject if says else row.member("subject").field("subject")
    to = says.answer or None if says else to
    relation = _relation(row, says.templates if says else ())
    with row.located():
        if stated is None and to is not None and not relation.facts:
            fact = Fact(relation.name, subject, "")  # what the model says today
        else:
            fact = relation.fact(subject, stated)
    fact = replace(fact, place=row)
    if stated is not None and fact not in relation.facts:
        other_facts = tuple(
            candidate for candidate in relation.facts if candidate.subject != fact.subject
        )
        relation = replace(relation, facts=(*other_facts, fact))
    return Case(
        relation=relation,
        fact=fact,
        target=to,
        neighbours=tuple(_neighbours(row, relation)),
        aliases=_names(row, "aliases"),
        answer_aliases=_names(row, "answer_aliases"),
    )


def _says(row: Place, to: str | None) -> Statement | None:
    """What the statement of a row says; None where it has none."""
    place = row.find("statement")
    if place is None:
        return None
    if row.find("prompts") is not None:
        raise place.wrong('there are "statement" and "prompts"', "give one of the two")
    several = isinstance(place.value, list)
    texts = [entry.string() for entry in (place.items(MOST_TEMPLATES) if several else (place,))]
    if not texts:
        raise place.wrong('"statement" is empty', "give it a value")
    subject = row.find("subject")
    with place.located():
        return read_statements(texts, subject.field("subject") if subject else None, to)


def _relation(row: Place, stated: tuple[Template, ...]) -> Relation:
    """The relation of a row. stated: the templates of its statement, if it has one"""
    named = row.find("relation")
    name = named.field("relation") if named else relation_name(row)
    prompts, held_out = stated or _templates(row, "prompts"), _templates(row, "held_out")
    if named and (name in bundled() or not prompts):
        with named.located():
            pack = bundled_relation(name)
        prompts = prompts or tuple(template for template in pack.templates if not template.held_out)
        held_out = held_out or tuple(template for template in pack.templates if template.held_out)
        return replace(pack, templates=(*prompts, *held_out))
    if not prompts:
        packs = ", ".join(bundled())
        remedy = f'add "statement" or "prompts", or name one of the bundled relations: {packs}'
        raise row.wrong('there is neither "statement" nor "relation" nor "prompts"', remedy)
    return Relation(name, (*prompts, *held_out), unnamed=not named)


def _templates(row: Place, key: str) -> tuple[Template, ...]:
    place = row.find(key)
    templates: list[Template] = []
    for entry in place.items(MOST_TEMPLATES) if place else ():
        with entry.located():
            templates.append(Template(entry.field("template"), held_out=key == "held_out"))
    return tuple(templates)


def _names(row: Place, key: str) -> tuple[str, ...]:
    place = row.find(key)
    return tuple(entry.field("alias") for entry in place.items(MOST_ALIASES)) if place else ()


def _neighbours(row: Place, relation: Relation) -> Iterable[Prompt]:
    place = row.find("neighbours")
    subjects = place.items(MOST_TEMPLATES) if place else ()
    if place and len(subjects) * len(relation.templates) > MOST_NEIGHBOURS:
        problem = f"neighbours and templates make more than {MOST_NEIGHBOURS:,} prompts"
        raise place.wrong(problem, "leave some neighbours out")
    for entry in subjects:
        subject = entry.field("neighbour")
        fact = Fact(relation.name, subject, "")
        if relation.name in bundled():
            with entry.located():
                fact = relation.fact(subject)
        yield from relation.prompts(fact)
