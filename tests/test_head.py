"""Leads of answers, and their gradients, by two rows of the output embedding."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny
from workspaces import SHAPES

from kn_edit.models.head import LEADING, leads_of
from kn_edit.models.predict import lead


@pytest.mark.parametrize("shape", [*SHAPES, "gpt_neox", "gemma2", "opt", "electra"])
def test_a_lead_and_its_gradient_are_those_of_all_logits(shape):
    model = tiny(shape)
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, model.d_model, generator=draw).requires_grad_()
    log_p = model.logits(hidden).float().log_softmax(-1)
    tokens = log_p.argmax(1)
    tokens[:3] = torch.tensor([0, 3, 1])
    expected = lead(log_p, tokens)
    (gradient,) = torch.autograd.grad(expected.sum(), hidden)
    asked = tokens.clone()
    asked[3:] = LEADING
    leads, found = leads_of(model, hidden, asked)
    assert found.tolist() == tokens.tolist()
    torch.testing.assert_close(leads, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(leads.sum(), hidden)[0], gradient)
    assert bool((leads[3:] >= 0).all())


def test_a_head_that_is_not_plain_gives_the_same_leads():
    model = tiny("llama")
    hidden = torch.randn(3, model.d_model, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([2, LEADING, 4])
    expected = leads_of(model, hidden, tokens)

    class Other(torch.nn.Linear):
        """Of another class, as quantised layers are."""

    model.net.get_output_embeddings().__class__ = Other
    leads, found = leads_of(model, hidden, tokens)
    torch.testing.assert_close(leads, expected[0])
    assert torch.equal(found, expected[1])


def test_what_gives_no_numbers_has_no_lead():
    model = tiny("llama")
    hidden = torch.full((1, model.d_model), float("nan"))
    leads, _ = leads_of(model, hidden, torch.tensor([2]))
    assert bool(leads.isnan().all())
