"""From scores to knowledge neurons."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import torch
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.neuron import NeuronId
from kn_edit.neurons.selection import (
    DEEP,
    Thresholds,
    as_many_elsewhere,
    coarse,
    fact_specific,
    fitted_share,
    refined,
    relation_neurons,
    relation_specific,
    upper_first,
)

names = st.builds(NeuronId, st.integers(0, 2), st.integers(0, 3))
sets = st.frozensets(names, max_size=8)
prompts_of_a_fact = st.lists(sets, min_size=1, max_size=12)
shares = st.integers(0, 100).map(lambda percent: percent / 100)
scores = st.dictionaries(names, st.floats(-4, 4, width=32), min_size=1).map(
    lambda known: sorted(known.items(), key=lambda pair: -pair[1])
)

A, B, C = NeuronId(0, 1), NeuronId(1, 0), NeuronId(2, 7)


@given(scores, shares)
def test_coarse_neurons_are_those_at_or_above_the_share_of_the_largest_score(ranked, threshold):
    largest = max(score for _, score in ranked)
    expected = {neuron for neuron, score in ranked if largest > 0 and score >= threshold * largest}
    assert coarse(ranked, threshold) == expected


@given(scores, shares, shares)
def test_a_higher_threshold_only_loses_coarse_neurons(ranked, one, other):
    assert coarse(ranked, max(one, other)) <= coarse(ranked, min(one, other))


@given(scores.filter(lambda ranked: ranked[0][1] > 0), shares)
def test_the_best_neuron_is_always_coarse(ranked, threshold):
    assert ranked[0][0] in coarse(ranked, threshold)


def test_without_a_positive_score_there_is_no_neuron():
    assert coarse([], 0.2) == frozenset()
    assert coarse([(A, 0.0), (B, 0.0)], 0.2) == frozenset()
    assert coarse([(A, -1.0), (B, -2.0)], 0.2) == frozenset()


@given(prompts_of_a_fact, shares, st.integers(0, 5))
def test_refined_neurons_are_coarse_for_enough_prompts(prompts, share, least):
    needed = max(Fraction(share).limit_denominator(100) * len(prompts), min(least, len(prompts)), 1)
    counts = {name: sum(name in prompt for prompt in prompts) for name in set().union(*prompts)}
    expected = {name for name, count in counts.items() if count >= needed}
    assert refined(prompts, share, least) == expected


@given(prompts_of_a_fact, shares, shares, st.integers(0, 5))
def test_a_higher_share_only_loses_refined_neurons(prompts, one, other, least):
    assert refined(prompts, max(one, other), least) <= refined(prompts, min(one, other), least)


@given(prompts_of_a_fact, shares)
def test_no_order_of_the_prompts_matters(prompts, share):
    assert refined(prompts, share, 3) == refined(prompts[::-1], share, 3)


def test_at_least_three_prompts_must_share_a_neuron_where_there_are_three():
    assert refined([{A}, {A}, {B}, {B}], 0.5, 3) == frozenset()
    assert refined([{A}, {A}, {A, B}, {B}], 0.5, 3) == {A}
    assert refined([{A}, {A, B}], 0.5, 3) == {A}
    assert refined([{A, B}], 0.7, 3) == {A, B}


def test_a_neuron_of_exactly_the_share_is_kept():
    assert refined([{A}] * 7 + [set()] * 3, 0.7, 3) == {A}
    assert refined([{A}] * 6 + [set()] * 4, 0.7, 3) == frozenset()


def test_without_prompts_there_is_no_neuron():
    assert refined([], 0.7, 3) == frozenset()


@given(st.lists(prompts_of_a_fact, min_size=1, max_size=4), shares, st.integers(0, 8))
def test_the_share_stays_within_its_moves(facts, shared, moves):
    thresholds = Thresholds(shared=shared, moves=moves)
    found = fitted_share(facts, thresholds)
    assert found <= max(1.0, shared)
    assert abs(found - shared) <= moves * thresholds.step + 1e-9
    steps = (found - shared) / thresholds.step
    assert abs(steps - round(steps)) < 1e-6 or found == 1.0


def counted(numbers: list[int], prompts: int = 20) -> list[frozenset[NeuronId]]:
    """Prompts among which neuron i is coarse for numbers[i] of them."""
    return [
        frozenset(NeuronId(0, i) for i, number in enumerate(numbers) if prompt < number)
        for prompt in range(prompts)
    ]


def test_a_share_that_gives_the_wanted_count_is_kept():
    assert fitted_share([counted([14, 15, 16])], Thresholds()) == 0.7


def test_with_too_few_neurons_the_share_falls_until_there_are_enough():
    assert fitted_share([counted([20, 11, 11])], Thresholds()) == 0.55


def test_with_too_many_neurons_the_share_rises_until_few_are_left():
    assert fitted_share([counted([20, 20, *[15] * 6])], Thresholds()) == 0.8


def test_the_share_gives_up_after_its_moves():
    assert fitted_share([counted([20])], Thresholds()) == 0.4
    assert fitted_share([counted([20] * 9)], Thresholds()) == 1.0
    assert fitted_share([counted([20] * 9)], Thresholds(moves=2)) == 0.8


def test_a_share_that_jumps_over_the_wanted_range_stops_there():
    """One step too many neurons, the next too few: going back and forth would not end."""
    facts = [counted([20, *[14] * 8])]
    assert fitted_share(facts, Thresholds()) == 0.75


def test_the_mean_over_the_facts_decides():
    facts = [counted([20] * 6), counted([20])]  # 6 and 1: 3.5 on average
    assert fitted_share(facts, Thresholds()) == 0.7


def test_neurons_of_more_than_a_tenth_of_the_other_facts_speak_for_the_relation():
    assert relation_neurons([{A}] + [set()] * 9, 0.1) == frozenset()  # exactly a tenth
    assert relation_neurons([{A}, {A}] + [set()] * 8, 0.1) == {A}
    assert relation_neurons([{A}, {B}], 0.1) == {A, B}
    assert relation_neurons([], 0.1) == frozenset()
    assert (
        relation_neurons([{A}] * 29 + [set()] * 21, 0.58) == frozenset()
    )  # 0.58 * 50 < 29 in floats
    assert relation_neurons([{A, B}] * 3 + [{C}] * 17, 0.15) == {C}


@given(st.lists(sets, max_size=30), shares)
def test_speaking_for_the_relation_is_counted_exactly(others, share):
    allowed = Fraction(share).limit_denominator(100) * len(others)
    counts = {name: sum(name in fact for fact in others) for name in set().union(*others)}
    assert relation_neurons(others, share) == {name for name, n in counts.items() if n > allowed}


def test_a_neuron_that_fires_elsewhere_comes_after_those_of_the_fact():
    everywhere, here, weak = NeuronId(0, 0), NeuronId(0, 1), NeuronId(1, 1)
    ranking = [(everywhere, 1.0), (here, 0.6), (weak, 0.4)]
    own = torch.tensor([[4.0, 3.0, 1.0], [4.0, 5.0, 1.0]])
    elsewhere = torch.tensor([[4.0, 0.0, 0.5], [-4.0, 0.0, -0.5]])
    assert fact_specific(ranking, own, elsewhere) == (here, weak, everywhere)


def test_a_neuron_that_hardly_fires_at_all_is_no_better_for_firing_nowhere_else():
    seldom, silent = NeuronId(0, 0), NeuronId(0, 1)
    own, elsewhere = torch.tensor([[1.0, 1e-3]]), torch.tensor([[0.05, 0.0]])
    assert fact_specific([(seldom, 0.5), (silent, 1e-4)], own, elsewhere) == (seldom, silent)


def test_neurons_that_never_fire_keep_the_order_of_their_scores():
    nothing = torch.zeros(2, 2)
    ranking = [(NeuronId(0, 1), 0.5), (NeuronId(1, 0), 0.3)]
    assert fact_specific(ranking, nothing, nothing) == (NeuronId(0, 1), NeuronId(1, 0))
    assert fact_specific(ranking, nothing, nothing[:0]) == (NeuronId(0, 1), NeuronId(1, 0))


def test_neurons_serve_only_a_relation_when_they_fire_less_elsewhere():
    own, others = torch.zeros(2, 1, 3), torch.zeros(3, 1, 3)
    own[:, 0, 0], others[:, 0, 0] = 2.0, 1.0  # half as much elsewhere: a quarter of its share
    own[:, 0, 1] = torch.tensor([3.0, -3.0])  # either sign, and silent elsewhere
    own[:, 0, 2], others[:, 0, 2] = 1.0, 4.0  # more elsewhere
    shares = {NeuronId(0, 0): 0.9, NeuronId(0, 1): 0.3, NeuronId(0, 2): 1.0}
    assert relation_specific(shares, own, others) == (NeuronId(0, 1), NeuronId(0, 0))


def test_a_control_ends_where_a_layer_has_no_more_neurons():
    most = [NeuronId(0, index) for index in range(6)]
    every = [NeuronId(1, index) for index in range(8)]
    control = as_many_elsewhere([*most, *every], 8, Random(0))
    assert control == {NeuronId(0, 6), NeuronId(0, 7)}


@given(st.lists(st.builds(NeuronId, st.integers(0, 29), st.integers(0, 3)), unique=True))
def test_the_upper_half_of_many_layers_comes_first_and_orders_stay(neurons):
    upper = [neuron for neuron in neurons if neuron.layer >= 15]
    lower = [neuron for neuron in neurons if neuron.layer < 15]
    assert upper_first(neurons, 30) == (*upper, *lower)


@given(st.lists(names, unique=True))
def test_a_model_of_few_layers_has_nothing_far_below(neurons):
    assert upper_first(neurons, DEEP - 1) == tuple(neurons)
