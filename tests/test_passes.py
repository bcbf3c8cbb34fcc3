"""Passes over nodes of many prompts, and the parts that they are made of."""

from __future__ import annotations

import pytest
import torch
from test_attribution import a_question, error, plain
from tiny_models import CAUSAL, D_FF, LAYERS, SHAPES, tiny

from kn_edit.models.clean import clean_runs
from kn_edit.models.head import LEAST_WORDS, p_of
from kn_edit.models.questions import Question
from kn_edit.neurons.budget import plan, row_bytes, traits
from kn_edit.neurons.passes import Pass, Request
from kn_edit.neurons.paths import Paths, evaluate_many

NODES = ({0: [0.5, 0.0], 1: [0.25, 1.0]}, {1: [0.75]}, {0: [0.1, 0.2, 0.3]}, {0: [0.9], 1: [0.4]})
LENGTHS = (6, 9, 6, 7)
VOCABULARY_END = 10_000
IN_FLOAT32 = ("gpt_neo", "gptj", "gemma2")  # their own attention computes in it, always


def questions(model):
    """Prompts of several lengths, two of them beginnings of one text."""
    several = [a_question(model, tokens, seed=seed) for seed, tokens in enumerate(LENGTHS)]
    if model.causal:
        first = several[0]
        several[3] = Question((*first.ids, first.token), first.position + 1, 30)
    return several


