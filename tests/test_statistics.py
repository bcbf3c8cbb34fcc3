"""Means with bootstrap intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.evaluation.statistics import (
    change,
    harmonic,
    mean,
    mean_of_groups,
    mean_of_shared,
    percent,
)

shares = st.lists(st.floats(0.01, 1), min_size=1, max_size=30)


@given(shares)
def test_an_interval_holds_its_mean_and_stays_within_the_values(values):
    found = mean(values)
    assert found.value == pytest.approx(sum(values) / len(values))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9 or len(values) > 1
    assert found.count == len(values)


def test_more_facts_make_the_interval_narrower():
    few, many = mean([0.0, 1.0] * 5), mean([0.0, 1.0] * 500)
    assert few.high - few.low > 3 * (many.high - many.low)
    assert many.high - many.low == pytest.approx(2 * 1.96 * (0.25 / 1000) ** 0.5, rel=0.15)


def test_values_that_belong_together_count_as_one_for_the_interval():
    """Fifty facts that one prompt judges say no more than that prompt does."""
    alike = [[0.0] * 50, [1.0] * 50, [0.0] * 50, [1.0] * 50]
    by_groups, by_values = mean_of_groups(alike), mean([value for of in alike for value in of])
    four = mean([0.0, 1.0, 0.0, 1.0])
    assert (by_groups.value, by_groups.count) == (by_values.value, by_values.count) == (0.5, 200)
    assert (by_groups.low, by_groups.high) == (four.low, four.high)
    assert by_groups.high - by_groups.low > 5 * (by_values.high - by_values.low)


@given(shares)
def test_a_value_in_each_group_is_the_mean_over_values(values):
    found, expected = mean_of_groups([[value] for value in values]), mean(values)
    assert (found.low, found.value, found.high) == pytest.approx(
        (expected.low, expected.value, expected.high)
    )


def test_prompts_that_judge_all_updates_decide_how_sure_their_mean_is():
    outcomes = [(prompt, float(prompt % 2)) for prompt in range(6)]
    shared, alone = mean_of_shared([outcomes] * 100), mean([value for _, value in outcomes])
    assert (shared.value, shared.count) == (0.5, 100)
    assert shared.high - shared.low == pytest.approx(alone.high - alone.low, abs=0.1)


def test_prompts_of_each_update_leave_the_interval_over_updates():
    values = [float(number % 2) for number in range(60)]
    rows = [
        [((number, prompt), value) for prompt in range(30)] for number, value in enumerate(values)
    ]
    own, over_updates = mean_of_shared(rows), mean(values)
    assert own.value == over_updates.value
    assert own.high - own.low == pytest.approx(over_updates.high - over_updates.low, rel=0.15)


def test_each_update_counts_as_much_however_many_prompts_judge_it():
    assert mean_of_shared([[("a", 1.0), ("b", 1.0), ("c", 1.0)], [("d", 0.0)]]).value == 0.5
    assert mean_of_shared([[("a", 0.75)]]).low == 0.75


def test_larger_groups_count_for_more():
    assert mean_of_groups([[1.0, 1.0, 1.0], [0.0]]).value == 0.75


def test_the_same_values_give_the_same_interval():
    assert mean([0.1, 0.4, 0.9]) == mean([0.1, 0.4, 0.9])


@given(shares, st.floats(0, 3))
def test_a_change_in_proportion_has_no_spread(before, factor):
    found = change(before, [factor * value for value in before])
    assert found.value == pytest.approx(factor - 1)
    assert (found.low, found.high) == (pytest.approx(factor - 1), pytest.approx(factor - 1))


def test_a_change_is_of_means_and_resampled_in_pairs():
    found = change([0.9, 0.1], [0.45, 0.1])
    assert found.value == pytest.approx(0.55 / 1.0 - 1)
    assert found.low == pytest.approx(-0.5)  # both draws the first fact
    assert found.high == pytest.approx(0.0)  # both the second


def test_the_harmonic_mean():
    assert harmonic([1.0, 0.5]) == pytest.approx(2 / 3)
    assert harmonic([1.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("relative", "words"),
    [
        (0.0274, "+2.7%"),
        (-0.5, "-50.0%"),
        (108.627, "+10,862.7%"),
        (4558243546.35, "+4.6e+11%"),
    ],
)
def test_changes_are_told_in_percent_and_with_an_exponent_where_digits_say_nothing(relative, words):
    assert percent(relative) == words


def test_a_change_is_told_with_its_interval():
    assert change([0.9, 0.1], [0.45, 0.1]).as_change() == "-45.0% [-50.0%, +0.0%]"
