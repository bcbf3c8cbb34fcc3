"""Rewordings for one model: those that it can be asked, each other text to it."""

from __future__ import annotations

import pytest
from test_chat import CHATML, with_template
from tiny_models import POSITIONS, tiny

from kn_edit.editing.locating import prompts_for
from kn_edit.editing.paraphrasing import PARAPHRASES, judging_paraphrases, reworded
from kn_edit.facts import Fact, Relation, Template
from kn_edit.facts.paraphrases import for_solver
from kn_edit.models.questions import ask

FRANCE = Fact("capital", "France", "Paris")


def relation(*texts, held_out=()):
    templates = [Template(text) for text in texts]
    return Relation("capital", (*templates, *(Template(text, held_out=True) for text in held_out)))


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_what_judges_reads_otherwise_to_the_model_than_what_it_was_trained_on(shape):
    model = tiny(shape)
    capital = relation("The capital of [X] is [Y] .", "the capital of [X] is [Y] .")
    own = prompts_for(model, capital, FRANCE)
    judging = judging_paraphrases(model, capital, FRANCE, "Rome")
    training = reworded(model, own, "Rome", for_solver, PARAPHRASES)
    read = [
        {ask(model, prompt, "Rome").questions for prompt in prompts}
        for prompts in (own, training, judging)
    ]
    assert [len(some) for some in read] == [2, len(training), len(judging)]
    assert min(len(training), len(judging)) >= 3
    assert len(set.union(*read)) == sum(map(len, read))


def test_paraphrases_of_the_relation_judge_alone():
    capital = relation("the capital of [X] is [Y]", held_out=["[X] , capital [Y]"])
    (prompt,) = judging_paraphrases(tiny("llama"), capital, FRANCE, "Rome")
    assert prompt.template.held_out
    assert prompt.cloze == "France , capital [Y]"


def test_held_out_paraphrases_that_a_causal_lm_cannot_be_asked_are_no_paraphrases():
    capital = relation("the capital of [X] is [Y]", held_out=["[Y] is the capital of [X]"])
    assert len(judging_paraphrases(tiny("bert"), capital, FRANCE, "Rome")) == 1
    assert len(judging_paraphrases(tiny("llama"), capital, FRANCE, "Rome")) > 1


def test_rewordings_that_are_too_long_for_the_model_are_left_out():
    model = tiny("gpt2")
    long = relation("the " * (POSITIONS - 6) + "[X] is [Y]")
    prompts = judging_paraphrases(model, long, FRANCE, "Rome")
    assert (
        1 <= len(prompts) < len(judging_paraphrases(model, relation("[X] is [Y]"), FRANCE, "Rome"))
    )


def test_a_model_with_a_chat_format_is_asked_in_it():
    model = with_template(CHATML, "gpt2")
    (chat,) = (
        prompt
        for prompt in judging_paraphrases(model, relation("[X] is in [Y]"), FRANCE, "Rome")
        if prompt.template.marked
    )
    ids = ask(model, chat, "Rome").questions[0].ids
    assert model.tokenizer.eos_token_id in ids
    assert chat.before.endswith("assistant\n")
