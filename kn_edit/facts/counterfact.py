"""CounterFact (Meng et al. 2022): edit requests, as a JSON list or one a line.

    [{"requested_rewrite": {"prompt": "The mother tongue of {} is", "subject": "Danielle Darrieux",
                            "relation_id": "P103", "target_true": {"str": "French"},
                            "target_new": {"str": "English"}},
      "paraphrase_prompts": ["Danielle Darrieux, a native"],
      "neighborhood_prompts": ["The mother tongue of Léon Blum is"]}, ...]

The rewrite prompt is the one template that solves; paraphrases are held-out templates, the last
mention of the subject being their [X] (most begin with an unrelated sentence). A paraphrase that
does not mention the subject asks for no fact of it, and is left out. Neighbourhood prompts judge
whether other answers stay, and are never solved for. They do not say which words are their subject,
so the whole prompt stands for it; what they should answer is the true answer. Where
`requested_rewrite` is a list (MQuAKE), each member is a request of its own.
Other keys are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Template, same_answer
from kn_edit.facts.relation import Case, Relation
from kn_edit.facts.rows import read_rows
from kn_edit.facts.source import read_source
from kn_edit.facts.wording import braced_template, relation_name, template_of, whole_prompt

MOST_PROMPTS = 1_000  # of one kind in a row
SOURCE = "CounterFact (Meng et al. 2022)"
LEFT_OUT = "a paraphrase that does not name the subject is left out"


def read_counterfact(path: str | Path) -> tuple[Case, ...]:
    """The cases of a CounterFact file. Raises UnreadableFacts, BadFacts."""
    path = Path(path)
    rows = read_rows(path, read_source(path))
    return tuple(case for row in rows for case in counterfact_cases(row))


def counterfact_cases(row: Place) -> Iterator[Case]:
    """The cases of a row. Raises BadFacts."""
    rewrite = row.member("requested_rewrite")
    several = isinstance(rewrite.value, list)
    for request in rewrite.items(MOST_PROMPTS) if several else (rewrite,):
        yield _case(row, request)


def _case(row: Place, rewrite: Place) -> Case:
    named = rewrite.find("relation_id")
    name = named.field("relation") if named else relation_name(row)
    subject = rewrite.member("subject").field("subject")
    answer = rewrite.member("target_true").member("str").field("answer")
    to = rewrite.member("target_new").member("str").field("new answer")
    fact = Fact(
        relation=name, subject=subject, answer="" if same_answer(answer, to) else answer, place=row
    )
    templates = (_rewrite_template(rewrite.member("prompt")), *_paraphrases(row, subject))
    return Case(
        relation=Relation(name, templates, (fact,), source=SOURCE, unnamed=named is None),
        fact=fact,
        target=to,
        judges=tuple(
            whole_prompt(name, prompt, answer) for prompt in _prompts(row, "neighborhood_prompts")
        ),
        published=True,
        notes=(LEFT_OUT,) if len(templates) <= len(_prompts(row, "paraphrase_prompts")) else (),
    )


def _rewrite_template(prompt: Place) -> Template:
    template = braced_template(prompt)
    if template is None:
        problem = f"the prompt {prompt.field('template')!r} needs {{}} once"
        raise prompt.wrong(problem, "write {} for the subject")
    return template


def _paraphrases(row: Place, subject: str) -> list[Template]:
    prompts = _prompts(row, "paraphrase_prompts")
    templates = (template_of(prompt, subject, held_out=True) for prompt in prompts)
    return [template for template in templates if template is not None]


def _prompts(row: Place, key: str) -> tuple[Place, ...]:
    place = row.find(key)
    return place.items(MOST_PROMPTS) if place else ()
