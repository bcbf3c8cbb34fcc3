"""Attribution scores against a plain loop that shares no code with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from plain_attribution import GRADED, Plain, down_projections
from tiny_models import CAUSAL, LAYERS, SHAPES, VOCABULARY, tiny

from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question
from kn_edit.neurons import attribution
from kn_edit.neurons.attribution import (
    Adaptive,
    Attribution,
    Riemann,
    RiemannWalk,
    activations,
    attribute,
    attribute_chain,
    attribute_many,
)
from kn_edit.neurons.passes import Pass
from kn_edit.neurons.paths import Along, Paths, evaluate_many
from kn_edit.neurons.rule import integrated

PROMPT = Prompt(Fact("capital", "France", "Paris"), Template("[X] [Y]"))
TALLER = {
    "bert": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3},
    "gpt2": {"n_embd": 64, "n_inner": 128, "n_layer": 2},
    "llama": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4},
}


def a_question(model: Model, tokens: int = 9, seed: int = 0) -> Question:
    """Random words; a causal LM is asked at the end, a masked one in the middle."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(7, len(VOCABULARY), (tokens,), generator=source).tolist()
    token = ids.pop()
    if model.causal:
        ids.append(9)
        return Question(tuple(ids), tokens - 1, token)
    ids.insert(tokens // 2, VOCABULARY["[MASK]"])
    return Question(tuple(ids), tokens // 2, token)


def plain(model: Model, question: Question) -> Plain:
    downs = down_projections(model.net, model.d_model, model.d_ff)
    return Plain(model.net, downs, question.ids, question.position, question.token)


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest error of a score, relative to the largest score."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.max())


@pytest.mark.parametrize("shape", TALLER)
@pytest.mark.parametrize("tokens", [2, 7, 16])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_riemann_equals_the_plain_loop(shape, tokens, dtype, limit):
    model = tiny(shape, dtype, seed=tokens, **TALLER[shape])
    question = a_question(model, tokens)
    found = attribute(model, question, Riemann(20))
    expected = plain(model, question)
    assert error(found.scores, expected.left_riemann(20)) < limit
    assert found.scores.dtype == torch.float64
    assert found.p == pytest.approx(expected.p, rel=limit)
    assert found.nodes.tolist() == [20] * model.n_layers
    assert found.reached


@pytest.mark.parametrize("shape", SHAPES)
def test_riemann_equals_the_plain_loop_in_every_family(shape):
    model = tiny(shape)
    question = a_question(model)
    found = attribute(model, question, Riemann(5))
    assert error(found.scores, plain(model, question).left_riemann(5)) < 1e-3


def test_a_causal_model_may_be_asked_before_the_end_of_the_text():
    model = tiny("llama")
    question = a_question(model)
    longer = Question((*question.ids, 20, 21), question.position, question.token)
    found, expected = (attribute(model, asked, Riemann(3)) for asked in (longer, question))
    assert found.scores.equal(expected.scores)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_mask_may_stand_anywhere(place):
    model = tiny("bert", torch.float64)
    ids = list(range(10, 16))
    position = 0 if place == "first" else len(ids)
    ids.insert(position, VOCABULARY["[MASK]"])
    question = Question(tuple(ids), position, 20)
    found = attribute(model, question, Riemann(4))
    assert error(found.scores, plain(model, question).left_riemann(4)) < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_coefficients_and_p_are_those_of_the_whole_network(shape):
    model = tiny(shape)
    question = a_question(model)
    paths, expected = Paths.of_one(model, question), plain(model, question)
    assert paths.p == pytest.approx(expected.p, rel=1e-4)
    for layer in range(LAYERS):
        own = paths.coefficients_of(layer)
        assert own.dtype == torch.float64
        torch.testing.assert_close(own, expected.own[layer].double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", ["bert", "gpt2", "llama", "opt"])
def test_p_and_its_gradient_along_the_path_come_back_in_the_order_asked_for(shape):
    model = tiny(shape, torch.float64)
    question = a_question(model)
    asked = {1: [0.5, 0.0, 1.0], 0: [0.25]}
    along, expected = Paths.of_one(model, question).evaluate(asked), plain(model, question)
    for layer, alphas in asked.items():
        for number, alpha in enumerate(alphas):
            p, gradient = expected.at(layer, alpha)
            assert float(along[layer].p[number]) == pytest.approx(p, rel=1e-9)
            assert error(along[layer].gradients[number], gradient) < 1e-9


@pytest.mark.parametrize("rule", [Riemann(7), Adaptive()])
@pytest.mark.parametrize("shape", ["bert", "gpt2", "llama"])
def test_the_gap_is_the_sum_of_scores_minus_the_rise_of_p(rule, shape):
    model = tiny(shape, torch.float64)
    question = a_question(model)
    found, expected = attribute(model, question, rule), plain(model, question)
    for layer in range(LAYERS):
        rise = expected.p - expected.at(layer, 0.0)[0]
        by_definition = float(found.scores[layer].sum()) - rise
        assert float(found.gap[layer]) == pytest.approx(by_definition, abs=1e-12)


@pytest.mark.parametrize("shape", ["bert", "gpt2", "llama"])
def test_adaptive_comes_close_to_a_reference_of_500_nodes(shape):
    model = tiny(shape, seed=3)
    question = a_question(model, 6, seed=3)
    reference = plain(model, question).reference()
    loose = attribute(model, question, Adaptive())
    assert loose.reached
    assert error(loose.scores, reference) < 0.02
    tight = attribute(model, question, Adaptive(tolerance=1e-3, gap=1e-3))
    assert tight.reached
    assert error(tight.scores, reference) < 1e-3
    assert int(tight.nodes.sum()) >= int(loose.nodes.sum())
    assert float(tight.gap.abs().max()) < 1e-3 * tight.p * 64


@pytest.mark.parametrize("shape", ["gemma2", "gemma3_text", "olmo2"])
def test_adaptive_finds_a_rise_next_to_zero(shape):
    """A norm behind the FFN undoes the scaling, so p rises where the coefficients are almost 0."""
    model = tiny(shape, torch.float64)
    question = a_question(model, 6)
    reference = plain(model, question).reference(GRADED, order=8)
    found = attribute(model, question, Adaptive())
    assert found.reached
    assert error(found.scores, reference) < 0.01
    assert int(found.nodes.max()) < 24  # and not a panel for each power of two
    assert error(attribute(model, question, Riemann(20)).scores, reference) > 1


def test_paths_are_graded_where_the_gradient_undoes_alpha_and_nowhere_else():
    graded = {}
    for shape in ("gemma2", "olmo2", "llama", "gpt2", "bert"):
        model = tiny(shape, torch.float64)
        walk = Adaptive().walk(Paths.of_one(model, a_question(model, 6)))
        walk.take(walk.paths.evaluate(walk.wanted()))
        places = [alpha for alphas in walk.wanted().values() for alpha in alphas]
        graded[shape] = bool(places) and max(places) < 0.25
    assert graded == {"gemma2": True, "olmo2": True, "llama": False, "gpt2": False, "bert": False}


def test_adaptive_spends_its_nodes_where_p_bends():
    model = tiny("llama", torch.float64, seed=1)
    with torch.no_grad():  # what the first layer writes now turns everything above it around
        model.downs[0].weight *= 20
    found = attribute(model, a_question(model), Adaptive())
    assert found.reached
    assert found.nodes[1] <= 5
    assert found.nodes[0] > 16
    once = attribute(model, a_question(model), Adaptive(narrowest=1.0))
    assert once.nodes.tolist() == [3, 3]
    assert not once.reached  # one layer that does is not enough


@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_adaptive_says_when_it_may_not_look_closer(shape):
    model = tiny(shape, torch.float64)
    question = a_question(model)
    unbearable = Adaptive(tolerance=1e-13, gap=1e-13, narrowest=1.0)
    found = attribute(model, question, unbearable)
    assert not found.reached
    closer = attribute(model, question, Adaptive(tolerance=1e-13, gap=1e-13, narrowest=0.5))
    assert not closer.reached
    assert (closer.nodes > found.nodes).all()
    reference = plain(model, question).reference(order=4)
    assert error(closer.scores, reference) <= error(found.scores, reference)


def test_adaptive_ends_where_the_model_gives_the_answer_no_chance_at_all():
    model = tiny("llama")
    question = a_question(model)
    with torch.no_grad():
        model.net.lm_head.weight *= 1e4
    logits = model.net(input_ids=torch.tensor([question.ids])).logits[0, -1]
    hopeless = Question(question.ids, question.position, int(logits.argmin()))
    found = attribute(model, hopeless, Adaptive())
    assert found.p == 0.0
    assert bool((found.scores == 0).all())
    assert found.reached


@pytest.mark.parametrize("shape", ["gpt2", "gemma2"])
def test_no_node_is_evaluated_twice_and_each_is_counted(shape):
    model = tiny(shape)
    walk = Adaptive(tolerance=1e-3).walk(Paths.of_one(model, a_question(model)))
    asked = []
    while not walk.done:
        wanted = walk.wanted()
        asked.append({layer: list(alphas) for layer, alphas in wanted.items()})
        walk.take(walk.paths.evaluate(wanted))
    found = walk.attribution()
    for layer in range(LAYERS):
        alphas = [alpha for nodes in asked for alpha in nodes.get(layer, [])]
        assert len(alphas) == int(found.nodes[layer])
        assert len(set(alphas)) == len(alphas)  # those of a panel that was halved serve again


def test_a_bump_that_leaves_nothing_behind_is_not_stepped_over():
    """p and its gradient are the same at both ends and nearly 0 beside a bump at 1/4."""

    class Bumped:
        n_layers, d_ff, p, epsilon = 1, 2, 0.5, 1e-16

        def __init__(self) -> None:
            self.coefficients = {0: torch.tensor([1.0, 0.5], dtype=torch.float64)}

        def evaluate(self, nodes):
            alpha = torch.tensor(nodes[0], dtype=torch.float64)
            bump = torch.exp(-(((alpha - 0.25) / 0.02) ** 2))
            slope = bump * -2 * (alpha - 0.25) / 0.02**2
            gradients = torch.stack([1 + 0.1 * slope, -0.2 * slope], dim=1)  # they cancel
            return {0: Along(alpha - 0.5, gradients)}

    found = integrated(Adaptive(), Bumped())
    assert found.scores[0, 0] == pytest.approx(1.0, abs=0.02)
    assert found.scores[0, 1] == pytest.approx(0.0, abs=0.02)


def test_many_questions_have_the_scores_that_each_has_alone():
    model = tiny("llama", torch.float64)
    questions = [a_question(model, 3 + seed % 5, seed=seed) for seed in range(12)]
    found = dict(attribute_many(model, questions, Adaptive(tolerance=1e-3)))
    assert sorted(found) == list(range(12))
    for place, question in enumerate(questions):
        alone = attribute(model, question, Adaptive(tolerance=1e-3))
        assert error(found[place].scores, alone.scores) < 1e-10
        assert found[place].nodes.equal(alone.nodes)


def test_prompts_under_way_are_bounded_by_their_tokens(monkeypatch):
    monkeypatch.setattr(attribution, "TOKENS_HELD", 20)
    model = tiny("llama")
    together = []

    def counting(requests):
        together.append([paths.run.length for paths, _ in requests])
        return evaluate_many(requests)

    monkeypatch.setattr(attribution, "evaluate_many", counting)
    questions = [a_question(model, tokens, seed=tokens) for tokens in (9, 9, 30, 4, 4, 4)]
    assert len(dict(attribute_many(model, questions, Adaptive()))) == 6
    assert max(map(len, together)) > 1
    assert all(sum(tokens) <= 20 or len(tokens) == 1 for tokens in together)


@pytest.mark.parametrize("memory", [1, 600_000_000])
@pytest.mark.parametrize("shape", ["bert", "gpt2", "llama", "opt"])
@pytest.mark.parametrize("rule", [Riemann(7), Adaptive(tolerance=1e-2)])
def test_passes_may_be_split(memory, shape, rule, monkeypatch):
    model = tiny(shape, torch.float64)
    question = a_question(model)
    whole = attribute(model, question, rule)
    sizes = []
    evaluate = Pass.evaluate

    def counting(one):
        sizes.append(
            [len(alphas) for request in one._requests for alphas in request.nodes.values()]
        )
        return evaluate(one)

    monkeypatch.setattr(Pass, "evaluate", counting)
    model.memory = memory
    split = attribute(model, question, rule)
    if memory == 1:
        assert len(sizes) >= 7
        assert {max(nodes) for nodes in sizes} == {1}
    else:
        assert max(max(nodes) for nodes in sizes) > 1
    assert error(split.scores, whole.scores) < 1e-12
    assert split.nodes.equal(whole.nodes)
    torch.testing.assert_close(split.gap, whole.gap, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", CAUSAL)
def test_a_chain_has_the_mean_of_its_questions(shape):
    model = tiny(shape, torch.float64)
    first = a_question(model, 5)
    second = Question((*first.ids, first.token), first.position + 1, 30)
    chain = Chain(PROMPT, (first, second))
    parts = [attribute(model, question, Riemann(3)) for question in chain.questions]
    found = attribute_chain(model, chain, Riemann(3))
    # Together they differ from each alone by rounding. Some attention always computes in float32.
    limit = 1e-5 if shape in ("gpt_neo", "gptj", "gemma2") else 1e-12
    assert error(found.scores, (parts[0].scores + parts[1].scores) / 2) < limit
    expected_gap = (parts[0].gap + parts[1].gap) / 2
    torch.testing.assert_close(found.gap, expected_gap, rtol=0, atol=limit)
    assert found.nodes.tolist() == [6] * LAYERS
    assert found.p == pytest.approx(parts[0].p * parts[1].p)
    own = [
        torch.stack([Paths.of_one(model, q).coefficients_of(layer) for layer in range(LAYERS)])
        for q in (first, second)
    ]
    torch.testing.assert_close(
        activations(model, chain), (own[0] + own[1]) / 2, rtol=0, atol=100 * limit
    )


def test_a_chain_reaches_the_tolerance_only_with_all_its_questions():
    verdicts = iter([True, False])

    class Judged(RiemannWalk):
        def attribution(self) -> Attribution:
            return replace(super().attribution(), reached=next(verdicts))

    class Judging(Riemann):
        def walk(self, paths: Paths) -> RiemannWalk:
            return Judged(paths, self.m)

    model = tiny("gpt2")
    question = a_question(model)
    assert not attribute_chain(model, Chain(PROMPT, (question, question)), Judging(2)).reached


@pytest.mark.parametrize("shape", ["bert", "opt", "llama"])
def test_attribution_leaves_no_hook_and_no_gradient(shape):
    model = tiny(shape)
    before = {name: weight.clone() for name, weight in model.net.state_dict().items()}
    attribute(model, a_question(model), Adaptive())
    for module in model.net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
    for name, parameter in model.net.named_parameters():
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert parameter.equal(before[name])


def test_attribution_is_deterministic_and_independent_of_what_ran_before():
    model = tiny("mistral")
    first = attribute(model, a_question(model), Adaptive())
    attribute(model, a_question(model, 5, seed=2), Adaptive())
    again = attribute(model, a_question(model), Adaptive())
    assert first.scores.equal(again.scores)
    assert (first.p, first.reached) == (again.p, again.reached)


@pytest.mark.parametrize("shape", ["gpt2", "llama", "distilbert"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 0.02), (torch.bfloat16, 0.1)])
def test_in_16_bits_adaptive_does_not_chase_rounding_noise(shape, dtype, limit):
    question = a_question(tiny(shape), 6)
    exact = attribute(tiny(shape), question, Adaptive())
    found = attribute(tiny(shape, dtype), question, Adaptive())
    assert found.reached
    assert int(found.nodes.sum()) < 100
    assert error(found.scores, exact.scores) < limit


def test_a_hopeless_layer_costs_a_bounded_number_of_nodes():
    rule = Adaptive(tolerance=0.0, gap=0.0, most=100)
    found = attribute(tiny("bert"), a_question(tiny("bert")), rule)
    assert not found.reached
    assert (found.nodes >= 100).all()
    assert (found.nodes < 300).all()
