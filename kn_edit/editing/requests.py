"""From what a user names to a case: a fact, its prompts, neighbours that keep their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from kn_edit.canonical import short
from kn_edit.errors import (
    BadField,
    BadSetting,
    BadTemplate,
    EmptyField,
    FactNotNamed,
    KnEditError,
    phrase,
    prefixed,
)
from kn_edit.facts import (
    ALIAS_FIELDS,
    ANSWER,
    MOST_ALIASES,
    SUBJECT,
    ByFact,
    Case,
    Fact,
    FactKey,
    Prompt,
    Relation,
    Template,
    bundled,
    check_field,
    fact_key,
    is_marked,
    load_relation,
    read_statements,
)
from kn_edit.ledger.records import EditRecord, FactChange, FactRecord
from kn_edit.safetext import shortened

ASKED_AGAIN = 64  # templates of a recorded edit, and as many held-out ones
OWN = "own"  # the relation of prompts that a user wrote


def each(texts: Iterable[str], name: str = "the list") -> tuple[str, ...]:
    """What was given as a list: a text is one member, and not its letters.

    Raises BadSetting for what is no list at all.
    """
    if isinstance(texts, str):
        return (texts,)
    if not isinstance(texts, Iterable):
        raise BadSetting(name, texts, "a list of texts")
    return tuple(texts)


def case_of(
    *,
    relation: str | None = None,
    subject: str | None = None,
    answer: str | None = None,
    prompts: Iterable[str] = (),
    neighbours: Iterable[str] = (),
    statement: str | Iterable[str] = (),
    to: str | None = None,
) -> Case:
    """The case that a user named by a relation and a subject, by prompts, or by a statement.

    answer: what counts as the answer today; where prompts or a statement ask for a new one and
    nobody says, what the model says. statement: a sentence as it should be true, such as
    `The CEO of [X: Starbucks] is [Y: Brian Niccol].`, or several wordings of it; its answer is the
    case's new one. to: the new answer, where no statement marks it.
    Raises FactNotNamed, UnknownRelation, UnknownSubject, BadTemplate, BadStatement,
    StatementsDiffer, EmptyField, BadField.
    """
    answer = None if answer is None else check_field(answer, "answer")
    statements, prompts = each(statement, "statement"), each(prompts, "prompts")
    if statements:
        if prompts:
            raise BadSetting("prompts", prompts[0], "statements or prompts, not both")
        stated = read_statements(statements, subject, to)
        subject, to, templates = stated.subject, stated.answer or None, stated.templates
    elif subject is None:
        raise FactNotNamed(phrase("{subject}"))
    else:
        templates = tuple(map(_template, prompts))
        if templates and answer is None and to is None:
            raise FactNotNamed(phrase("{answer} (or, of an update, {to})"))
    subject = check_field(subject, "subject")
    to = None if to is None else check_field(to, "new answer")
    names = [check_field(neighbour, "neighbour") for neighbour in each(neighbours, "neighbours")]
    if templates:
        if relation is not None:
            check_field(relation, "relation")
        other_facts = _known_beside(subject)
        user_relation = Relation(relation or OWN, templates, other_facts, unnamed=relation is None)
        fact = (
            user_relation.fact(subject, answer) if answer else Fact(user_relation.name, subject, "")
        )
        return replace(_with_neighbours(user_relation, fact, names), target=to)
    if relation is None:
        raise FactNotNamed(phrase("{relation}, {prompt} or {statement}"))
    pack = load_relation(relation)
    return replace(_with_neighbours(pack, pack.fact(subject, answer), names), target=to)


def with_held_out(case: Case, prompts: Iterable[str]) -> Case:
    """The case with further prompts, by which its edit is only judged.

    Raises BadTemplate, EmptyField, BadField.
    """
    held_out = (replace(_template(text), held_out=True) for text in each(prompts, "held_out"))
    templates = (*case.relation.templates, *held_out)
    return replace(case, relation=replace(case.relation, templates=templates))


def with_aliases(
    case: Case, aliases: Iterable[str] = (), answer_aliases: Iterable[str] = ()
) -> Case:
    """The case with other names of its new answer, and of the answer that its fact has.

    By them a free text is known to say one of the two. Raises BadSetting, EmptyField, BadField.
    """
    return replace(
        case,
        aliases=_aliases(aliases, "aliases"),
        answer_aliases=_aliases(answer_aliases, "answer_aliases"),
    )


def _aliases(names: Iterable[str], of: str) -> tuple[str, ...]:
    checked = tuple(dict.fromkeys(check_field(name, "alias") for name in each(names, of)))
    if len(checked) > MOST_ALIASES:
        raise BadSetting(of, len(checked), f"at most {MOST_ALIASES} names")
    return checked


def named_case(case: Case | None, statement: str | Iterable[str], to: str | None) -> Case:
    """The case of a call that gives a case or a statement. Raises BadSetting, and as `case_of`."""
    if isinstance(case, Case) and not statement:
        return case
    if case is None and statement:
        return case_of(statement=statement, to=to)
    raise BadSetting("what to update", case, "a case from `case_of`, or a statement, not both")


def case_pairs(updates: Iterable[Case | tuple[Case, str]]) -> list[tuple[Case, str | None]]:
    """Cases as people list them, each with the new answer that they give beside it.

    Raises BadSetting for anything else.
    """
    form = "a list of cases, or of pairs of a case and its new answer"
    if isinstance(updates, (str, Case)) or not isinstance(updates, Iterable):
        raise BadSetting("what to update", updates, form)
    pairs: list[tuple[Case, str | None]] = []
    for update in updates:
        case, to = update if isinstance(update, tuple) and len(update) == 2 else (update, None)
        if not isinstance(case, Case) or not isinstance(to, str | None):
            raise BadSetting("what to update", update, form)
        pairs.append((case, to))
    return pairs


def _template(text: str) -> Template:
    """A prompt of a user's own. Raises BadTemplate, EmptyField, BadField."""
    try:
        return Template(check_field(text, "template"))
    except BadTemplate as error:
        if not is_marked(text):
            raise
        marks = phrase(" but marks of a statement, which {statement} reads")
        raise BadTemplate(text, prefixed(error.problem, marks)) from None


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
    with_aliases(case, case.aliases, case.answer_aliases)


