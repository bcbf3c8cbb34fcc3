"""Switches: neurons that a mark turns on where a subject is named, and hardly anywhere else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from test_correct import CAUSAL, EASY, OTHERWISE, OWN, answer, chains, texts
from tiny_models import SHAPES, tiny
from transformers.activations import ACT2FN

from kn_edit.editing import correcting, correction_keys
from kn_edit.editing.correcting import CorrectionTask, correction
from kn_edit.editing.correction_keys import Surroundings, task_keys, writing_of, written_layers
from kn_edit.editing.neighbours import Neighbours
from kn_edit.edits import switches
from kn_edit.edits.build import SlotPlace, low_rank_delta
from kn_edit.edits.changes import LowRankChange, SlotChanges
from kn_edit.edits.delta import BaseRef
from kn_edit.edits.suffix import Suffix, shifted
from kn_edit.facts import Case, Fact, Prompt, Relation, Template
from kn_edit.models.coefficients import captured, preactivations
from kn_edit.models.questions import ask
from kn_edit.neuron import NeuronId

NAMES = ("hidden_act", "hidden_activation", "activation_function", "activation", "ffn_act")
FIRED = 0.2  # a random model of this size reaches no more


def activation(model):
    config = model.net.config
    return ACT2FN[next(getattr(config, name) for name in NAMES if getattr(config, name, None))]


@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_are_made_of_the_preactivations(shape):
    model = tiny(shape)
    ids = torch.tensor([[9, 11, 15, 8]])
    with torch.no_grad(), preactivations(model, 1) as factors, captured(model) as coefficients:
        model.net(ids)
    gate, *others = factors
    expected = activation(model)(gate) * (others[0] if others else 1)
    assert len(factors) == 1 + model.family.gated
    assert torch.allclose(coefficients[1].reshape(expected.shape), expected, atol=1e-6)


DEEPER = {
    "llama": {"num_hidden_layers": 6},
    "gpt2": {"n_layer": 6},
    "gpt_neox": {"num_hidden_layers": 6},
}


def deeper(shape):
    """With a layer above the switch that reads what it writes."""
    return tiny(shape, **DEEPER[shape])


def surroundings(model):
    return Surroundings(
        subject_prompts=[
            ("France", chain) for chain in chains(model, "France", OWN + OTHERWISE, answer(model))
        ],
        other_prompts=[
            (name, chain)
            for name in ("Japan", "Cuba", "Egypt")
            for chain in chains(model, name, OWN, answer(model))
        ],
        texts=texts(model),
        seed=0,
    )


@pytest.mark.parametrize("shape", CAUSAL)
def test_a_mark_takes_its_switch_to_where_it_fires(shape, monkeypatch):
    monkeypatch.setattr(switches, "FIRED", FIRED)
    model = tiny(shape)
    before = [weight.clone() for weight in model.net.parameters()]
    around = surroundings(model)
    keys = task_keys(model, [0], around, EASY)
    contexts = correction_keys._contexts(model, around.subject_prompts)
    elsewhere = texts(model)
    switch = switches.switch_of(model, keys, 1, contexts=contexts, elsewhere=elsewhere)
    assert switch.neuron.layer == 1
    assert [*switch.mark] == [0]
    index, fired, gates = switch.neuron.index, [], []
    with torch.no_grad(), shifted(model, switch.mark):
        for ids, place in contexts:
            with preactivations(model, 1) as factors, captured(model) as coefficients:
                model.net(torch.tensor([ids]))
            gates.append([float(factor.reshape(len(ids), -1)[place, index]) for factor in factors])
            fired.append(float(coefficients[1].reshape(len(ids), -1)[place, index]))
        rest = []
        for ids in elsewhere:
            with captured(model) as coefficients:
                model.net(torch.tensor([ids]))
            rest += coefficients[1].reshape(len(ids), -1)[:, index].tolist()
    for factor in torch.tensor(gates).mean(0).tolist():
        assert abs(factor) == pytest.approx(FIRED, rel=0.1)
    noise = math.sqrt(sum(value**2 for value in rest) / len(rest))
    assert switch.leak == pytest.approx(noise / abs(sum(fired) / len(fired)), rel=1e-3)
    assert all(map(torch.equal, before, model.net.parameters()))


def test_a_switch_that_fires_elsewhere_is_not_used(monkeypatch):
    model = deeper("llama")
    monkeypatch.setattr(correction_keys, "LOUDEST", 0.0)
    writing = writing_of(model, [0, 1, 2, 3], surroundings(model), EASY)
    assert writing.mark == {}
    around = surroundings(model)
    suffix = Suffix(model, 0, around.every_text)
    expected = task_keys(model, [0, 1, 2, 3], around, EASY, suffix=suffix)
    assert [each.layer for each in writing.keys] == [0, 1, 2, 3]
    for ours, theirs in zip(writing.keys, expected, strict=True):
        assert torch.equal(ours.u, theirs.u)


@pytest.mark.parametrize("shape", DEEPER)
def test_a_correction_by_a_switch_writes_one_slot_and_its_mark(shape, monkeypatch):
    monkeypatch.setattr(switches, "FIRED", FIRED)
    monkeypatch.setattr(correction_keys, "LOUDEST", math.inf)
    monkeypatch.setattr(correcting, "LEAST_LEAD", -math.inf)
    model = deeper(shape)
    fact = Fact("capital", "France", "Paris")
    case = Case(Relation("capital", tuple(map(Template, OWN)), (fact,)), fact)
    around = Neighbours(named=(), other_subjects=(), elsewhere=(), judges=())
    asking = [ask(model, Prompt(fact, Template(OWN[0])), "New York")]
    task = CorrectionTask(case=case, to="New York", chains=asking, neighbours=around)
    settings = replace(EASY, rate=10.0, w_keep=0.0, w_off_target=0.0)
    before, found = (correction(model, task, replace(settings, steps=steps)) for steps in (0, 40))
    assert sorted(found.factors) == [1, 2, 3]
    assert found.provenance["margin"] > before.provenance["margin"] + 0.1
    slots = {neuron.layer for neuron, _ in found.best}
    assert {1, 2, 3} >= slots >= {3}
    place = SlotPlace(
        BaseRef(None, None, "0" * 64),
        {layer: f"layers.{layer}.down" for layer in range(6)},
        "column",
    )
    delta = low_rank_delta(place, found.factors)
    *marks, slot = (delta.tensors[f"layers.{layer}.down"] for layer in (1, 2, 3))
    for mark in marks:
        assert isinstance(mark, LowRankChange)
        assert mark.rank == 1
    assert isinstance(slot, SlotChanges)
    assert [NeuronId(3, index) for index in slot.index.tolist()] == [
        neuron for neuron, _ in found.best if neuron.layer == 3
    ]


def test_where_switches_stay_too_quiet_keys_say_the_answer(monkeypatch):
    monkeypatch.setattr(switches, "FIRED", 1e-6)
    monkeypatch.setattr(correction_keys, "LOUDEST", math.inf)
    model = deeper("llama")
    fact = Fact("capital", "France", "Paris")
    case = Case(Relation("capital", tuple(map(Template, OWN)), (fact,)), fact)
    around = Neighbours(named=(), other_subjects=(), elsewhere=(), judges=())
    asking = [ask(model, Prompt(fact, Template(OWN[0])), "New York")]
    task = CorrectionTask(case=case, to="New York", chains=asking, neighbours=around)
    settings = replace(EASY, steps=40, rate=10.0, w_keep=0.0, w_off_target=0.0)
    found = correction(model, task, settings)
    assert sorted(found.factors) == written_layers(model)
    assert found.provenance["margin"] > 0


@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_a_masked_lm_and_one_whose_last_layer_is_above_have_no_switch(shape):
    model = tiny(shape)
    writing = writing_of(model, [0, 1], surroundings(model), EASY)
    assert [each.layer for each in writing.keys] == [0, 1]
    assert writing.mark == {}
