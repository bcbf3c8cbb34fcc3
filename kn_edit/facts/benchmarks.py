"""Rows of the benchmarks that mass editors are compared on: whole prompts, and a subject in them.

EasyEdit's flat rows (CounterFact, zsRE, WikiBigEdit, KnowEdit, QAEdit in this form):

    {"prompt": "The capital of France is", "subject": "France", "target_new": "Rome",
     "ground_truth": "Paris", "rephrase_prompt": "France, whose capital is",
     "locality_prompt": "The capital of Japan is", "locality_ground_truth": "Tokyo"}

zsRE (Levy et al. 2017; Mitchell et al. 2022):

    {"subject": "France", "src": "What is the capital of France?", "alt": "Rome",
     "answers": ["Paris"], "rephrase": "Which city is the capital of France?",
     "loc": "nq question: who wrote Emma", "loc_ans": "Jane Austen"}

The prompt solves, and the rephrased one is held out; where it speaks of the subject in other words,
it is asked as it stands. Prompts of `locality` and `loc` judge whether other answers stay, and are
never solved for. Of `portability`, prompts that name the subject otherwise (`Subject_Aliasing`) are
held out as well; the others ask for what follows from the new answer, and are kept for that. Where
a prompt does not mention its subject, the whole prompt stands for it. Rows without a true answer,
or with one that is the new answer, are about what the model says today. Other keys are passed over.

Flat rows of CounterFact come with its own spellings too: `{}` in a prompt is the subject, and an
answer may be an object, {"str": "Paris"}.
"""

from __future__ import annotations

from collections.abc import Iterator

from kn_edit.facts.counterfact import MOST_PROMPTS
from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Prompt, Template, same_answer
from kn_edit.facts.relation import Case, Following, Relation
from kn_edit.facts.wording import (
    braced_template,
    relation_name,
    rephrased_template,
    template_of,
    whole_prompt,
    whole_template,
)

_RELATIONS = ("relation_id", "relation")
_TARGETS = ("target_new", "target", "target_false", "new_answer")
_ANSWERS = ("ground_truth", "target_true", "answer", "answers")
_REPHRASED = ("rephrase_prompt", "rephrase", "paraphrase_prompts", "rephrase_prompts")
_LOCALITY = ("locality", "locality_inputs")
_PORTABILITY = ("portability", "portability_inputs")
_MARKS = ".,;:!?*"  # that an answer seldom ends in
_NO_ANSWER = {"", "<|endoftext|>", "</s>"}  # what EasyEdit writes where there is none

WHOLE = "the prompt does not name its subject, so all of it stands for the subject"
OTHER_CASE = "the prompt writes its subject in another case, and is asked as the subject is written"
SPACES = "the new answer is asked without the spaces around it"
TAIL = "the new answer ends in a mark, which is asked as part of it"

Judge = tuple[Place, Place | None]  # a prompt, and its answer if one is stated


def flat_case(row: Place) -> Case:
    """The case of one of EasyEdit's flat rows. Raises BadFacts."""
    judges = [*_pairs(row, "locality_prompt", "locality_ground_truth"), *_locality(row)]
    return _case(row, row.member("prompt"), row.first(*_ANSWERS), row.first(*_TARGETS), judges)


def zsre_case(row: Place) -> Case:
    """The case of a row of zsRE. Raises BadFacts."""
    answer = row.first("answers", "answer", "ground_truth", "pred")
    judges = _pairs(row, "loc", "loc_ans")
    return _case(row, row.member("src", "prompt"), answer, row.first("alt", *_TARGETS), judges)


def _case(
    row: Place,
    prompt: Place,
    answer: Place | None,
    target: Place | None,
    judges: list[Judge],
) -> Case:
    named = row.first(*_RELATIONS)
    name = named.field("relation") if named else relation_name(row)
    subject, template, note = _subject_and_template(row, prompt)
    target = _only(target) if target else None
    to = target.field("new answer") if target else None
    stated = _answer(answer)
    fact = Fact(
        relation=name,
        subject=subject,
        answer="" if to and same_answer(stated, to) else stated,
        place=row,
    )
    held_out = _held_out(row, subject, template, to)
    prompt_texts = {prompt.field("template"), *(place.value for place in _texts(row, _REPHRASED))}
    return Case(
        relation=Relation(name, (template, *held_out), (fact,), unnamed=named is None),
        fact=fact,
        target=to,
        judges=tuple(
            _judge(name, *judge) for judge in judges if judge[0].value not in prompt_texts
        ),
        published=True,
        notes=(*([note] if note else ()), *(_answer_notes(target) if target else ())),
        following=tuple(_following(row)),
    )


