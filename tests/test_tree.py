"""Texts as a tree: what they share runs once, and every answer and gradient stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_suffix import TEXTS, questions, shift
from tiny_models import CAUSAL, MASKED, tiny

from kn_edit.edits.suffix import LowRankShift, Suffix, shifted
from kn_edit.models import tree as tree_module
from kn_edit.models.trace import LayerCall, trace
from kn_edit.models.tree import TextTree, fits, trees


def calls_of(model, tokens=7):
    return trace(model, torch.tensor([[7, 8, 9, 18, 10, 12, 11][:tokens]])).calls


@pytest.mark.parametrize("shape", CAUSAL)
def test_every_causal_family_runs_as_a_tree_but_the_one_with_an_attention_of_its_own(shape):
    model = tiny(shape)
    assert fits(model, calls_of(model, tokens=3)) == (shape != "gpt_neo")


@pytest.mark.parametrize("shape", MASKED)
def test_no_masked_model_does(shape):
    model = tiny(shape)
    assert not fits(model, calls_of(model))


@pytest.mark.parametrize("shape", CAUSAL)
def test_gradients_are_those_of_texts_side_by_side(shape, monkeypatch):
    model, asked = tiny(shape), questions(causal=True)
    gradients = []
    for as_tree in (True, False):
        if not as_tree:
            monkeypatch.setattr("kn_edit.edits.suffix.fits", lambda *_: False)
        suffix = Suffix(model, 0, TEXTS)
        shifts = {layer: shift(layer) for layer in range(model.n_layers)}
        shifts = {
            layer: LowRankShift(part.u, part.v.requires_grad_()) for layer, part in shifts.items()
        }
        with shifted(model, shifts):
            suffix.log_p(asked).square().sum().backward()
        gradients.append([part.v.grad for part in shifts.values()])
    for ours, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(
            ours, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())
        )


def test_a_beginning_that_texts_share_runs_once():
    model = tiny("llama")
    tree = TextTree.of(model, TEXTS, calls_of(model), 7)
    assert len(tree.places) == len({ids[:end] for ids in TEXTS for end in range(1, len(ids) + 1)})
    place = tree.places[(9, 11, 15)]
    ancestors = {tree.places[(9,)], tree.places[(9, 11)], place}
    assert set(tree.visible[place].nonzero().flatten().tolist()) == ancestors
    assert int(tree.depths[place]) == 2


def test_where_a_layer_has_a_window_texts_run_side_by_side():
    model = tiny("llama")
    seen = torch.ones(1, 1, 7, 7, dtype=torch.bool).tril()
    window = seen & torch.ones(7, 7, dtype=torch.bool).triu(-2)
    for mask, whole in ((seen, True), (window, False)):
        calls = {
            layer: LayerCall(call.args, call.kwargs | {"attention_mask": mask})
            for layer, call in calls_of(model).items()
        }
        assert fits(model, calls) == whole
        exact = {
            layer: replace(
                call, kwargs=call.kwargs | {"attention_mask": torch.zeros(()).where(mask, -9.0)}
            )
            for layer, call in calls.items()
        }
        assert fits(model, exact) == whole


def test_many_texts_make_several_trees(monkeypatch):
    monkeypatch.setattr(tree_module, "MOST_TOKENS", 9)
    groups = list(trees(TEXTS[:4]))
    assert sorted(ids for group in groups for ids in group) == sorted(TEXTS[:4])
    assert len(groups) > 1
    assert all(len(group) == 1 or sum(map(len, group)) <= 9 for group in groups)
    model, asked = tiny("llama"), questions(causal=True)
    several = Suffix(model, 0, TEXTS).log_p(asked)
    monkeypatch.setattr(tree_module, "MOST_TOKENS", 512)
    torch.testing.assert_close(several, Suffix(model, 0, TEXTS).log_p(asked), rtol=1e-4, atol=1e-4)