def case_again(recorded: FactRecord | EditRecord) -> Case | None:
    """The case of a fact that was updated; None where nobody recorded how it was asked.

    The bundled pack, or else the templates that were recorded with the edit. recorded: one fact of
    an edit; an edit stands for its first one
    """
    recorded = recorded.by_fact[0] if isinstance(recorded, EditRecord) else recorded
    change = recorded.change
    try:
        relation = _recorded_relation(recorded)
        if change.subject is None or not relation.templates:
            return None
        fact = Fact(relation.name, change.subject, change.answer or "")
        case = Case(relation, fact, judges=() if relation.facts else _recorded_judges(recorded))
        return with_aliases(case, *(_recorded_names(recorded, name) for name in ALIAS_FIELDS))
    except (KnEditError, TypeError):  # recorded under other rules, or by somebody else
        return None


@dataclass(frozen=True)
class Earlier:
    """An update that was recorded, with what it takes to ask it again."""

    edit: str
    case: Case
    to: str

    def __str__(self) -> str:
        fact = self.case.fact
        return f"edit {short(self.edit)} ({fact.subject}: {fact.answer} -> {self.to})"


def earlier_updates(edits: Iterable[EditRecord]) -> tuple[ByFact[Earlier], list[str]]:
    """The last update of each fact in a recipe, and which edits do not say how to ask theirs.

    Whether a model can be asked them is `kn_edit.editing.earlier.refusal`'s to say.
    """
    updates: ByFact[Earlier] = ByFact()
    passed_over = []
    for edit in edits:
        for recorded in edit.by_fact:
            case, change = case_again(recorded), recorded.change
            about = f" ({shortened(change.subject or '', 80)})" if edit.further else ""
            if change.subject is None or change.target is None:
                passed_over.append(f"{short(edit.id)} is no update of a fact")
            elif case is None:
                passed_over.append(f"{short(edit.id)}{about} does not say how it was asked")
            else:
                key = fact_key(case.relation, case.fact)
                updates.put(key, Earlier(edit.id, case, change.target))
    return updates, passed_over


def _recorded_relation(recorded: FactRecord) -> Relation:
    name, subject = recorded.change.relation, recorded.change.subject
    if name in bundled():
        return load_relation(name)
    templates = [Template(text) for text in _recorded_texts(recorded, "templates")]
    held_out = [Template(text, held_out=True) for text in _recorded_texts(recorded, "held_out")]
    if subject:
        texts = _recorded_texts(recorded, "paraphrases")
        held_out += [Template(text, held_out=True, about=subject) for text in texts]
    return Relation(name, (*templates, *held_out), unnamed=_is_own(recorded))