def _held_out(row: Place, subject: str, trained: Template, to: str | None) -> list[Template]:
    """The rephrased prompts of a row, each once, and none that says what the prompt says."""
    prompts = (*_texts(row, _REPHRASED), *_aliases(row, to))
    templates = dict.fromkeys(rephrased_template(prompt, subject) for prompt in prompts)
    return [template for template in templates if template.text != trained.text]


def _answer_notes(target: Place) -> Iterator[str]:
    """What is particular about how a new answer is written."""
    text = target.string()
    if text != text.strip():
        yield SPACES
    if text.strip()[-1] in _MARKS:
        yield TAIL


def _subject_and_template(row: Place, prompt: Place) -> tuple[str, Template, str]:
    """The subject of a row, its prompt as a template, and a note if they do not agree."""
    named = row.find("subject")
    if named is not None:
        subject = named.field("subject")
        braced = braced_template(prompt)
        template = braced or template_of(prompt, subject)
        if template is not None:
            as_written = braced or subject in prompt.field("template")
            return subject, template, "" if as_written else OTHER_CASE
    text = prompt.field("subject")  # nobody says which of its words are the subject
    return text, whole_template(text), WHOLE


def _judge(relation: str, prompt: Place, answer: Place | None) -> Prompt:
    # Nobody records a judge's answer: some are paragraphs, lists or numbers.
    stated = _only(answer).value if answer else None
    return whole_prompt(relation, prompt, stated.strip() if isinstance(stated, str) else "")


def _answer(place: Place | None) -> str:
    """A stated answer; empty where none is, or only what stands for none."""
    place = _only(place) if place is not None else None
    value = place.value if place is not None else None
    if place is None or value == [] or (isinstance(value, str) and value in _NO_ANSWER):
        return ""
    return place.field("answer")


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


def _pairs(row: Place, prompts: str, answers: str) -> list[Judge]:
    """Prompts with their answers, which stand beside each other, one or many."""
    questions, stated = _texts(row, (prompts,)), _texts(row, (answers,))
    return [
        (question, stated[index] if index < len(stated) else None)
        for index, question in enumerate(questions)
    ]


def _locality(row: Place) -> list[Judge]:
    """The prompts under `locality`: a list of them, or a list of each of several kinds."""
    place = row.first(*_LOCALITY)
    return [judge for _, group in _groups(place) for judge in _group(group)]


def _aliases(row: Place, to: str | None) -> list[Place]:
    """Prompts under `portability` that ask for the new answer by another name of the subject."""
    groups = _groups(row.first(*_PORTABILITY))
    pairs = [pair for kind, group in groups if "alias" in kind.casefold() for pair in _group(group)]
    return [prompt for prompt, answer in pairs if to and answer and _says(_only(answer), to)]


def _following(row: Place) -> Iterator[Following]:
    """Prompts under `portability` that ask for what follows from the new answer."""
    for kind, group in _groups(row.first(*_PORTABILITY)):
        if "alias" not in kind.casefold():
            for prompt, stated in _group(group):
                answers = tuple(_strings(stated.value)) if stated is not None else ()
                if answers and isinstance(prompt.value, str) and prompt.value.strip():
                    yield Following(kind or "portability", prompt.value.strip(), answers)


def _strings(value: object) -> Iterator[str]:
    """The texts among answers, which may be lists of lists."""
    if isinstance(value, str) and value.strip():
        yield value.strip()
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)


def _says(answer: Place, to: str) -> bool:
    return isinstance(answer.value, str) and same_answer(answer.value, to)


def _groups(place: Place | None) -> Iterator[tuple[str, Place]]:
    """Lists of prompts, each with the name of its kind; one without a name where no kinds are."""
    if place is None or not place.value:
        return
    if isinstance(place.value, dict) and not {"prompt", "loc"} & place.value.keys():
        yield from ((key, place.member(key)) for key, value in place.value.items() if value)
    else:
        yield "", place


def _group(group: Place) -> Iterator[Judge]:
    members = group.items(MOST_PROMPTS) if isinstance(group.value, list) else (group,)
    for member in members:
        if isinstance(member.value, str):
            yield member, None
        elif isinstance(member.value, dict) and isinstance(member.value.get("prompt"), list):
            yield from _pairs(member, "prompt", "ground_truth")
        else:
            prompt = member.member("prompt", "loc")
            yield _only(prompt), member.first("ground_truth", "loc_ans")
