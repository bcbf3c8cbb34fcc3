"""Rows of the benchmarks that mass editors are compared on: whole prompts, and a subject in them.

EasyEdit's flat rows (CounterFact, zsRE, WikiBigEdit, KnowEdit, QAEdit in this form):

    {"prompt": "The capital of France is", "subject": "France", "target_new": "Rome",
     "ground_truth": "Paris", "rephrase_prompt": "France, whose capital is",
     "locality_prompt": "The capital of Japan is", "locality_ground_truth": "Tokyo"}

zsRE (Levy et al. 2017; Mitchell et al. 2022):

    {"subject": "France", "src": "What is the capital of France?", "alt": "Rome",
     "answers": ["Paris"], "rephrase": "Which city is the capital of France?",
     "loc": "nq question: who wrote Emma", "loc_ans": "Jane Austen"}

The prompt solves, the rephrased one is held out, those of `locality` and `loc` must keep their
answers. Where a prompt does not mention its subject, the whole prompt stands for the subject; a
rephrased prompt that does not mention it is left out. Rows without a true answer are about what the
model says today. Other keys are passed over.

Flat rows of CounterFact come with its own spellings too: `{}` in a prompt is the subject, and an
answer may be an object, {"str": "Paris"}.
"""

from __future__ import annotations

from collections.abc import Iterator

from kn_edit.facts.counterfact import MOST_PROMPTS
from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Prompt, Template
from kn_edit.facts.relation import Case, Relation
from kn_edit.facts.wording import (
    braced_template,
    relation_name,
    template_of,
    whole_prompt,
    whole_template,
)

_RELATIONS = ("relation_id", "relation")
_TARGETS = ("target_new", "target", "target_false", "new_answer")
_ANSWERS = ("ground_truth", "target_true", "answer", "answers")
_REPHRASED = ("rephrase_prompt", "rephrase", "paraphrase_prompts", "rephrase_prompts")
_NO_ANSWER = {"", "<|endoftext|>", "</s>"}  # what EasyEdit writes where there is none


def flat_case(row: Place) -> Case:
    """The case of one of EasyEdit's flat rows. Raises BadFacts."""
    target = row.first(*_TARGETS)
    neighbours = [*_pairs(row, "locality_prompt", "locality_ground_truth"), *_locality(row)]
    return _case(row, row.member("prompt"), row.first(*_ANSWERS), target, neighbours)


def zsre_case(row: Place) -> Case:
    """The case of a row of zsRE. Raises BadFacts."""
    answer = row.first("answers", "answer", "ground_truth", "pred")
    neighbours = _pairs(row, "loc", "loc_ans")
    return _case(row, row.member("src", "prompt"), answer, row.first("alt", *_TARGETS), neighbours)


def _case(
    row: Place,
    prompt: Place,
    answer: Place | None,
    target: Place | None,
    neighbours: list[tuple[Place, Place | None]],
) -> Case:
    named = row.first(*_RELATIONS)
    name = named.field("relation") if named else relation_name(row)
    subject, template = _asked(row, prompt)
    fact = Fact(name, subject, _answer(answer), row)
    rephrased = (template_of(each, subject, held_out=True) for each in _texts(row, _REPHRASED))
    templates = (template, *(each for each in rephrased if each is not None))
    return Case(
        relation=Relation(name, templates, (fact,), own=named is None),
        fact=fact,
        target=_only(target).field("new answer") if target else None,
        neighbours=tuple(_neighbour(name, *pair) for pair in neighbours),
    )


def _asked(row: Place, prompt: Place) -> tuple[str, Template]:
    """The subject of a row, and its prompt as a template."""
    named = row.find("subject")
    if named is not None:
        subject = named.field("subject")
        template = braced_template(prompt) or template_of(prompt, subject)
        if template is not None:
            return subject, template
    text = prompt.field("subject")  # nobody says which of its words are the subject
    return text, whole_template(text)


def _neighbour(relation: str, prompt: Place, answer: Place | None) -> Prompt:
    # Nobody records a neighbour's answer, and some are paragraphs.
    return whole_prompt(relation, prompt, _answer(answer, "template").strip())


def _answer(place: Place | None, field: str = "answer") -> str:
    """A stated answer; empty where none is, or only what stands for none."""
    place = _only(place) if place is not None else None
    value = place.value if place is not None else None
    if place is None or value == [] or (isinstance(value, str) and value in _NO_ANSWER):
        return ""
    return place.field(field)


def _only(place: Place) -> Place:
    """The first of several, or the one; of an object of CounterFact, its text."""
    while isinstance(place.value, list) and place.value:
        place = place.items()[0]
    if isinstance(place.value, dict) and "str" in place.value:
        return place.member("str")
    return place


def _texts(row: Place, keys: tuple[str, ...]) -> tuple[Place, ...]:
    """The texts under the first of these keys, one or many."""
    place = row.first(*keys)
    if place is None or place.value == "":
        return ()
    return place.items(MOST_PROMPTS) if isinstance(place.value, list) else (place,)


def _pairs(row: Place, prompts: str, answers: str) -> list[tuple[Place, Place | None]]:
    """Prompts with their answers, which stand beside each other, one or many."""
    asked, stated = _texts(row, (prompts,)), _texts(row, (answers,))
    return [(each, stated[at] if at < len(stated) else None) for at, each in enumerate(asked)]


def _locality(row: Place) -> list[tuple[Place, Place | None]]:
    """The neighbours under `locality`: a list of them, or a list of each of several kinds."""
    place = row.find("locality")
    if place is None:
        return []
    lists = place if isinstance(place.value, list) else None
    groups = [lists] if lists else [place.member(key) for key in _keys(place)]
    return [pair for group in groups for pair in _group(group)]


def _keys(place: Place) -> Iterator[str]:
    if isinstance(place.value, dict):
        yield from (key for key, value in place.value.items() if value)


def _group(group: Place) -> Iterator[tuple[Place, Place | None]]:
    members = group.items(MOST_PROMPTS) if isinstance(group.value, list) else (group,)
    for member in members:
        if isinstance(member.value, dict) and isinstance(member.value.get("prompt"), list):
            yield from _pairs(member, "prompt", "ground_truth")
        else:
            prompt = member.member("prompt", "loc")
            yield _only(prompt), member.first("ground_truth", "loc_ans")
