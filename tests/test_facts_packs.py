"""The relation packs that ship, and the neutral text."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import kn_edit.facts
from kn_edit.facts import bundled, load_relation, neutral_sentences, read_cases

NAMES = (
    "capital",
    "class",
    "continent",
    "country",
    "currency",
    "demonym",
    "homeland",
    "kind",
    "language",
    "mythology",
    "nationality",
    "occupation",
    "script",
    "state",
    "symbol",
)
LARGE = (  # at least 150 facts each
    "class",
    "demonym",
    "homeland",
    "kind",
    "mythology",
    "nationality",
    "occupation",
    "script",
    "state",
)
PEOPLE = ("nationality", "occupation")


def test_fifteen_relations_ship_with_some_thousand_facts() -> None:
    assert bundled() == NAMES
    assert len(NAMES) >= 10
    assert sum(len(load_relation(name).facts) for name in NAMES) >= 2000


@pytest.mark.parametrize("name", LARGE)
def test_a_large_pack_has_single_words_for_answers_but_for_two(name: str) -> None:
    facts = load_relation(name).facts
    assert 150 <= len(facts) <= 420
    answers = {fact.answer for fact in facts}
    assert len([answer for answer in answers if not answer.isalpha()]) <= 2
    assert all(len(fact.subject.split()) <= 4 for fact in facts)


@pytest.mark.parametrize("name", sorted(set(LARGE) - {"demonym", "homeland"}))
def test_an_answer_of_a_large_pack_has_three_subjects(name: str) -> None:
    counts = Counter(fact.answer for fact in load_relation(name).facts)
    assert min(counts.values()) >= 3


def test_answers_of_demonym_stand_for_one_place_each() -> None:
    facts = load_relation("demonym").facts
    assert len({fact.answer for fact in facts}) == len(facts)


def test_many_people_have_both_a_nationality_and_an_occupation() -> None:
    subjects = [{fact.subject for fact in load_relation(name).facts} for name in PEOPLE]
    assert len(set.intersection(*subjects)) >= 200


@pytest.mark.parametrize("name", LARGE)
def test_no_template_says_a_or_an_right_before_the_answer(name: str) -> None:
    for template in load_relation(name).templates:
        assert not re.search(r"\ban? \[Y\]", template.text, re.IGNORECASE)


def test_the_notices_of_the_sources_ship_beside_the_packs() -> None:
    folder = Path(kn_edit.facts.__file__).parent / "packs"
    notices = (folder / "NOTICES.txt").read_text(encoding="utf-8")
    for owner in ("GeoNames", "Princeton University", "Unicode, Inc."):
        assert owner in notices
    for name in NAMES:
        assert name == "symbol" or re.search(rf"\b{name}\b", notices)


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_has_enough_facts_each_about_another_subject(name: str) -> None:
    facts = load_relation(name).facts
    assert len(facts) >= (100 if name in ("capital", "symbol", "country") else 60)
    subjects = {fact.subject.casefold().removeprefix("the ") for fact in facts}
    assert len(subjects) == len(facts)
    assert all(fact.stated and fact.relation == name for fact in facts)
    assert all(fact.subject != fact.answer for fact in facts)


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_has_enough_templates_of_every_kind(name: str) -> None:
    relation = load_relation(name)
    fact = relation.facts[0]
    trained = relation.prompts(fact, answer_last=True)
    held_out = relation.prompts(fact, held_out=True, answer_last=True)
    answer_earlier = [each for each in relation.templates if not each.answer_last]
    assert len(trained) >= 4
    assert len(held_out) == 3 == sum(each.held_out for each in relation.templates)
    assert len(answer_earlier) >= 3
    assert len(relation.templates) >= 10
    assert len({each.text.casefold() for each in relation.templates}) == len(relation.templates)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_of_a_pack_begin_with_a_capital_letter(name: str) -> None:
    relation = load_relation(name)
    for fact in relation.facts:
        for template in relation.templates:
            sentence = template.text.replace("[X]", fact.subject).replace("[Y]", fact.answer)
            assert sentence[0].isupper() or template.text.startswith("[Y]"), sentence
            assert sentence.endswith(".")
            assert "  " not in sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_says_where_it_comes_from(name: str) -> None:
    relation = load_relation(name)
    assert relation.source
    assert relation.license


def test_what_the_packs_say_of_some_subjects() -> None:
    known = {
        "capital": {"France": "Paris", "Kazakhstan": "Astana", "Myanmar": "Naypyidaw"},
        "class": {"lion": "mammal", "penguin": "bird", "whale": "mammal"},
        "continent": {"Brazil": "South America", "Kenya": "Africa"},
        "country": {"Lyon": "France", "Osaka": "Japan"},
        "currency": {"Japan": "yen", "Croatia": "euro"},
        "demonym": {"the Netherlands": "Dutch", "Naples": "Neapolitan"},
        "homeland": {"Yoruba": "Nigeria", "Tagalog": "the Philippines"},
        "kind": {"violin": "instrument", "willow": "tree"},
        "language": {"Austria": "German", "Brazil": "Portuguese"},
        "mythology": {"Zeus": "Greek", "Odin": "Norse", "Osiris": "Egyptian"},
        "nationality": {"Wolfgang Amadeus Mozart": "Austrian"},
        "occupation": {"Wolfgang Amadeus Mozart": "composer", "Jane Austen": "novelist"},
        "script": {"Russian": "Cyrillic", "Urdu": "Arabic", "Hindi": "Devanagari"},
        "state": {"Chicago": "Illinois", "Dallas": "Texas"},
        "symbol": {"gold": "Au", "hydrogen": "H", "oganesson": "Og"},
    }
    for name, facts in known.items():
        relation = load_relation(name)
        assert {subject: relation.fact(subject).answer for subject in facts} == facts


def test_a_bundled_pack_is_a_file_of_cases_too() -> None:
    path = Path(kn_edit.facts.__file__).parent / "packs" / "symbol.json"
    assert [case.fact for case in read_cases(path)] == list(load_relation("symbol").facts)


def test_neutral_sentences_are_many_distinct_and_of_middle_length() -> None:
    sentences = neutral_sentences()
    assert len(set(sentences)) == len(sentences) >= 40
    assert all(12 <= len(sentence.split()) <= 25 for sentence in sentences)


def test_neutral_sentences_mention_no_fact_of_the_packs() -> None:
    text = " ".join(neutral_sentences())
    for name in NAMES:
        for fact in load_relation(name).facts:
            for word in (fact.subject, fact.answer):
                assert len(word) < 3 or f" {word} " not in text
