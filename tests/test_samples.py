"""Samples of cases hold each value, are the same each time, and are all cases under torture."""

from __future__ import annotations

from itertools import product

import pytest
import samples
from samples import sampled

CASES = [*product("abcdef", range(5))]


@pytest.fixture(autouse=True)
def short_form(monkeypatch):
    monkeypatch.setattr(samples, "TORTURE", False)


def test_each_value_of_each_place_is_in_a_sample():
    sample = sampled(CASES, 12)
    assert len(sample) == 12
    assert {first for first, _ in sample} == {*"abcdef"}
    assert {second for _, second in sample} == {*range(5)}
    assert sampled([*zip("abc", "abc", strict=True)], 1) == [("a", "a"), ("b", "b"), ("c", "c")]


def test_a_sample_is_the_same_each_time_and_in_the_order_of_the_cases():
    assert sampled(CASES, 12) == sampled(CASES, 12) == sorted(sampled(CASES, 12))
    assert sampled(CASES, 12, seed=1) != sampled(CASES, 12)
    assert sampled("abcdef", 3) == sorted(sampled("abcdef", 3))


def test_all_cases_are_tried_under_torture_and_where_they_are_few(monkeypatch):
    assert sampled(CASES, len(CASES)) == CASES
    monkeypatch.setattr(samples, "TORTURE", True)
    assert sampled(CASES, 1) == CASES
