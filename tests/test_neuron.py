"""The name of a neuron."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.errors import ExitCode, NotANeuron
from kn_edit.neuron import NeuronId


@given(st.integers(0, 10**6 - 1), st.integers(0, 10**9 - 1))
def test_a_neuron_reads_back_from_its_name(layer, index):
    neuron = NeuronId(layer, index)
    assert NeuronId.parse(str(neuron)) == neuron


def test_a_neuron_prints_as_layer_and_index():
    assert str(NeuronId(9, 2141)) == "L9.2141"
    assert NeuronId.parse(" L9.2141\n") == (9, 2141)


def test_neurons_sort_by_layer_then_index():
    names = ["L10.0", "L2.11", "L2.9"]
    assert [str(n) for n in sorted(map(NeuronId.parse, names))] == ["L2.9", "L2.11", "L10.0"]


@pytest.mark.parametrize(
    "text", ["", "L9", "9.2141", "L9.", "L-1.3", "L9.2141.0", "l9.3", "L9 .3", "L٣.٤", "L9.1e3"]
)
def test_other_text_is_refused_with_an_example(text):
    with pytest.raises(NotANeuron, match=r"write it as L<layer>\.<index>") as refusal:
        NeuronId.parse(text)
    assert refusal.value.exit_code == ExitCode.USAGE


@given(st.text())
def test_any_text_is_a_neuron_or_refused(text):
    try:
        neuron = NeuronId.parse(text)
    except NotANeuron:
        return
    assert NeuronId.parse(str(neuron)) == neuron
