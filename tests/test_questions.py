"""Prompts as tokens, and what models answer to them."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CAUSAL, MASKED, SHAPES, VOCABULARY, tiny
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kn_edit.errors import AnswerNotInVocabulary, AnswerNotOneToken, ExitCode
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models import predict
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients, first_tokens, log_p, written
from kn_edit.models.questions import (
    Question,
    ask,
    ask_between,
    ask_openly,
    ask_place,
    batched,
    of_similar_length,
    places,
    with_unknown_words,
)

CAPITAL = Template("the capital of [X] is [Y] .")


def prompt(answer: str = "Paris", subject: str = "France", template: Template = CAPITAL) -> Prompt:
    return Prompt(Fact("capital", subject, answer), template)


def ids(text: str) -> tuple[int, ...]:
    return tuple(VOCABULARY[word] for word in text.split())


def test_a_causal_model_is_asked_after_the_text_before_the_answer():
    (question,) = ask(tiny("gpt2"), prompt()).questions
    assert question == Question(ids("the capital of France is"), 4, VOCABULARY["Paris"])


def test_the_prompt_begins_as_the_tokenizer_begins_it():
    (question,) = ask(tiny("llama"), prompt()).questions
    assert question == Question(ids("<s> the capital of France is"), 5, VOCABULARY["Paris"])


@pytest.mark.parametrize(("shape", "start"), [("gpt2", ""), ("llama", "<s> ")])
def test_an_answer_of_several_tokens_is_asked_token_by_token(shape, start):
    first, second = ask(tiny(shape), prompt("New York")).questions
    text = f"{start}the capital of France is"
    length = len(text.split())
    assert first == Question(ids(text), length - 1, VOCABULARY["New"])
    assert second == Question(ids(f"{text} New"), length, VOCABULARY["York"])


def test_a_masked_model_is_asked_at_the_mask():
    (question,) = ask(tiny("bert"), prompt()).questions
    sentence = ids("[CLS] the capital of France is [MASK] . [SEP]")
    assert question == Question(sentence, 6, VOCABULARY["Paris"])


def test_words_of_the_template_become_unknown_one_at_a_time():
    model = tiny("bert")
    chain = ask(model, prompt())
    sentence = "[CLS] {} {} {} France {} [MASK] {} [SEP]"
    words = ["the", "capital", "of", "is", "."]
    expected = {
        ids(sentence.format(*words[:at], "[UNK]", *words[at + 1 :])) for at in range(len(words))
    }
    found = with_unknown_words(model, chain, 99, Random(0))
    assert {one.ids for one in found} == expected
    assert {(one.position, one.token) for one in found} == {(6, VOCABULARY["Paris"])}
    some = with_unknown_words(model, chain, 2, Random(0))
    assert len({one.ids for one in some}) == 2


def test_a_place_in_a_text_is_predicted_or_masked():
    causal, masked = tiny("gpt2"), tiny("bert")
    text = ids("the capital of France")
    assert ask_place(causal, text, 3) == Question(text, 2, VOCABULARY["France"])
    hidden = ids("the capital [MASK] France")
    assert ask_place(masked, text, 2) == Question(hidden, 2, VOCABULARY["of"])


def test_between_two_pieces_of_a_text_a_causal_model_sees_only_the_first():
    causal, masked = tiny("gpt2"), tiny("bert")
    assert ask_between(causal, "the capital of ", " is Paris") == Question(
        ids("the capital of"), 2, 0
    )
    sentence = ids("[CLS] the capital of [MASK] is Paris [SEP]")
    assert ask_between(masked, "the capital of ", " is Paris") == Question(sentence, 4, 0)


@pytest.mark.parametrize("shape", ["gpt2", "bert"])
def test_another_answer_can_be_asked_for(shape):
    model = tiny(shape)
    chain, other = ask(model, prompt()), ask(model, prompt(), "Rome")
    assert other.questions[0].token == VOCABULARY["Rome"]
    assert other.questions[0].ids == chain.questions[0].ids
    assert other.prompt == chain.prompt == prompt()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_open_question_stands_at_the_place_of_the_answer(shape):
    model = tiny(shape)
    (question,) = ask(model, prompt()).questions
    openly = ask_openly(model, prompt(answer=""))
    assert (openly.ids, openly.position) == (question.ids, question.position)


@pytest.mark.parametrize("shape", MASKED)
def test_a_masked_model_refuses_an_answer_of_several_tokens_and_names_them(shape):
    with pytest.raises(AnswerNotOneToken, match="New and York") as refusal:
        ask(tiny(shape), prompt("New York"))
    assert refusal.value.tokens == ("New", "York")
    assert refusal.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("answer", ["Atlantis", "", " "])
def test_an_answer_that_the_tokenizer_does_not_know_is_refused(shape, answer):
    with pytest.raises(AnswerNotInVocabulary, match="choose an answer") as refusal:
        ask(tiny(shape), prompt(answer))
    assert refusal.value.answer == answer


@pytest.mark.parametrize("shape", CAUSAL)
def test_an_answer_that_is_partly_unknown_is_refused(shape):
    with pytest.raises(AnswerNotInVocabulary):
        ask(tiny(shape), prompt("New Atlantis"))


def byte_level() -> PreTrainedTokenizerFast:
    """As GPT-2's: a word and the space in front of it are one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, vocab_size=400
    )
    tokenizer.train_from_iterator(["the capital of France is Paris."] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_a_byte_level_tokenizer_is_asked_for_the_word_with_its_space():
    tokenizer = byte_level()
    model = Model(tiny("gpt2", vocab_size=400).net, tokenizer)
    (question,) = ask(model, prompt()).questions
    assert tokenizer.convert_ids_to_tokens(question.token) == "ĠParis"
    assert tokenizer.decode(question.ids) == "the capital of France is"
    letters = ask(model, prompt("Éze")).questions
    assert len(letters) > 2
    assert tokenizer.decode([*letters[-1].ids, letters[-1].token]) == "the capital of France is Éze"


def test_a_tokenizer_that_merges_over_the_space_gets_the_prompt_and_the_answer_apart():
    vocabulary = {
        token: number for number, token in enumerate(["?", " ", "i", "s", "s ", "x", "y"])
    }
    bpe = models.BPE(vocabulary, [("s", " ")], unk_token="?")
    model = Model(
        tiny("gpt2").net, PreTrainedTokenizerFast(tokenizer_object=Tokenizer(bpe), unk_token="?")
    )
    chain = ask(model, prompt("y", "x", Template("[X] is [Y]")))
    assert [(q.ids, q.token) for q in chain.questions] == [
        ((5, 1, 2, 3), 1),
        ((5, 1, 2, 3, 1), 6),
    ]


SENTENCES = (
    "France is",
    "the capital city of the country of France is the city of",
    "the capital of Japan is",
    "people in Cuba speak the language",
    "the capital of Japan is",
)


def some_questions(model: Model) -> list[Question]:
    made = []
    for number, sentence in enumerate(SENTENCES):
        template = Template(f"[X] {sentence} [Y]{'' if model.causal else ' .'}")
        made.append(ask(model, prompt("Rome", "iron", template)).questions[0])
        if model.causal and number == 1:  # the same text, asked in its middle
            made.append(Question(made[-1].ids, 4, 11))
    return made


@pytest.mark.parametrize("shape", SHAPES)
def test_padding_changes_no_answer(shape, monkeypatch):
    model = tiny(shape)
    questions = some_questions(model)
    one_by_one = torch.stack([next(iter(log_p(model, [question]))) for question in questions])
    together = torch.stack(list(log_p(model, questions)))
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(predict, "BATCH", 2)
    split = torch.stack(list(log_p(model, questions)))
    torch.testing.assert_close(split, one_by_one, rtol=1e-4, atol=1e-4)
    assert first_tokens(model, questions) == one_by_one.argmax(1).tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_are_those_of_the_network(shape):
    model = tiny(shape)
    for question, row in zip(
        some_questions(model), log_p(model, some_questions(model)), strict=True
    ):
        with torch.no_grad():
            logits = model.net(input_ids=torch.tensor([question.ids])).logits
        expected = logits[0, question.position].log_softmax(-1)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)
        assert row.exp().sum() == pytest.approx(1, abs=1e-4)


