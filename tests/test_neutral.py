"""Neutral text: what solvers hold of it is not what judges them."""

from __future__ import annotations

import pytest
from tiny_models import tiny

from kn_edit.editing.neutral import (
    everywhere,
    held_in_place,
    neutral_perplexity,
    perplexity_metrics,
    unseen_texts,
)
from kn_edit.facts import neutral_sentences
from kn_edit.workspace import Workspace


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with (
        Workspace.init("demo-bert", tmp_path_factory.mktemp("neutral")) as workspace,
        workspace.engine.at([]) as live,
    ):
        yield live.model


def test_what_a_solver_holds_does_not_judge(model):
    judging = [tuple(model.tokenizer(text)["input_ids"]) for text in unseen_texts()]
    held = held_in_place(model)
    assert len(held) > 20
    for question in held:
        whole = list(question.ids)
        whole[question.position] = question.token  # the mask taken off again
        assert not any(text[: len(whole)] == tuple(whole) for text in judging)


def test_text_that_judges_is_not_among_the_mixed_sentences(model):
    """A solver sees halves of sentences, and none of those that judge."""
    judging = [half for text in unseen_texts() for half in in_two(text)]
    halves = [model.tokenizer(half)["input_ids"][1:-1] for half in judging]
    whole = {
        (*question.ids[: question.position], question.token, *question.ids[question.position + 1 :])
        for question in everywhere(model)
    }
    assert len(whole) > 100
    assert not any(ends_alike(ids[1:-1], half) for ids in whole for half in halves)


def test_a_causal_lm_is_shown_sentences_as_they_are():
    model = tiny("llama")
    shown = {question.ids for question in everywhere(model)}
    seen = [text for text in neutral_sentences() if text not in unseen_texts()]
    assert shown == {tuple(model.tokenizer(text)["input_ids"]) for text in seen}


def in_two(text):
    words = text.split()
    return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])


def ends_alike(ids, half):
    return list(ids[: len(half)]) == half or list(ids[-len(half) :]) == half


def test_a_model_that_learned_the_text_is_hardly_perplexed(model):
    assert 1 < neutral_perplexity(model) < 10
    assert perplexity_metrics(3.0, 4.0) == {"neutral_before": 3.0, "neutral_after": 4.0}
