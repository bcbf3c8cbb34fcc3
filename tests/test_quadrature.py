"""Integration rules on polynomials, whose integrals are known."""

from __future__ import annotations

import pytest
import torch

from kn_edit.neurons.quadrature import GAUSS, KRONROD, NODES, PLACES, Panel, riemann_nodes


def integral(weights: tuple[float, ...], degree: int, panel: Panel) -> float:
    values = torch.tensor([[node**degree] for node in panel.nodes], dtype=torch.float64)
    return float(panel.integral(values, weights))


@pytest.mark.parametrize("panel", [Panel(0, 0.0, 1.0), Panel(0, 0.25, 0.5), Panel(0, -1.0, 1.0)])
@pytest.mark.parametrize(("weights", "exact_to"), [(KRONROD, 11), (GAUSS, 5)])
def test_a_rule_integrates_polynomials_exactly_up_to_its_degree(panel, weights, exact_to):
    for degree in range(exact_to + 1):
        expected = (panel.end ** (degree + 1) - panel.start ** (degree + 1)) / (degree + 1)
        assert integral(weights, degree, panel) == pytest.approx(expected, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize(("weights", "degree"), [(KRONROD, 12), (GAUSS, 6)])
def test_a_rule_misses_the_next_degree(weights, degree):
    assert abs(integral(weights, degree, Panel(0, -1.0, 1.0)) - 2 / (degree + 1)) > 1e-6


def test_the_inner_rule_uses_every_other_node_of_the_outer_one():
    assert len(PLACES) == len(KRONROD) == len(GAUSS) == NODES == 7
    assert [weight != 0 for weight in GAUSS] == [False, True] * 3 + [False]
    assert tuple(-place for place in reversed(PLACES)) == PLACES
    assert list(PLACES) == sorted(PLACES)


def test_the_nodes_lie_inside_the_panel_from_left_to_right():
    panel = Panel(0, 0.25, 0.5)
    assert panel.width == 0.25
    assert list(panel.nodes) == sorted(panel.nodes)
    assert panel.start < panel.nodes[0] < panel.nodes[-1] < panel.end


def test_halves_meet_in_the_middle_and_sum_to_the_whole():
    whole = Panel(4, 0.25, 0.5)
    left, right = whole.halved()
    assert (left, right) == (Panel(4, 0.25, 0.375), Panel(4, 0.375, 0.5))
    parts = integral(KRONROD, 9, left) + integral(KRONROD, 9, right)
    assert parts == pytest.approx(integral(KRONROD, 9, whole), rel=1e-14)


def test_every_neuron_is_integrated_on_its_own_in_float64():
    panel = Panel(0, 0.0, 1.0)
    gradients = torch.tensor([[1.0, node, node**2] for node in panel.nodes])  # float32
    found = panel.integral(gradients, KRONROD)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.tensor([1, 1 / 2, 1 / 3]).double(), rtol=0, atol=1e-7)


def test_the_rule_of_the_paper_leaves_out_the_right_end():
    assert riemann_nodes(4) == (0.0, 0.25, 0.5, 0.75)
    assert len(riemann_nodes(20)) == 20
