"""CounterFact (Meng et al. 2022): a JSON list of edit requests.

    [{"requested_rewrite": {"prompt": "The mother tongue of {} is", "subject": "Danielle Darrieux",
                            "relation_id": "P103", "target_true": {"str": "French"},
                            "target_new": {"str": "English"}},
      "paraphrase_prompts": ["Danielle Darrieux, a native"],
      "neighborhood_prompts": ["The mother tongue of Léon Blum is"]}, ...]

The rewrite prompt is the one template that solves; paraphrases are held-out templates, the last
mention of the subject being their [X] (most begin with an unrelated sentence). A paraphrase that
does not mention the subject as it is written asks for no fact of it, and is left out. Neighbourhood
prompts do not say which words are their subject, so the whole prompt stands for it; what they
should answer is the true answer. Other keys are passed over.
"""

from __future__ import annotations

from pathlib import Path

from kn_edit.facts.document import Place, read_document
from kn_edit.facts.fact import ANSWER, SUBJECT, Fact, Prompt, Template
from kn_edit.facts.relation import Case, Relation

_WHOLE_PROMPT = Template(f"{SUBJECT} {ANSWER}")


def read_counterfact(path: str | Path) -> tuple[Case, ...]:
    """The cases of a CounterFact file. Raises UnreadableFacts, BadFacts."""
    document = read_document(Path(path))
    cases = tuple(_case(entry) for entry in document.items())
    if not cases:
        raise document.wrong("there are no cases", "add at least one")
    return cases


def _case(entry: Place) -> Case:
    rewrite = entry.member("requested_rewrite")
    name = rewrite.member("relation_id").string()
    subject = rewrite.member("subject").string()
    fact = Fact(name, subject, rewrite.member("target_true").member("str").string(), entry)
    templates = (_rewrite_template(rewrite.member("prompt")), *_paraphrases(entry, subject))
    return Case(
        relation=Relation(name, templates, (fact,), source="CounterFact (Meng et al. 2022)"),
        fact=fact,
        target=rewrite.member("target_new").member("str").string(),
        neighbours=tuple(
            Prompt(Fact(name, prompt.string(), fact.answer), _WHOLE_PROMPT)
            for prompt in _prompts(entry, "neighborhood_prompts")
        ),
    )


def _rewrite_template(prompt: Place) -> Template:
    text = prompt.string()
    if text.count("{}") != 1:
        raise prompt.wrong(f"the prompt {text!r} needs {{}} once", "write {} for the subject")
    with prompt.located():
        return Template(f"{text.replace('{}', SUBJECT)} {ANSWER}")


def _paraphrases(entry: Place, subject: str) -> list[Template]:
    found: list[Template] = []
    for prompt in _prompts(entry, "paraphrase_prompts"):
        before, mention, after = prompt.string().rpartition(subject)
        if mention:
            with prompt.located():
                found.append(Template(f"{before}{SUBJECT}{after} {ANSWER}", held_out=True))
    return found


def _prompts(entry: Place, key: str) -> tuple[Place, ...]:
    found = entry.find(key)
    return found.items() if found else ()
