"""Sentences found for facts: which fact they speak of, and that bad files are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kn_edit.errors import BadFacts, UnreadableFacts
from kn_edit.facts import Fact, Relation, load_relation, read_sentences, split_at

BINGREL = Path(__file__).parents[2] / "shared" / "data" / "bingrel" / "P36.json"
RELATION = Relation(
    "capital",
    (),
    (
        Fact("capital", "Niger", "Niamey"),
        Fact("capital", "Nigeria", "Abuja"),
        Fact("capital", "Mexico", "Mexico City"),
    ),
)


def written(folder, *entries):
    file = folder / "some.json"
    file.write_text(json.dumps([{"th_bags": both, "h_bags": only} for both, only in entries]))
    return file


def test_an_entry_is_matched_to_the_fact_that_most_of_its_sentences_name(tmp_path):
    both = ["Abuja is in Nigeria.", "Nigeria (Abuja) and Niger", "Lagos, Nigeria"]
    only = ["Nigeria exports oil.", "Nigerian music", "From Nigeria to Abuja"]
    (found,) = read_sentences(written(tmp_path, (both, only)), RELATION)
    assert found.fact.subject == "Nigeria"
    assert found.expressing == tuple(both[:2])
    assert found.mentioning == ("Nigeria exports oil.",)


def test_an_entry_about_no_fact_is_passed_over_and_the_first_of_a_fact_counts(tmp_path):
    about = (["Niamey, Niger"], ["Niger grows"])
    unknown = (["Ouagadougou, Burkina Faso"], ["Burkina Faso is dry"])
    again = (["Niger: Niamey"], [])
    (found,) = read_sentences(written(tmp_path, unknown, about, again), RELATION)
    assert found.expressing == ("Niamey, Niger",)


def test_a_name_counts_only_as_words_of_its_own():
    assert split_at("Nigeria, Niger", "Niger") == ("Nigeria, ", "")
    assert split_at("Nigerians", "Niger") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "not a list"),
        ("[]", "no entry speaks of a fact of capital"),
        ('[{"th_bags": []}]', '"h_bags" is missing'),
        ('[{"th_bags": [3], "h_bags": []}]', "not text"),
    ],
)
def test_a_bad_file_is_named_with_what_to_do(tmp_path, text, problem):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(BadFacts, match=problem) as caught:
        read_sentences(file, RELATION)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnreadableFacts):
        read_sentences(tmp_path / "none.json", RELATION)


def test_bingrel_speaks_of_many_capitals():
    if not BINGREL.exists():
        pytest.skip(f"{BINGREL} is not here")
    found = read_sentences(BINGREL, load_relation("capital"))
    assert len(found) >= 50
    assert all(one.expressing for one in found)