def test_questions_about_one_text_share_a_row():
    model = tiny("gpt2")
    batch = batched(model, some_questions(model))
    assert batch.ids.shape[0] == len(set(SENTENCES))
    assert batch.rows.tolist() == [0, 1, 1, 2, 3, 2]
    assert batch.positions.tolist()[:3] == [2, 12, 4]


def test_only_padding_that_could_be_seen_is_masked():
    causal, masked = tiny("gpt2"), tiny("bert")
    assert batched(causal, some_questions(causal)).mask is None
    assert batched(masked, some_questions(masked)[:1]).mask is None
    batch = batched(masked, some_questions(masked))
    lengths = [len(ids) for ids in dict.fromkeys(q.ids for q in some_questions(masked))]
    assert batch.mask.sum(1).tolist() == lengths
    assert bool((batch.ids[batch.mask == 0] == VOCABULARY["[PAD]"]).all())


lengths = st.lists(st.integers(1, 40), max_size=20)


@given(lengths)
def test_texts_that_are_padded_together_are_of_similar_length(lengths):
    questions = [Question((number,) * n, n - 1, number) for number, n in enumerate(lengths)]
    groups = of_similar_length(questions)
    assert sorted(q.token for group in groups for q in group) == list(range(len(lengths)))
    for group in groups:
        sizes = [len(question.ids) for question in group]
        assert max(sizes) <= 1.5 * min(sizes)


@pytest.mark.parametrize("shape", ["gpt2", "llama", "bert"])
def test_what_the_ffns_write_is_the_length_of_their_outputs(shape):
    model = tiny(shape)
    asked = places(model, "the capital of France is Paris")
    sizes = written(model, coefficients(model, asked))
    for layer, down in enumerate(model.downs):
        for at, one in enumerate(asked):
            outputs: list[torch.Tensor] = []
            hook = down.register_forward_hook(lambda _, __, out, to=outputs: to.append(out))
            with torch.no_grad():
                model.net(input_ids=torch.tensor([one.ids]))
            hook.remove()
            bias = 0 if down.bias is None else down.bias
            size = float((outputs[0][0, one.position] - bias).square().sum())
            assert float(sizes[at, layer]) == pytest.approx(size, rel=1e-4)


@pytest.mark.parametrize("shape", CAUSAL)
def test_a_causal_model_reads_an_answers_chain_in_one_row(shape):
    model = tiny(shape)
    chain = ask(model, prompt("New York")).questions
    batch = batched(model, [*reversed(chain), ask_openly(model, prompt())])
    assert len(batch.ids) == 1
    assert batch.positions.tolist() == [chain[1].position, *[chain[0].position] * 2]
    together = torch.stack(list(log_p(model, chain)))
    apart = torch.stack([row for one in chain for row in log_p(model, [one])])
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-4)


def test_a_masked_model_reads_each_text_whole():
    model = tiny("bert")
    whole = Question(ids("[CLS] the [MASK] of France [SEP]"), 2, 0)
    beginning = Question(whole.ids[:4], 2, 0)
    assert len(batched(model, [whole, beginning]).ids) == 2