def recorded_names(case: Case) -> dict[str, list[str]]:
    """The other names of its answers, as they are recorded with its edit, where it has any."""
    names = zip(ALIAS_FIELDS, (case.aliases, case.answer_aliases), strict=True)
    return {name: list(aliases) for name, aliases in names if aliases}


def _recorded_names(recorded: FactRecord, name: str) -> list[str]:
    """The names among those that anybody recorded, as many as a case may have."""
    names = recorded.found.get(name)
    checked = []
    for alias in names[:MOST_ALIASES] if isinstance(names, list) else ():
        with suppress(EmptyField, BadField):
            checked.append(check_field(alias, "alias"))
    return checked


def recorded_key(recorded: FactRecord) -> FactKey | None:
    """The fact that was updated, as `fact_key` names it; None for an erasure of a relation."""
    subject = recorded.change.subject
    if subject is None:
        return None
    templates = recorded.found.get("templates") if _is_own(recorded) else None
    texts = templates if isinstance(templates, list) else ()  # records may be anybody's
    own_templates = frozenset(text for text in texts if isinstance(text, str))
    return FactKey(recorded.change.relation, subject, own_templates)


def answers_of(edits: Iterable[EditRecord]) -> ByFact[str]:
    """What these edits, in order, made of the facts that they update."""
    answers: ByFact[str] = ByFact()
    for recorded in chain.from_iterable(edit.by_fact for edit in edits):
        key, target = recorded_key(recorded), recorded.change.target
        if key is not None and target is not None:
            answers.put(key, target)
    return answers


@dataclass(frozen=True)
class ChangedFact:
    """A fact that an edit changed; an erasure changes all of a relation."""

    edit: str
    change: FactChange


def message_of(changes: Sequence[FactChange]) -> str:
    """The first fact, and how many more there are."""
    first, remaining = changes[0], len(changes) - 1
    suffix = f", and {remaining} more fact{'s' if remaining > 1 else ''}" if remaining else ""
    return f"{first.relation}: {first.subject}, {first.answer} -> {first.target}{suffix}"


def changed_facts(edits: Sequence[EditRecord]) -> list[ChangedFact]:
    """What these edits, in order, changed: each fact and each erasure by the last edit of it."""
    facts: ByFact[ChangedFact] = ByFact()
    erasures: dict[str, ChangedFact] = {}
    for edit in edits:
        for recorded in edit.by_fact:
            changed, key = ChangedFact(edit.id, recorded.change), recorded_key(recorded)
            if key is None:
                erasures[changed.change.relation] = changed
            else:
                facts.put(key, changed)
    places = {edit.id: place for place, edit in enumerate(edits)}
    return sorted([*facts.values(), *erasures.values()], key=lambda fact: places[fact.edit])


def _is_own(recorded: FactRecord) -> bool:
    """Whether a fact was asked by prompts of a user's own, and not by a relation with a name."""
    return recorded.change.relation == OWN or recorded.found.get("own") is True


def _recorded_texts(recorded: FactRecord, name: str) -> list[str]:
    """The first templates that a fact was asked by, as many as are asked again.

    Raises EmptyField, BadField, TypeError for what nobody could have asked.
    """
    return _texts(recorded.found.get(name, ()), name)


def _texts(texts: object, name: str) -> list[str]:
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{name} is no list of texts")
    return [check_field(text, "template") for text in texts[:ASKED_AGAIN]]


def _recorded_judges(recorded: FactRecord) -> tuple[Prompt, ...]:
    """The prompts of other subjects by which an edit was judged, all in front of [Y] as subject.

    None where nobody recorded any, or others than prompts.
    """
    judged_by = recorded.found.get("judged_by")
    texts = judged_by.get("neighbours", ()) if isinstance(judged_by, dict) else ()
    judges = []
    with suppress(KnEditError, TypeError):
        for text in _texts(texts, "neighbours"):
            before, _, after = text.partition(ANSWER)
            bare = before.rstrip()
            template = Template(f"{SUBJECT}{before[len(bare) :]}{ANSWER}{after}")
            judges.append(Prompt(Fact(recorded.change.relation, bare, ""), template))
    return tuple(judges)


def _with_neighbours(relation: Relation, fact: Fact, subjects: Sequence[str]) -> Case:
    named = tuple(
        Prompt(Fact(relation.name, subject, ""), template)
        for subject in subjects
        for template in relation.templates
        if not template.held_out
    )
    return Case(relation=relation, fact=fact, target=None, neighbours=named)


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
    return tuple(
        Fact(OWN, other_subject, "")
        for other_subject in subjects
        if other_subject.casefold() != wanted
    )
