"""Knowledge assessing on models whose logits are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import SHAPES, VOCABULARY, tiny

from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.questions import Chain, ask
from kn_edit.neurons.assess import TOP, assess

PROMPT = Prompt(Fact("capital", "France", "Paris"), Template("the capital of [X] is [Y] ."))


def probabilities(model, question):
    with torch.no_grad():
        logits = model.net(input_ids=torch.tensor([question.ids])).logits
    return logits[0, question.position].softmax(-1)


@pytest.mark.parametrize("shape", SHAPES)
def test_p_rank_and_top_are_those_of_the_network(shape):
    model = tiny(shape)
    chain = ask(model, PROMPT)
    p = probabilities(model, chain.questions[0])
    (found,) = assess(model, [chain])
    order = p.argsort(descending=True).tolist()
    assert found.p == pytest.approx(float(p[VOCABULARY["Paris"]]), rel=1e-4)
    assert found.rank == 1 + order.index(VOCABULARY["Paris"])
    assert found.right == (found.rank == 1)
    assert [word for word, _ in found.top] == [model.tokenizer.decode([t]) for t in order[:TOP]]
    assert [value for _, value in found.top] == pytest.approx(p[order[:TOP]].tolist(), rel=1e-4)
    assert (found.prompt, found.answer) == (PROMPT, "Paris")


@pytest.mark.parametrize("shape", ["bert", "gpt2"])
def test_the_likeliest_word_is_right(shape):
    model = tiny(shape)
    chain = ask(model, PROMPT)
    (question,) = chain.questions
    likeliest = replace(question, token=int(probabilities(model, question).argmax()))
    first, second = assess(model, [Chain(PROMPT, (likeliest,)), chain], "as told")
    assert first.right
    assert first.rank == 1
    assert first.answer == "as told"
    assert first.top == second.top
    assert first.p == pytest.approx(first.top[0][1])
    assert not second.right


def test_several_tokens_multiply_and_the_worst_rank_counts():
    model = tiny("llama")
    chain = ask(model, PROMPT, "New York")
    parts = [probabilities(model, question) for question in chain.questions]
    own = [float(p[question.token]) for p, question in zip(parts, chain.questions, strict=True)]
    (found,) = assess(model, [chain], "New York")
    assert found.p == pytest.approx(own[0] * own[1], rel=1e-4)
    ranks = [1 + int((p > one).sum()) for p, one in zip(parts, own, strict=True)]
    assert found.rank == max(ranks)
    assert found.top[0][0] == model.tokenizer.decode([int(parts[0].argmax())])
