"""From what a user names to a case: a fact, its prompts, neighbours that keep their answers."""

from __future__ import annotations

from collections.abc import Sequence

from kn_edit.errors import FactNotNamed, KnEditError
from kn_edit.facts import (
    Case,
    Fact,
    Prompt,
    Relation,
    Template,
    bundled,
    check_field,
    load_relation,
)
from kn_edit.ledger import EditRecord

OWN = "own"  # the relation of prompts that a user wrote


def case_of(
    *,
    relation: str | None = None,
    subject: str | None = None,
    answer: str | None = None,
    prompts: Sequence[str] = (),
    neighbours: Sequence[str] = (),
) -> Case:
    """The case that a user named by a relation and a subject, or in full by prompts.

    Raises FactNotNamed, UnknownRelation, UnknownSubject, BadTemplate, EmptyField, BadField.
    """
    if subject is None:
        raise FactNotNamed("--subject")
    subject = check_field(subject, "subject")
    answer = None if answer is None else check_field(answer, "answer")
    neighbours = [check_field(neighbour, "neighbour") for neighbour in neighbours]
    if prompts:
        if answer is None:
            raise FactNotNamed("--answer")
        if relation is not None:
            check_field(relation, "relation")
        templates = tuple(Template(check_field(text, "template")) for text in prompts)
        own = Relation(relation or OWN, templates, _known_beside(subject))
        return _with_neighbours(own, own.fact(subject, answer), neighbours)
    if relation is None:
        raise FactNotNamed("--relation, or --prompt with --answer")
    pack = load_relation(relation)
    return _with_neighbours(pack, pack.fact(subject, answer), neighbours)


def check_case(case: Case, to: str | None = None) -> None:
    """Whether everything of a case, and its new answer, may be recorded and published.

    Raises EmptyField, BadField.
    """
    check_field(case.fact.subject, "subject")
    if case.fact.stated:
        check_field(case.fact.answer, "answer")
    if to is not None:
        check_field(to, "new answer")
    for template in case.relation.templates:
        check_field(template.text, "template")


def case_again(edit: EditRecord) -> Case | None:
    """The case of a recorded update; None where it does not say how it was asked.

    The bundled pack, or else the templates that were recorded with the edit.
    """
    try:
        relation = _recorded_relation(edit)
        if edit.subject is None or not relation.templates:
            return None
        return Case(relation, Fact(relation.name, edit.subject, edit.answer or ""))
    except (KnEditError, TypeError):  # recorded under other rules, or by somebody else
        return None


def _recorded_relation(edit: EditRecord) -> Relation:
    if edit.relation in bundled():
        return load_relation(edit.relation)
    templates = [Template(text) for text in edit.found.get("templates", ())]
    held_out = [Template(text, held_out=True) for text in edit.found.get("held_out", ())]
    return Relation(edit.relation, (*templates, *held_out))


def same_fact(earlier: Case, to: str, later: Case) -> bool:
    """Whether two updates are about one fact, of which the later one takes the earlier one's place.

    earlier, to: what was updated, and to which answer. Own prompts can ask several things of one
    subject: one fact share a prompt, or an answer.
    """
    one, other = earlier.fact, later.fact
    if (one.relation, one.subject) != (other.relation, other.subject):
        return False
    if one.relation != OWN or other.answer in (one.answer, to):
        return True
    trained = [
        {template.text for template in case.relation.templates if not template.held_out}
        for case in (earlier, later)
    ]
    return bool(trained[0] & trained[1])


def _with_neighbours(relation: Relation, fact: Fact, subjects: Sequence[str]) -> Case:
    named = tuple(
        Prompt(Fact(relation.name, subject, ""), template)
        for subject in subjects
        for template in relation.templates
        if not template.held_out
    )
    return Case(relation, fact, None, named)


def _known_beside(subject: str) -> tuple[Fact, ...]:
    """The other subjects of the packs that know this one; what the model says of them counts."""
    packs = [load_relation(name) for name in bundled()]
    wanted = subject.strip().casefold()
    subjects = dict.fromkeys(
        fact.subject
        for pack in packs
        if any(fact.subject.casefold() == wanted for fact in pack.facts)
        for fact in pack.facts
    )
    return tuple(Fact(OWN, other, "") for other in subjects if other.casefold() != wanted)
