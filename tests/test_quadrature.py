"""Integration rules on polynomials, whose integrals are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kn_edit.neurons.quadrature import FEW, MANY, WEIGHTS, Grading, Panel, riemann_nodes


def integral(weights: tuple[float, ...], degree: int, panel: Panel) -> float:
    values = [node**degree for node in panel.nodes]
    return panel.width * sum(w * value for w, value in zip(weights, values, strict=True))


def exact(degree: int, start: float, end: float) -> float:
    return (end ** (degree + 1) - start ** (degree + 1)) / (degree + 1)


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.25, 0.5), (-1.0, 1.0)])
@pytest.mark.parametrize(
    ("count", "integral_to", "opinion_to", "half_to"), [(FEW, 3, 1, 2), (MANY, 5, 3, 4)]
)
def test_a_rule_integrates_polynomials_exactly_up_to_its_degree(
    start, end, count, integral_to, opinion_to, half_to
):
    panel, weights = Panel(0, start, end, count), WEIGHTS[count]
    whole, half = (start, end), (start, (start + end) / 2)
    for rule, degrees, stretch in [
        (weights.integral, integral_to, whole),
        (weights.opinion, opinion_to, whole),
        (weights.first_half, half_to, half),
    ]:
        for degree in range(degrees + 1):
            expected = exact(degree, *stretch)
            assert integral(rule, degree, panel) == pytest.approx(expected, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("count", "integral_to", "opinion_to"), [(FEW, 3, 1), (MANY, 5, 3)])
def test_a_rule_misses_the_next_degree(count, integral_to, opinion_to):
    panel, weights = Panel(0, -1.0, 1.0, count), WEIGHTS[count]
    for rule, degree in [(weights.integral, integral_to + 1), (weights.opinion, opinion_to + 1)]:
        assert abs(integral(rule, degree, panel) - exact(degree, -1.0, 1.0)) > 1e-2


def test_the_nodes_lie_at_equal_distances_with_both_ends():
    panel = Panel(0, 0.25, 0.5, MANY)
    assert panel.width == 0.25
    assert panel.nodes == (0.25, 0.3125, 0.375, 0.4375, 0.5)
    assert Panel(0, 0.25, 0.5).nodes == panel.nodes[::2]


def test_a_closer_look_uses_every_node_again():
    panel = Panel(4, 0.25, 0.5)
    (closer,) = panel.closer()
    assert set(panel.nodes) < set(closer.nodes)
    halves = closer.closer()
    assert halves == (Panel(4, 0.25, 0.375), Panel(4, 0.375, 0.5))
    assert {t for half in halves for t in half.nodes} == set(closer.nodes)


def test_a_graded_path_ends_at_0_and_1():
    for grading in (Grading(), Grading(0.5), Grading(1e-3), Grading(1e-6)):
        places = [grading.alpha(t / 64) for t in range(65)]
        assert places == sorted(places)
        assert (places[0], places[-1]) == (0.0, 1.0)
    assert Grading(1e-3).alpha(0.5) < 1e-3  # half of the nodes lie next to 0
    assert Grading(1e4).alpha(0.5) == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_large_bend_has_the_weights_of_the_straight_path(count):
    panel = Panel(0, 0.25, 0.5, count)
    straight, bent = Grading().weights(panel), Grading(1e4).weights(panel)
    for rule in ("integral", "opinion", "first_half"):
        assert getattr(bent, rule) == pytest.approx(getattr(straight, rule), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bend", [0.5, 1e-2, 1e-4])
def test_what_a_norm_makes_of_gradients_is_integrated_exactly(bend):
    """Gradients t^k / sqrt(alpha^2 + bend^2), whose integral over alpha is one of tanh^k."""
    top = math.sqrt(1 + bend**2)
    x, w = np.polynomial.legendre.leggauss(200)
    for start, end in [(0.0, 1.0), (0.5, 1.0), (0.0, 0.25)]:
        panel, grading = Panel(0, start, end, MANY), Grading(bend)
        for power in range(5):
            values = [t**power / math.sqrt(grading.alpha(t) ** 2 + bend**2) for t in panel.nodes]
            for weights, stop in [
                (grading.weights(panel).integral, end),
                (grading.weights(panel).first_half, (start + end) / 2),
            ]:
                low, high = (math.asinh(grading.alpha(t) / bend) for t in (start, stop))
                s = (low + high) / 2 + (high - low) / 2 * x
                expected = (high - low) / 2 * float(w @ (top * np.tanh(s)) ** power)
                found = sum(a * b for a, b in zip(weights, values, strict=True))
                assert found == pytest.approx(expected, rel=1e-9)


def test_the_rule_of_the_paper_leaves_out_the_right_end():
    assert riemann_nodes(4) == (0.0, 0.25, 0.5, 0.75)
    assert len(riemann_nodes(20)) == 20