def assert_as_plain(model, shape, answered):
    """Every answer is that of a plain loop. answered: questions, their nodes, and what came."""
    limit = 1e-4 if shape in IN_FLOAT32 else 1e-9
    for question, nodes, along in answered:
        expected = plain(model, question)
        assert along.keys() == nodes.keys()
        for layer, alphas in nodes.items():
            assert along[layer].p.shape == (len(alphas),)
            for place, alpha in enumerate(alphas):
                p, gradient = expected.at(layer, alpha)
                assert float(along[layer].p[place]) == pytest.approx(p, rel=limit)
                assert error(along[layer].gradients[place], gradient) < limit


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ends_of_all_paths_are_one_row_and_answer_as_a_row_of_each(shape, monkeypatch):
    model = tiny(shape, torch.float64)
    asked = questions(model)
    nodes = [{layer: [0.5, 1.0, 0.0] for layer in range(LAYERS)}, *[{0: [1.0], 1: [1.0]}] * 3]
    rows = []
    climb = Pass.climb

    def counting(self):
        hidden = climb(self)
        rows.append(len(hidden))
        return hidden

    many = Paths.of(model, asked)
    evaluate_many([(many[0], nodes[0])])  # the first one measures the model
    monkeypatch.setattr(Pass, "climb", counting)
    together = evaluate_many(list(zip(many, nodes, strict=True)))
    assert sum(rows) == 2 * LAYERS + len(asked)
    assert_as_plain(model, shape, zip(asked, nodes, together, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_asked_together_answer_as_each_alone(shape):
    model = tiny(shape, torch.float64)
    asked = questions(model)
    together = evaluate_many(list(zip(Paths.of(model, asked), NODES, strict=True)))
    assert_as_plain(model, shape, zip(asked, NODES, together, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_prompts_run_together_are_those_run_alone(shape):
    model = tiny(shape, torch.float64)
    asked = questions(model)
    close = {"rtol": 0, "atol": 1e-5 if shape in IN_FLOAT32 else 1e-12}
    for question, run in zip(asked, clean_runs(model, asked), strict=True):
        (alone,) = clean_runs(model, [question])
        torch.testing.assert_close(run.output, alone.output, **close)
        for layer in range(LAYERS):
            assert run.coefficients[layer].shape == (D_FF,)
            torch.testing.assert_close(run.coefficients[layer], alone.coefficients[layer], **close)
        assert Paths.of_one(model, question).p == pytest.approx(plain(model, question).p, rel=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_family_but_one_packs_the_rows_of_many_prompts(shape):
    """GPT-Neo does not ask for an attention function; its prompts go through a layer in turn."""
    model = tiny(shape)
    (run,) = clean_runs(model, [a_question(model)])
    assert traits(model, run).packed == (shape != "gpt_neo")


@pytest.mark.parametrize("shape", ["llama", "gemma2", "bert", "gpt_neo"])
def test_a_pass_leaves_the_model_as_it_was(shape):
    model = tiny(shape)
    before = model.net.config._attn_implementation
    methods = {name: set(vars(module)) for name, module in model.net.named_modules()}
    (run,) = clean_runs(model, [a_question(model)])
    request = Request(run=run, token=VOCABULARY_END, nodes={0: [0.5]})
    with pytest.raises(IndexError):  # no such word: the pass ends in its head
        Pass(model, [request], packed=shape != "gpt_neo").evaluate()
    assert model.net.config._attn_implementation == before
    assert {name: set(vars(module)) for name, module in model.net.named_modules()} == methods
    for module in model.net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("shape", ["bert", "electra", "gpt2", "gemma2", "opt-350m"])
@pytest.mark.parametrize("words", [70, LEAST_WORDS + 70, 3 * LEAST_WORDS])
def test_p_and_its_gradient_are_those_of_a_softmax_over_all_words(shape, words):
    model = tiny(shape, torch.float64, vocab_size=words)
    hidden = torch.randn(64, model.d_model, dtype=torch.float64)
    hidden.requires_grad_()
    tokens = torch.arange(len(hidden)) % words
    expected = model.logits(hidden).softmax(-1).gather(1, tokens[:, None])[:, 0]
    weights = torch.linspace(-1, 1, len(hidden), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((weights * expected).sum(), hidden)
    p = p_of(model, hidden, tokens)
    (found,) = torch.autograd.grad((weights * p).sum(), hidden)
    torch.testing.assert_close(p, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-15)


def test_p_never_exceeds_one_where_a_model_is_sure():
    model = tiny("llama", vocab_size=3 * LEAST_WORDS)
    with torch.no_grad():
        model.net.lm_head.weight *= 100
    hidden = torch.randn(64, model.d_model)
    p = p_of(model, hidden, model.logits(hidden).argmax(-1))
    assert float(p.max()) == 1.0


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_a_pass_has_the_rows_that_its_memory_allows(shape):
    model = tiny(shape)
    runs = clean_runs(model, [a_question(model, 9, seed=seed) for seed in range(3)])
    nodes = {0: [0.1] * 40, 1: [0.2] * 5}
    requests = [Request(run=run, token=9, nodes=nodes) for run in runs]
    room = 30 * row_bytes(model, runs[0], 0)
    passes = plan(requests, room)
    assert 4 < len(passes) < 7  # 120 rows of layer 0, and 15 of layer 1
    for requests_of_pass in passes:
        bytes_of_pass = sum(
            len(alphas) * row_bytes(model, request.run, layer)
            for request in requests_of_pass
            for layer, alphas in request.nodes.items()
        )
        assert 0.5 * room < bytes_of_pass <= room
    for number in range(3):
        for layer, alphas in nodes.items():
            shared_out = [part[number].nodes.get(layer, []) for part in passes]
            assert [alpha for part in shared_out for alpha in part] == alphas


@pytest.mark.parametrize("shape", CAUSAL)
def test_rows_share_their_prefix(shape):
    """A long prompt costs a row a share of attention per token, and no key or value."""
    model = tiny(shape)
    short, long = clean_runs(model, [a_question(model, 4), a_question(model, 60)])
    more = row_bytes(model, long, 0) - row_bytes(model, short, 0)
    heads = model.net.config.num_attention_heads
    copied = 2 * model.d_model if shape == "gpt_neo" else 0
    assert more == 56 * 4 * (heads + copied) * (LAYERS - 1)


@pytest.mark.parametrize("shape", sorted(set(CAUSAL) - {"gpt_neo"}))  # gpt_neo: one a pass
def test_prompts_of_any_lengths_share_a_pass(shape):
    """Attention may give its weights too, which are as wide as a prompt is long."""
    model = tiny(shape)
    questions = [a_question(model, 4), a_question(model, 60)]
    runs = clean_runs(model, questions)
    assert traits(model, runs[0]).packed
    nodes = {0: [0.5], 1: [0.5, 1.0]}
    requests = [Request(run=run, token=9, nodes=nodes) for run in runs]
    together = Pass(model, requests, packed=True).evaluate()
    for number, request in enumerate(requests):
        (alone,) = Pass(model, [request], packed=True).evaluate()
        for layer in nodes:
            found, expected = together[number][layer], alone[layer]
            assert torch.allclose(found.p, expected.p, rtol=1e-4)
            assert torch.allclose(found.gradients, expected.gradients, rtol=1e-3, atol=1e-6)
