"""The relation packs that ship, and the neutral text."""

from __future__ import annotations

from pathlib import Path

import pytest

import kn_edit.facts
from kn_edit.facts import bundled, load_relation, neutral_sentences, read_cases

NAMES = ("capital", "continent", "country", "currency", "language", "symbol")


def test_six_relations_ship() -> None:
    assert bundled() == NAMES


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
    assert relation.licence


def test_what_the_packs_say_of_some_subjects() -> None:
    known = {
        "capital": {"France": "Paris", "Kazakhstan": "Astana", "Myanmar": "Naypyidaw"},
        "continent": {"Brazil": "South America", "Kenya": "Africa"},
        "country": {"Lyon": "France", "Osaka": "Japan"},
        "currency": {"Japan": "yen", "Croatia": "euro"},
        "language": {"Austria": "German", "Brazil": "Portuguese"},
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
