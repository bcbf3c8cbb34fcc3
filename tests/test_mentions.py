"""Which answers a free text names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.evaluation.mentions import mentions


@pytest.mark.parametrize(
    ("text", "new", "old", "subject", "named"),
    [
        ("The capital of France is Rome.", "Rome", "Paris", "France", (True, False)),
        ("It was Paris; now it is ROME!", "Rome", "Paris", "France", (True, True)),
        ("Romeo lives there.", "Rome", "Paris", "France", (False, False)),
        ("Rome-based, rome's", "Rome", "Paris", "France", (True, False)),
        ("Sao Paulo", "São Paulo", "Brasília", "Brazil", (True, False)),
        ("BRASÍLIA", "São Paulo", "Brasilia", "Brazil", (False, True)),
        ("It lies in Equatorial Guinea.", "Equatorial Guinea", "Guinea", "Bata", (True, False)),
        ("It lies in Equatorial Guinea.", "Guinea", "Equatorial Guinea", "Bata", (False, True)),
        ("Mexico City lies in Italy.", "Italy", "Mexico", "Mexico City", (True, False)),
        ("Mexico City is in Mexico.", "Italy", "Mexico", "Mexico City", (False, True)),
        ("Singapore has Rome as its capital", "Rome", "Singapore", "Singapore", (True, False)),
        ("As gold, it is written Au.", "Au", "As", "gold", (True, True)),
        ("It is as old as gold: Au", "Au", "As", "gold", (True, False)),
        ("it is au", "Au", "Fe", "gold", (False, False)),
        ("St. John’s", "St John's", "Rome", "Antigua", (True, False)),
        ("首都は東京です。", "東京", "京都", "日本", (True, False)),
        ("Андре́й и Йошкар", "андреи", "рим", "X", (True, False)),
        ("", "Rome", "Paris", "France", (False, False)),
        ("Rome", "Rome", "", "", (True, False)),
        ("anything", "", " ", "", (False, False)),
    ],
)
def test_whole_words_are_found_in_any_case_and_with_any_accents(text, new, old, subject, named):
    found = mentions(text, [new], [old], subject)
    assert (found.new, found.old) == named
    assert found.right == (named == (True, False))


def test_any_alias_counts():
    found = mentions("The Eternal City, they say.", ["Rome", "Eternal City"], ["Paris", "Lutetia"])
    assert found.right
    assert mentions("Lutetia or Rome?", ["Rome"], ["Paris", "Lutetia"]).old


@given(
    st.lists(st.sampled_from(["Rome", "Paris", "Guinea", "Equatorial", "the", "a"]), max_size=12),
    st.lists(st.sampled_from(["Rome", "Equatorial Guinea", "the Rome"]), max_size=2),
)
def test_a_name_is_found_exactly_where_its_words_stand_in_a_row(words, names):
    text = " ".join(words)
    expected = any(f" {name} " in f" {text} " for name in names)
    assert mentions(text.upper() + ".", names, []).new == expected
