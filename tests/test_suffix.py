"""Texts that solvers run again and again, from the lowest layer that they change on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import D_FF, D_MODEL, LAYERS, SHAPES, tiny

from kn_edit.edits.suffix import LowRankShift, Suffix, shifted
from kn_edit.models.batching import GROUP_COST, MOST_ROWS, packed
from kn_edit.models.predict import lead, log_p
from kn_edit.models.questions import Question
from kn_edit.models.usage import coefficients_by_text, usual_sizes

TEXTS = ((7, 8, 9, 18, 10, 12, 11), (9, 11, 15, 8), (9, 11), (7, 8, 9, 18, 10), (9, 11, 15, 8))


def shift(seed: int) -> LowRankShift:
    draw = torch.Generator().manual_seed(seed)
    u, v = (torch.randn(1, width, generator=draw) for width in (D_FF, D_MODEL))
    return LowRankShift(u, v)


def questions(causal: bool) -> list[Question]:
    """In no order of length, some about the beginning of another's text."""
    return [Question(ids, len(ids) - 1 if causal else 1, 0) for ids in TEXTS]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_shifted_from_a_layer_on_is_predicted_as_by_the_whole(shape):
    model = tiny(shape)
    asked = questions(model.causal)
    suffix = Suffix(model, 1, [question.ids for question in asked])
    with torch.no_grad(), shifted(model, {1: shift(0)}):
        ours = suffix.log_p(asked)
        expected = torch.stack(list(log_p(model, asked)))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert (expected - torch.stack(list(log_p(model, asked)))).abs().max() > 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_a_lead_is_that_of_the_log_probabilities(shape):
    model = tiny(shape)
    asked = [
        replace(question, token=token) for token, question in enumerate(questions(model.causal), 6)
    ]
    suffix = Suffix(model, 1, [question.ids for question in asked])
    with shifted(model, {1: shift(0)}):
        ours = suffix.leads(asked)
        with torch.no_grad():
            expected = lead(suffix.log_p(asked), torch.tensor([each.token for each in asked]))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.01 and not ours.requires_grad
    assert suffix.leads([]).shape == (0,)


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_what_lies_below_runs_once(shape):
    model = tiny(shape)
    asked = questions(model.causal)
    suffix = Suffix(model, 1, [question.ids for question in asked])
    suffix.log_p(asked)  # also learns how the layers are called
    ran: list[int] = []
    handles = [
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(model.layers)
    ]
    suffix.log_p(asked)
    for handle in handles:
        handle.remove()
    assert set(ran) == set(range(1, LAYERS))


@pytest.mark.parametrize("shape", ["llama", "opt", "bert"])
def test_coefficients_are_those_of_the_whole_network(shape):
    model = tiny(shape)
    suffix = Suffix(model, 1, TEXTS)
    with shifted(model, {1: shift(1)}):
        ours = dict(suffix.coefficients(TEXTS, [1]))
        expected = dict(coefficients_by_text(model, TEXTS, [1]))
    assert ours.keys() == expected.keys() == set(TEXTS)
    for ids, by_layer in ours.items():
        torch.testing.assert_close(by_layer[1], expected[ids][1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_texts_go_on_from_a_higher_layer(shape):
    model = tiny(shape)
    chosen = TEXTS[:2]
    higher = Suffix(model, 1, TEXTS).above(LAYERS - 1, chosen)
    asked = [question for question in questions(model.causal) if question.ids in chosen]
    with torch.no_grad(), shifted(model, {0: shift(0), LAYERS - 1: shift(1)}):
        ours = higher.log_p(asked)
    with torch.no_grad(), shifted(model, {LAYERS - 1: shift(1)}):
        expected = torch.stack(list(log_p(model, asked)))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", ["llama", "gptj", "bert"])
def test_what_is_kept_for_other_texts_can_be_differentiated_through(shape):
    model = tiny(shape)
    with torch.inference_mode():
        Suffix(model, 1, TEXTS).log_p(questions(model.causal))
    suffix = Suffix(model, 1, TEXTS)
    part = shift(0)
    part.v.requires_grad_()
    with shifted(model, {1: part}):
        suffix.log_p(questions(model.causal)).sum().backward()
    assert part.v.grad is not None and part.v.grad.abs().max() > 0


def test_how_layers_are_called_is_kept_for_other_texts():
    model = tiny("llama")
    Suffix(model, 1, TEXTS).log_p(questions(causal=True))
    ran: list[int] = []
    handle = model.layers[-1].register_forward_pre_hook(lambda *_: ran.append(1))
    other = [(*ids[:-1], 13) for ids in TEXTS]
    suffix = Suffix(model, 1, other)
    suffix.log_p([Question(ids, len(ids) - 1, 0) for ids in other])
    handle.remove()
    # It makes keys of all tokens, and answers where they are asked.
    assert len(ran) == 2


def test_nothing_asked_is_answered_by_no_rows():
    model = tiny("llama")
    assert Suffix(model, 0, TEXTS).log_p([]).shape == (0, model.n_tokens)


@given(st.lists(st.integers(1, 60), max_size=80), st.booleans())
def test_texts_stand_in_groups_that_cost_no_more_than_all_or_none_together(lengths, padded):
    texts = [(number, *[0] * (length - 1)) for number, length in enumerate(lengths)]
    groups = packed(texts, padded=padded)
    assert sorted(ids for group in groups for ids in group) == sorted(texts)
    assert all(0 < len(group) <= MOST_ROWS for group in groups)

    def cost(of: list[list[tuple[int, ...]]]) -> int:
        return sum(len(group) * max(map(len, group)) + GROUP_COST for group in of)

    assert cost(groups) <= cost([[ids] for ids in texts])
    if padded and 0 < len(texts) <= MOST_ROWS:
        assert cost(groups) <= cost([texts])
    if not padded:
        assert all(len({len(ids) for ids in group}) == 1 for group in groups)


def test_usual_sizes_of_some_layers_are_those_among_all():
    model = tiny("llama")
    every = usual_sizes(model, TEXTS)
    assert torch.equal(usual_sizes(model, TEXTS, [1, 0]), every[[1, 0]])
