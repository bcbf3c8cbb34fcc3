"""What a model says, as many tokens as an answer has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import CAUSAL, MASKED, POSITIONS, VOCABULARY, tiny

from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.greedy import _cache_pays, answers, ending_tokens, greedy, words_of
from kn_edit.models.questions import Chain, Question, ask, ask_openly
from kn_edit.neurons.assess import _letters, assess

FACT = Fact("capital", "France", "Paris")
SHORT = Prompt(FACT, Template("[X] is [Y]"))
LONG = Prompt(FACT, Template("The capital of the country [X] is the city of [Y]"))


def likeliest(model, ids, count):
    """The next tokens by the whole network, one text and one token at a time."""
    tokens, ends = list(ids), ending_tokens(model)
    for _ in range(count):
        with torch.no_grad():
            logits = model.net(input_ids=torch.tensor([tokens])).logits[0, -1]
        tokens.append(int(logits.argmax()))
        if tokens[-1] in ends:
            break
    return tokens[len(ids) :]


def chain_of(prompt, start, tokens):
    """An answer of these very tokens."""
    ids = start.ids
    return Chain(
        prompt,
        tuple(
            Question((*ids, *tokens[:done]), len(ids) + done - 1, token)
            for done, token in enumerate(tokens)
        ),
    )


def runs(model):
    """Counts the runs of a model."""
    seen = []
    model.layers[0].register_forward_hook(lambda *_: seen.append(1))
    return seen


@pytest.mark.parametrize("shape", CAUSAL)
def test_texts_of_several_lengths_go_on_as_each_does_by_itself(shape):
    model = tiny(shape)
    questions = [ask_openly(model, prompt) for prompt in (SHORT, LONG)]
    said = greedy(model, questions, [5, 3])
    for text, question, count in zip(said, questions, (5, 3), strict=True):
        assert text.tokens == likeliest(model, question.ids, count)


def test_a_text_that_ends_says_no_more():
    model = tiny("llama")
    question = ask_openly(model, SHORT)
    first, second = likeliest(model, question.ids, 2)
    model.net.generation_config.eos_token_id = [6, second]
    (text,) = greedy(model, [question], [6])
    assert text.tokens == [first, second]


def test_a_text_stops_where_the_model_has_no_place_for_more():
    model = tiny("gpt2")
    question = Question((VOCABULARY["the"],) * (POSITIONS - 1), POSITIONS - 2, 0)
    (text,) = greedy(model, [question], [9])
    assert len(text.tokens) == 2


@pytest.mark.parametrize("shape", MASKED)
def test_a_masked_model_says_one_token(shape):
    model = tiny(shape)
    (text,) = greedy(model, [ask_openly(model, SHORT)], [4])
    assert len(text.tokens) == 1
    (found,) = assess(model, [ask(model, SHORT)], says=True)
    assert found.says == model.tokenizer.decode(text.tokens)
    assert found.says_p == pytest.approx(found.top[0][1])


@pytest.mark.parametrize("wrong_at", [0, 1, 2])
def test_an_answer_is_said_up_to_its_first_wrong_token_and_then_goes_on(wrong_at):
    model = tiny("llama")
    start = ask_openly(model, LONG)
    tokens = likeliest(model, start.ids, 4)
    other = next(n for n in VOCABULARY.values() if n > 6 and n != tokens[wrong_at])
    wanted = [*tokens[:wrong_at], other, *tokens[wrong_at + 1 :]]
    (found,) = assess(model, [chain_of(LONG, start, wanted)], says=True)
    assert found.says == model.tokenizer.decode(tokens)
    assert not found.right
    assert (found.miss.place, found.miss.of) == (wrong_at + 1, 4)
    assert found.miss.wanted == model.tokenizer.decode([other])
    assert found.miss.instead == model.tokenizer.decode([tokens[wrong_at]])


def test_a_right_answer_is_what_is_said_and_costs_no_run():
    model = tiny("llama")
    start = ask_openly(model, LONG)
    right = chain_of(LONG, start, likeliest(model, start.ids, 4))
    seen = runs(model)
    (found,) = assess(model, [right], says=True)
    assert len(seen) == 1
    assert found.miss is None
    assert found.says == model.tokenizer.decode([one.token for one in right.questions])
    assert found.says_p == pytest.approx(found.p)


def test_wrong_answers_go_on_side_by_side():
    model = tiny("llama")
    chains = [ask(model, prompt, "New York and Rome") for prompt in (SHORT, LONG)]
    places = [one.miss.place for one in assess(model, chains)]
    seen = runs(model)
    assess(model, chains, says=True)
    assert len(seen) == 1 + 4 - min(places)


def test_nobody_pays_for_words_that_nobody_asked_for():
    model = tiny("llama")
    seen = runs(model)
    (found,) = assess(model, [ask(model, LONG, "New York and Rome")])
    assert len(seen) == 1
    assert found.says == ""


def test_words_leave_out_the_end_of_the_text():
    model = tiny("llama")
    rome, end = VOCABULARY["Rome"], VOCABULARY["</s>"]
    assert words_of(model, [rome, end, rome]) == "Rome"
    assert words_of(model, [end, rome]) == "</s>"


def test_an_answer_that_is_nan_says_so():
    model = tiny("llama")
    with torch.no_grad():
        model.net.get_output_embeddings().weight.fill_(torch.nan)
    (found,) = assess(model, [ask(model, SHORT, "New York")], finite=False, says=True)
    assert found.says == "NaN"
    assert not found.finite


def test_p_and_rank_are_the_same_whether_words_are_asked_for():
    model = tiny("gpt2")
    chains = [ask(model, prompt, "New York") for prompt in (SHORT, LONG)]
    plain, spoken = assess(model, chains), assess(model, chains, says=True)
    assert [replace(one, says="", says_p=0.0) for one in spoken] == [
        replace(one, says_p=0.0) for one in plain
    ]


class Bytes:
    """A tokenizer whose tokens are bytes."""

    def decode(self, tokens):
        return bytes(tokens).decode(errors="replace")


@pytest.mark.parametrize("at", range(3))
def test_a_token_that_is_part_of_a_letter_is_named_by_the_letter(at):
    model = type("BytesModel", (), {"tokenizer": Bytes()})()
    tokens = list("a\u5c71b".encode())
    assert _letters(model, tokens, 1 + at) == "\u5c71"
    assert _letters(model, tokens, 0) == "a"


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("shape", CAUSAL)
def test_a_free_answer_is_the_likeliest_path_with_a_cache_and_without_one(
    shape, cached, monkeypatch
):
    monkeypatch.setattr("kn_edit.models.greedy._cache_pays", lambda *_: cached)
    model = tiny(shape)
    questions = [ask_openly(model, prompt) for prompt in (SHORT, LONG)]
    for question, answer in zip(questions, answers(model, questions, [4, 2]), strict=True):
        assert list(answer.path) == likeliest(
            model, question.ids, 4 if question is questions[0] else 2
        )
        assert answer.says == answer.path


def test_a_cache_pays_for_many_tokens_behind_many_prompts_of_one_length():
    assert _cache_pays([12] * 32, [8] * 32)
    assert not _cache_pays([7, 9, 10, 12], [3] * 4)
