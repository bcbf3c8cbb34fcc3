"""Subjects and prompts that ship: none is the edited subject, none asks for the edited fact."""

from __future__ import annotations

from random import Random

import pytest

from kn_edit.facts import Template
from kn_edit.facts.subjects import (
    chance,
    general_templates,
    listed_subjects,
    look_alikes,
    names_of_every_kind,
    other_questions,
    other_subjects,
    same_subject,
    subject_in,
)

CEO = (Template("The CEO of [X] is [Y]."),)


def drawn(subject, first=()):
    return other_subjects(subject, chance(subject, CEO), first)


def test_names_of_many_kinds_ship_each_once():
    names = [name for names in listed_subjects().values() for name in names]
    assert len(listed_subjects()) >= 7
    assert len({name.casefold() for name in names}) == len(names) > 180
    assert len(general_templates()) >= 24


@pytest.mark.parametrize("subject", ["Starbucks", "Tim Cook", "tim cook", "the United Nations"])
def test_the_subject_itself_is_never_among_the_others(subject):
    names = drawn(subject)
    assert len(names) > 100
    assert len(set(names)) == len(names)
    assert not any(same_subject(name, subject) for name in names)


def test_equal_facts_draw_equally_and_others_otherwise():
    assert drawn("Starbucks") == drawn("Starbucks")
    assert drawn("Starbucks") != drawn("Nestle")


def test_half_of_the_first_look_like_a_name_of_several_words():
    names = drawn("Brian Niccol")[:24]
    alike = [name for name in names if name.startswith("Brian ") or name.endswith(" Niccol")]
    assert len(alike) == 12
    assert look_alikes("Starbucks", chance("Starbucks", CEO)) == []


def test_what_the_caller_knows_comes_first_then_packs_that_hold_the_subject():
    names = drawn("France", ["Wakanda", "France", "Narnia"])
    assert {*names[:2]} == {"Wakanda", "Narnia"}
    assert "Japan" in names[:250]


def test_other_questions_ask_something_else():
    texts = [
        template.text
        for template in other_questions("Starbucks", ["The CEO of [X] is [Y]."], chance("a", CEO))
    ]
    assert len(texts) > 12
    assert "[X] is led by [Y]." not in texts
    assert "[X] was founded in [Y]." in texts
    births = other_questions("Ann", ["[X] was born in the city of [Y]."], chance("a", CEO))
    assert not any("born" in template.text or "located" in template.text for template in births)


def test_questions_of_packs_that_hold_the_subject_come_first():
    asked = ["The capital of [X] is [Y]."]
    first = other_questions("France", asked, chance("France", CEO))[:3]
    telling = ("continent", "language", "money", "adjective")
    assert all(any(word in template.text for word in telling) for template in first)


def test_a_prompt_with_every_word_leaves_some_question():
    words = " ".join(stem for _, stems in general_templates() for stem in stems)
    assert other_questions("Starbucks", [f"{words} [X] [Y]"], chance("a", CEO))


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("In which city did John D. Terry pass away?", "John D. Terry"),
        ("who wrote the chorale text for wachet auf", "for wachet auf"),
        ("Paris", "Paris"),
        ("?!", "?!"),
    ],
)
def test_the_subject_of_a_prompt_is_guessed(prompt, subject):
    assert subject_in(prompt) == subject


@pytest.mark.parametrize("subject", ["Starbucks", "Marie Curie", "東京"])
def test_names_of_every_kind_hold_each_kind_once_and_never_the_subject(subject):
    names = names_of_every_kind(subject, Random(0))
    assert len(names) == len({*names}) > 200
    for kind, listed in listed_subjects().items():
        assert len({*names} & {*listed}) >= len(listed) - 1, kind
    assert subject not in names
    assert names == names_of_every_kind(subject, Random(0))
