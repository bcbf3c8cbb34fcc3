"""Texts that come a token at a time: as `generate` says them, in turns, in certain pieces."""

from __future__ import annotations

import pytest
import torch
from test_live import bits, delta
from tiny_models import CAUSAL, VOCABULARY, tiny

from kn_edit.edits.live import apply_for_good
from kn_edit.engine.swapping import VersionSwapper
from kn_edit.errors import DeltaMisfit, NoChatTemplate, NotFinite
from kn_edit.models.chat import chat_ids
from kn_edit.models.generation import Generation, Sampling
from kn_edit.models.text_pieces import TextPieces

PROMPTS = ([7, 8, 9], [7, 8, 9, 18, 10, 12, 11, 20, 9])


@pytest.mark.parametrize("shape", CAUSAL)
@pytest.mark.parametrize("ids", PROMPTS, ids=len)
def test_greedy_is_generate_bit_for_bit(shape, ids):
    model = tiny(shape)
    expected = model.net.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=12,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=0,
    )
    generation = Generation(model, ids)
    said = []
    while not generation.ended and len(said) < 12:
        said.append(generation.next_token())
    assert [token.id for token in said] == expected.sequences[0, len(ids) :].tolist()
    rows = [logits[0].float().log_softmax(-1) for logits in expected.logits]
    assert [token.log_p for token in said] == [
        float(row[token.id]) for row, token in zip(rows, said, strict=True)
    ]


def test_turns_on_one_network_change_nothing():
    model = tiny("llama")
    texts = [Generation(model, ids) for ids in PROMPTS]
    for _ in range(8):
        for text in texts:
            text.next_token()
    for text, ids in zip(texts, PROMPTS, strict=True):
        by_itself = Generation(model, ids)
        assert text.tokens == [by_itself.next_token().id for _ in range(8)]


def test_versions_in_turns_say_what_each_says_by_itself():
    model = tiny("llama")
    deltas = {"a": [delta(model, 1)], "b": [delta(model, 1), delta(model, 2)], "base": []}
    swapper = VersionSwapper(model, deltas.__getitem__)
    texts = {version: Generation(model, PROMPTS[1]) for version in deltas}
    for _ in range(8):
        for version, text in texts.items():
            swapper.model_at(version)
            text.next_token()
    answers = set()
    for version, text in texts.items():
        alone = Generation(apply_for_good(tiny("llama"), deltas[version]), PROMPTS[1])
        assert text.tokens == [alone.next_token().id for _ in range(8)]
        answers.add(tuple(text.tokens))
    assert len(answers) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("most_bytes", [1 << 20, 0])
def test_swaps_hold_the_bits_of_each_version(dtype, most_bytes):
    model = tiny("gpt2", dtype)
    deltas = {"a": [delta(model, 1)], "b": [delta(model, 2, layers=(1,))], "base": []}
    expected = {
        version: bits(apply_for_good(tiny("gpt2", dtype), change))
        for version, change in deltas.items()
    }
    read = []
    swapper = VersionSwapper(model, lambda id: read.append(id) or deltas[id], most_bytes)
    for version in ("a", "b", "a", "a", "base", "b", "base", "a"):
        actual = bits(swapper.model_at(version))
        assert [n for n in actual if not actual[n].equal(expected[version][n])] == []
    assert (len(read) == 3) == (most_bytes > 0)
    actual = bits(swapper.put_back())
    assert [n for n in actual if not actual[n].equal(expected["base"][n])] == []


def test_a_version_that_does_not_fit_leaves_the_base():
    model = tiny("llama")
    base = bits(model)
    deltas = {"a": [delta(model, 1)], "alien": [delta(tiny("gpt2"), 1)]}
    swapper = VersionSwapper(model, deltas.__getitem__)
    swapper.model_at("a")
    with pytest.raises(DeltaMisfit):
        swapper.model_at("alien")
    assert all(base[name].equal(bits(model)[name]) for name in base)
    swapper.model_at("a")
    assert not all(base[name].equal(bits(model)[name]) for name in base)


def test_what_is_drawn_follows_the_seed_and_stays_within_top_p():
    model = tiny("llama")

    def said(**options):
        generation = Generation(model, PROMPTS[0], Sampling(**options))
        return [generation.next_token() for _ in range(10)]

    def ids(**options):
        return [token.id for token in said(**options)]

    assert ids(temperature=1.0, seed=3) == ids(temperature=1.0, seed=3)
    assert len({tuple(ids(temperature=1.5, seed=seed)) for seed in range(5)}) == 5
    assert ids(temperature=1.0, top_p=1e-9, seed=1) == ids()
    assert ids(temperature=1e-300, seed=1) == ids()
    for token in said(temperature=2.0, top_p=0.5, seed=2, likeliest=len(VOCABULARY)):
        p = torch.tensor([log_p for _, log_p in token.likeliest])
        drawn_from = (p / 2).softmax(0).cumsum(0)
        nucleus = int((drawn_from < 0.5).sum()) + 1
        assert token.id in [id for id, _ in token.likeliest[:nucleus]]
        assert dict(token.likeliest)[token.id] == pytest.approx(token.log_p)


def test_nan_is_refused_where_it_begins():
    model = tiny("llama")
    model.slots(1)[3] = float("nan")
    with pytest.raises(NotFinite, match="layer 1"):
        Generation(model, PROMPTS[0]).next_token()


def text_of(pieces, tokens):
    return "".join([*map(pieces.add, tokens), pieces.end()])


def test_pieces_together_are_the_text_behind_the_prompt():
    model = tiny("llama")
    prompt = model.tokenizer("The capital of France is").input_ids
    tokens = model.tokenizer(" Paris and Rome", add_special_tokens=False).input_ids
    assert text_of(TextPieces(model, prompt), tokens) == " Paris and Rome"
    marked = [tokens[0], model.tokenizer.unk_token_id, model.tokenizer.unk_token_id, *tokens[1:]]
    assert text_of(TextPieces(model, prompt), marked) == " Paris and Rome"


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (["Rome"], " Paris and "),
        (["and Rome"], " Paris "),
        (["Oslo", "s an"], " Pari"),
        (["Rome is"], " Paris and Rome Oslo"),
        ([" Paris"], ""),
    ],
)
def test_a_stop_string_ends_the_text_and_is_not_in_it(stop, text):
    model = tiny("llama")
    pieces = TextPieces(model, model.tokenizer("is").input_ids, stop)
    tokens = model.tokenizer("Paris and Rome Oslo", add_special_tokens=False).input_ids
    parts = []
    for token in tokens:
        parts.append(pieces.add(token))
        assert text.startswith("".join(parts))  # nothing is told that is not in the text
        if pieces.stopped:
            break
    assert "".join([*parts, pieces.end()]) == text
    assert pieces.stopped == (stop != ["Rome is"])


def test_a_model_without_a_template_cannot_chat():
    with pytest.raises(NoChatTemplate, match="it has none"):
        chat_ids(tiny("llama"), [{"role": "user", "content": "hello"}])
