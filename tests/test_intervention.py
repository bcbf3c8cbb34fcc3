"""Scaled coefficients, against a hook written for the purpose."""

from __future__ import annotations

import pytest
import torch
from tiny_models import D_FF, LAYERS, SHAPES, VOCABULARY, tiny

from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess
from kn_edit.neurons.intervention import p_when_scaled

PROMPT = Prompt(Fact("capital", "France", "Paris"), Template("[X] [Y]"))
NEURONS = (NeuronId(0, 1), NeuronId(LAYERS - 1, 0), NeuronId(LAYERS - 1, D_FF - 1))


def chain(model: Model, *words: int, token: int = 8) -> Chain:
    if model.causal:
        return Chain(PROMPT, (Question(words, len(words) - 1, token),))
    ids = (*words[:1], VOCABULARY["[MASK]"], *words[1:])
    return Chain(PROMPT, (Question(ids, 1, token),))


def plain_p(model: Model, question: Question, factor: float) -> float:
    """The same by torch alone, one question at a time."""

    def scale(layer: int):
        def hook(_module, inputs):
            changed = inputs[0].clone()
            flat = changed.reshape(len(question.ids), -1)
            for neuron in NEURONS:
                if neuron.layer == layer:
                    flat[question.position, neuron.index] *= factor
            return (flat.reshape(changed.shape),)

        return hook

    handles = [
        down.register_forward_pre_hook(scale(layer)) for layer, down in enumerate(model.downs)
    ]
    with torch.no_grad():
        logits = model.net(input_ids=torch.tensor([question.ids])).logits[0, question.position]
    for handle in handles:
        handle.remove()
    return float(logits.float().softmax(-1)[question.token])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0])
def test_scaling_equals_a_plain_hook(shape, factor):
    model = tiny(shape)
    chains = [chain(model, 9, 10, 11), chain(model, 12, 9), chain(model, 7, 9, 8, 10, 11)]
    found = p_when_scaled(model, chains, NEURONS, factor)
    expected = [plain_p(model, one.questions[0], factor) for one in chains]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_factor_of_one_changes_nothing_and_another_does(shape):
    model = tiny(shape)
    chains = [chain(model, 9, 10, 11)]
    (before,) = assess(model, chains)
    assert p_when_scaled(model, chains, NEURONS, 1.0) == pytest.approx([before.p], rel=1e-5)
    assert p_when_scaled(model, chains, NEURONS, 30.0) != pytest.approx([before.p], rel=1e-3)
    assert p_when_scaled(model, chains, (), 30.0) == pytest.approx([before.p], rel=1e-5)
    assert not any(down._forward_pre_hooks for down in model.downs)


def test_p_of_a_chain_is_the_product_of_its_tokens():
    model = tiny("llama")
    first, second = Question((9, 10), 1, 11), Question((9, 10, 11), 2, 8)
    (whole,) = p_when_scaled(model, [Chain(PROMPT, (first, second))], NEURONS, 2.0)
    parts = [plain_p(model, one, 2.0) for one in (first, second)]
    assert whole == pytest.approx(parts[0] * parts[1], rel=1e-4)
