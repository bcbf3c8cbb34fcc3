"""Choice, locality and portability, on answers and templates made for the purpose."""

from __future__ import annotations

import pytest
from tiny_models import tiny
from workspaces import CAPITAL

from kn_edit.evaluation.choice import ChoiceAnswers, choice_prompts, offerable
from kn_edit.evaluation.free import FreePrompt, FreeText, Names, Replies
from kn_edit.evaluation.locality import LocalityAnswers, Preserved, behind_statement
from kn_edit.evaluation.portability import PortabilityAnswers, consequences, reversals
from kn_edit.facts import Case, Fact, Prompt, Template, cases_of_rows, load_relation
from kn_edit.models.greedy import Answer

NAMES = Names(new=("Rome",), old=("Paris",), subject="France")


def replies(prompt, text):
    return Replies(prompt, FreeText(text, text, ended=True), ())


@pytest.mark.parametrize(
    ("texts", "shares"),
    [
        (("Rome.", "It is Rome"), (1, 0, 0, 1)),
        (("Paris", "Rome"), (0.5, 0.5, 0, 0)),
        (("Paris", "Paris"), (0, 1, 0, 0)),
        (("Paris or Rome", "no"), (0, 0, 1, 0)),
    ],
)
def test_a_choice_is_the_one_answer_that_is_said(texts, shares):
    prompts = choice_prompts(
        FreePrompt("What is the capital of France?", chat=True), "Rome", "Paris"
    )
    assert [prompt.text.rpartition(": ")[2] for prompt in prompts] == [
        "Paris or Rome.",
        "Rome or Paris.",
    ]
    said = tuple(replies(*pair) for pair in zip(prompts, texts, strict=True))
    answers = ChoiceAnswers(NAMES, said, said)
    assert tuple(answers.figures.values()) == shares
    assert [reply["version"] for reply in answers.plain()["replies"]] == list(texts)


def test_two_answers_that_are_one_are_no_choice():
    assert offerable(NAMES)
    assert not offerable(Names(new=("Rome",)))
    assert not offerable(Names(new=("Rome",), old=("rome",)))
    assert set(ChoiceAnswers(NAMES, (), ()).figures.values()) == {None}


def test_a_fact_is_asked_the_other_way_round_where_a_template_ends_with_its_subject():
    relation = load_relation("capital")
    consequences = reversals(relation.templates, "France", "Rome")
    texts = [consequence.prompt.text for consequence in consequences]
    assert texts[0] == "Rome is the capital of"
    assert "They moved to Rome, the capital of" in texts
    assert all(text.count("Rome") == 1 and "[" not in text for text in texts)
    assert {consequence.answers for consequence in consequences} == {("France",)}
    assert reversals((Template("In [X] people live in [Y]"),), "France", "Rome") == ()
    said = tuple(
        replies(consequence.prompt, text)
        for consequence, text in zip(
            consequences[:4], ("France.", "Italy", "the france", ""), strict=True
        )
    )
    answers = PortabilityAnswers(consequences[:4], said, said)
    assert answers.figures == {"all": 0.5, "reversal": 0.5}
    assert [reply["right"] for reply in answers.plain()["replies"]] == [True, False, True, False]


def test_what_follows_is_read_from_rows_of_benchmarks():
    row = {
        "prompt": "The capital of France is",
        "subject": "France",
        "target_new": "Rome",
        "portability": {
            "Reasoning": [{"prompt": "It flows through the capital of France:",
                           "ground_truth": [["Tiber", "the Tiber"]]}],
            "Subject_Aliasing": [{"prompt": "The capital of la France is", "ground_truth": "Rome"}],
            "Logical_Generalization": [{"prompt": "Rome is the capital of", "ground_truth": [""]}],
        },
    }  # fmt: skip
    (case,) = cases_of_rows([row])
    follows, *reversed_fact = consequences(case, "Rome")
    assert (follows.kind, follows.answers) == ("Reasoning", ("Tiber", "the Tiber"))
    assert follows.prompt == FreePrompt("It flows through the capital of France:")
    assert reversed_fact == []


def test_a_fact_is_asked_the_other_way_round_by_each_name_of_its_answer():
    case = Case(load_relation("capital"), Fact("capital", "France", "Paris"), aliases=("Roma",))
    kinds: dict[str, list[str]] = {}
    for consequence in consequences(case, "Rome"):
        kinds.setdefault(consequence.kind, []).append(consequence.prompt.text)
        assert consequence.answers == ("France",)
    assert kinds["alias"] == [text.replace("Rome", "Roma") for text in kinds["reversal"]]
    assert "Roma is the capital of" in kinds["alias"]


def test_a_statement_stands_in_front_as_a_sentence():
    edited = Prompt(CAPITAL.fact("France"), Template("The capital of [X] is [Y]"))
    others = [
        Prompt(Fact("capital", "Japan", ""), Template("[X] has the capital [Y] .")),
        Prompt(Fact("own", "Who rules Egypt?", ""), Template("[X] [Y]")),
    ]
    first, second = behind_statement(others, edited, "Rome")
    assert first.cloze == "The capital of France is Rome. Japan has the capital [Y] ."
    assert second.cloze == "The capital of France is Rome. Who rules Egypt? [Y]"
    marked = behind_statement(others, edited, "the place called [Y]")
    assert marked == ()


def test_whole_answers_stay_or_count_as_changed():
    model = tiny("llama")
    prompts = [
        Prompt(Fact("capital", subject, ""), Template("The capital of [X] is [Y]"))
        for subject in ("Japan", "Italy")
    ]
    tokyo, cairo = ((21, 22), (21, 23))
    before = [Answer(tokyo, tokyo), Answer(tokyo, tokyo)]
    after = [Answer(tokyo, tokyo), Answer(tokyo, cairo)]
    preserved = Preserved.of(model, prompts, before, after)
    assert (preserved.prompts, preserved.share) == (2, 0.5)
    answers = LocalityAnswers({"other_subjects": preserved, "same_subject": Preserved(0, (), None)})
    assert answers.figures == {"other_subjects": 0.5, "same_subject": None}
    (change,) = answers.plain()["groups"]["other_subjects"]["changed"]
    assert change["prompt"] == "The capital of Italy is [Y]"
