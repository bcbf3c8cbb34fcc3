"""Several replies to one prompt, side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import VOCABULARY, tiny

from kn_edit.models.generation import GREEDY, Generation, Sampling
from kn_edit.models.greedy import ending_tokens, likeliest_paths
from kn_edit.models.questions import Question
from kn_edit.models.replies import replies

DRAWN = Sampling(temperature=1.5, seed=3)
PROMPT = [VOCABULARY[word] for word in ["The", "capital", "of", "France", "is"]]


def biased(shape, token, amount):
    """A model that says one token more, or less, often."""
    model = tiny(shape)
    head = model.net.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.zeros(head.weight.shape[0]), requires_grad=False)
    head.bias[token] = amount
    return model


@pytest.mark.parametrize("shape", ["llama", "gpt2", "gpt_neox", "qwen2"])
def test_the_greedy_reply_is_the_likeliest_path(shape):
    model = tiny(shape)
    (path,) = likeliest_paths(model, [Question(tuple(PROMPT), len(PROMPT) - 1, 0)], [12])
    greedy, *_ = replies(model, PROMPT, [GREEDY, DRAWN, DRAWN], 12)
    ends = ending_tokens(model) | set(model.tokenizer.all_special_ids)
    end = next((place for place, token in enumerate(path) if token in ends), len(path))
    assert greedy.tokens == list(path[:end])
    assert greedy.ended == (end < len(path))


def test_drawn_replies_depend_on_the_seed_and_their_place_alone():
    model = tiny("llama")
    first, second = replies(model, PROMPT, [DRAWN, DRAWN], 12)
    assert first.tokens != second.tokens
    again = replies(model, PROMPT, [DRAWN, DRAWN], 12)
    assert [reply.tokens for reply in again] == [first.tokens, second.tokens]
    reseeded = replies(model, PROMPT, [replace(DRAWN, seed=4)] * 2, 12)
    assert [reply.tokens for reply in reseeded] != [first.tokens, second.tokens]
    shorter, _ = replies(model, PROMPT, [DRAWN, DRAWN], 5)
    assert shorter.tokens == first.tokens[:5]


def test_a_drawn_reply_is_drawn_as_a_served_text_is():
    model = biased("llama", VOCABULARY["</s>"], -50.0)
    once = Generation(model, PROMPT, GREEDY)
    (greedy,) = replies(model, PROMPT, [GREEDY], 6)
    assert greedy.tokens == [once.next_token().id for _ in range(6)]


def test_a_text_ends_at_a_mark_and_may_go_on_past_it():
    end = VOCABULARY["</s>"]
    model = biased("llama", end, 50.0)
    (silent,) = replies(model, PROMPT, [GREEDY], 6)
    assert (silent.tokens, silent.further, silent.ended) == ([], [], True)
    (going_on,) = replies(model, PROMPT, [GREEDY], 6, past_end=True)
    assert (going_on.tokens, going_on.ended) == ([], True)
    free = biased("llama", end, -50.0)
    for token in free.tokenizer.all_special_ids:
        free.net.get_output_embeddings().bias[token] = -50.0
    (expected,) = replies(free, PROMPT, [GREEDY], 6)
    assert going_on.further == expected.tokens
    assert len(expected.tokens) == 6


def test_a_reply_breaks_off_at_nan_and_where_the_model_has_no_place_left():
    model = tiny("gpt2")
    (full,) = replies(model, PROMPT * 12, [GREEDY], 99, past_end=True)
    assert len(full.further) == model.max_length + 1 - 12 * len(PROMPT)
    with torch.no_grad():
        model.net.transformer.ln_f.bias.fill_(float("nan"))
    (broken,) = replies(model, PROMPT, [GREEDY], 9, past_end=True)
    assert broken.broken
    assert broken.further == []
