"""Perplexity and n-gram entropy against plain computations."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_models import tiny

from kn_edit.evaluation.fluency import entropy, generated, perplexity

TEXTS = ("The capital of France is Paris .", "people speak French in New York")


def test_perplexity_of_a_causal_lm_is_that_of_its_own_loss():
    model = tiny("llama")
    losses, count = 0.0, 0
    for text in TEXTS:
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            loss = model.net(input_ids=ids, labels=ids).loss
        losses, count = losses + float(loss) * (ids.shape[1] - 1), count + ids.shape[1] - 1
    assert perplexity(model, TEXTS) == pytest.approx(math.exp(losses / count), rel=1e-4)


def test_pseudo_perplexity_of_a_masked_lm_masks_every_word_in_turn():
    model = tiny("bert")
    mask = model.tokenizer.mask_token_id
    logs = []
    for text in TEXTS:
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        for place in range(ids.shape[1]):
            if int(ids[0, place]) in model.tokenizer.all_special_ids:
                continue
            masked = ids.clone()
            masked[0, place] = mask
            with torch.no_grad():
                row = model.net(input_ids=masked).logits[0, place].log_softmax(-1)
            logs.append(float(row[ids[0, place]]))
    expected = math.exp(-sum(logs) / len(logs))
    assert perplexity(model, TEXTS) == pytest.approx(expected, rel=1e-4)


def test_free_generation_is_greedy_and_leaves_the_prompt_out():
    model = tiny("gpt2")
    texts = ["The capital of France is", "people speak", "one famous city in Japan", "known for"]
    expected = []
    for text in texts:
        ids = model.tokenizer(text)["input_ids"]
        said: list[int] = []
        while len(said) < 3 and model.tokenizer.eos_token_id not in said:
            with torch.no_grad():
                logits = model.net(input_ids=torch.tensor([ids + said])).logits
            said.append(int(logits[0, -1].argmax()))
        expected.append(model.tokenizer.decode(said))
    assert generated(model, texts, 3) == expected
    assert len(set(expected)) > 1


def test_entropy_falls_with_repetition():
    assert entropy(["a b a b a b a b"]) == pytest.approx(
        (2 / 3 * 0.985228 + 4 / 3 * 1.0) / 2, abs=1e-5
    )
    assert entropy(["one two three four five six"]) > entropy(["one two one two one two"])
    assert entropy([""]) == 0.0
    assert entropy([]) == 0.0
