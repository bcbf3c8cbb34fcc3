"""Facts, templates, prompts and relations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.errors import AmbiguousSubject, BadTemplate, EmptyField, UnknownSubject
from kn_edit.facts import Fact, Prompt, Relation, Template, load_relation

FRANCE = Fact("capital", "France", "Paris")


def relation(*facts: Fact) -> Relation:
    templates = (
        Template("The capital of [X] is the city of [Y]."),
        Template("[Y] is the capital of [X]."),
        Template("The seat of government of [X] is [Y].", held_out=True),
        Template("[Y], the seat of government of [X].", held_out=True),
    )
    return Relation("capital", templates, facts or (FRANCE, Fact("capital", "Japan", "Tokyo")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("The capital is [Y].", "has no [X]"),
        ("The capital of [X] is", "has no [Y]"),
        ("[X] and [X] have [Y]", "has [X] 2 times"),
        ("[X]: [Y] [Y] [Y]", "has [Y] 3 times"),
        ("", "has no [X]"),
    ],
)
def test_a_template_needs_each_placeholder_once(text: str, problem: str) -> None:
    with pytest.raises(BadTemplate) as caught:
        Template(text)
    assert caught.value.problem == problem
    assert "write [X]" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("The capital of [X] is [Y]", True),
        ("The capital of [X] is [Y] .", True),
        ('They say "[X] has [Y]".', True),
        ("[X], a product of [Y],", True),
        ("[Y] is the capital of [X].", False),
        ("The [Y]-owned [X]", False),
        ("[X] has [Y]s.", False),
        ("[X] 是 [Y] 的", False),
    ],
)
def test_answer_last_means_that_no_word_follows(text: str, last: bool) -> None:
    assert Template(text).answer_last is last


@given(st.text(), st.text(), st.text(), st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_prompt_is_its_template_with_the_subject_put_in(
    left: str, middle: str, right: str, subject: str
) -> None:
    parts = [part.replace("[", "(") for part in (left, middle, right)]
    prompt = Prompt(Fact("r", subject, "a"), Template("{}[X]{}[Y]{}".format(*parts)))
    assert prompt.before == parts[0] + subject + parts[1]
    assert prompt.after == parts[2]
    assert prompt.cloze == f"{prompt.before}[Y]{prompt.after}"


def test_the_subject_may_follow_the_answer_and_may_look_like_a_placeholder() -> None:
    prompt = Prompt(Fact("r", "the [Y] of [X]", "a"), Template("[Y] belongs to [X]."))
    assert (prompt.before, prompt.after) == ("", " belongs to the [Y] of [X].")


def test_a_fact_needs_a_subject() -> None:
    with pytest.raises(EmptyField, match="subject"):
        Fact("capital", "  ", "Paris")


def test_only_an_answer_that_says_something_is_stated() -> None:
    assert FRANCE.stated
    assert not Fact("capital", "France", " ").stated


def test_prompts_keep_held_out_templates_apart() -> None:
    trained = relation().prompts(FRANCE)
    held_out = relation().prompts(FRANCE, held_out=True)
    assert [prompt.template.held_out for prompt in trained] == [False, False]
    assert [prompt.template.held_out for prompt in held_out] == [True, True]


def test_prompts_for_causal_models_end_with_the_answer() -> None:
    clozes = [prompt.cloze for prompt in relation().prompts(FRANCE, answer_last=True)]
    assert clozes == ["The capital of France is the city of [Y]."]


def test_others_leave_the_subject_out() -> None:
    assert [fact.subject for fact in relation().other_facts(FRANCE)] == ["Japan"]
    assert len(relation().other_facts(Fact("capital", "Atlantis", "Poseidonis"))) == 2


def test_a_fact_is_found_by_its_subject_in_any_case_and_without_its_article() -> None:
    assert relation().fact(" france ") == FRANCE
    assert load_relation("capital").fact("Netherlands").subject == "the Netherlands"


def test_an_exact_match_comes_before_one_of_another_case() -> None:
    facts = Fact("r", "turkey", "bird"), Fact("r", "Turkey", "country")
    assert relation(*facts).fact("turkey").answer == "bird"
    with pytest.raises(AmbiguousSubject):
        relation(*facts).fact("TURKEY")


def test_an_unknown_subject_lists_close_ones() -> None:
    with pytest.raises(UnknownSubject) as caught:
        relation().fact("Frence")
    assert caught.value.close == ("France",)
    assert "did you mean France?" in str(caught.value)


def test_an_unknown_subject_with_its_answer_is_a_new_fact() -> None:
    assert relation().fact("Atlantis", "Poseidonis") == Fact("capital", "Atlantis", "Poseidonis")


def test_an_answer_replaces_the_known_one_and_keeps_the_spelling_of_the_subject() -> None:
    assert relation().fact("france", " Lyon ") == Fact("capital", "France", "Lyon")


@pytest.mark.parametrize("answer", ["", "  "])
def test_an_empty_answer_is_refused(answer: str) -> None:
    with pytest.raises(EmptyField, match="answer"):
        relation().fact("France", answer)


def test_a_subject_with_several_answers_has_to_be_told_apart() -> None:
    two = relation(Fact("capital", "Georgia", "Tbilisi"), Fact("capital", "Georgia", "Atlanta"))
    with pytest.raises(AmbiguousSubject, match="Tbilisi and Atlanta"):
        two.fact("Georgia")
    assert two.fact("Georgia", "Tbilisi") in two.facts
