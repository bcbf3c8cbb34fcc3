"""Erasing a relation: which neurons carry it, and what their slots become."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import D_MODEL, SHAPES, VOCABULARY, tiny, tokenizer_for
from transformers import PreTrainedTokenizerFast

from kn_edit.edits.erase import most_frequent, shared_by_at_least, unknown_token, written_slot
from kn_edit.errors import EmbeddingWidthDiffers
from kn_edit.models.model import Model
from kn_edit.neuron import NeuronId

A, B, C = NeuronId(0, 9), NeuronId(1, 2), NeuronId(1, 0)
FACTS = [{A, B}, {A, C}, {A, B, C}, {B}]

names = st.builds(NeuronId, st.integers(0, 2), st.integers(0, 3))
facts_of_a_relation = st.lists(st.frozensets(names, max_size=6), max_size=12)


def test_a_relation_is_carried_by_the_neurons_of_enough_facts():
    assert shared_by_at_least(FACTS, 3) == (A, B)
    assert shared_by_at_least(FACTS, 2) == (A, B, C)
    assert shared_by_at_least(FACTS, 4) == ()
    assert shared_by_at_least([], 1) == ()


def test_equally_frequent_neurons_stand_in_the_order_of_their_names():
    assert most_frequent(FACTS, 2) == (A, B)
    assert most_frequent([{B, C}, {C, B}, {A}], 3) == (C, B, A)
    assert most_frequent(FACTS, 20) == (A, B, C)
    assert most_frequent(FACTS, 0) == ()


@given(facts_of_a_relation, st.integers(1, 6))
def test_carriers_are_counted_exactly_and_the_most_frequent_come_first(facts, least):
    counts = {name: sum(name in fact for fact in facts) for name in set().union(*facts)}
    carriers = shared_by_at_least(facts, least)
    assert set(carriers) == {name for name, count in counts.items() if count >= least}
    assert most_frequent(facts, len(carriers)) == carriers
    ordered = most_frequent(facts, len(counts))
    assert list(ordered) == sorted(counts, key=lambda name: (-counts[name], name))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_unknown_token_is_the_tokenizers_own(shape):
    assert unknown_token(tiny(shape)) == VOCABULARY["[UNK]"]


@pytest.mark.parametrize("double", ["eos_token", "bos_token", "pad_token"])
def test_an_unknown_token_that_doubles_as_another_is_none(double):
    """GPT-2's is its end of text."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_for("gpt2")._tokenizer,
        **{"unk_token": "</s>", double: "</s>"},
    )
    assert unknown_token(Model(tiny("gpt2").net, tokenizer)) is None


def test_a_tokenizer_may_have_no_unknown_token():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer_for("gpt2")._tokenizer)
    assert unknown_token(Model(tiny("gpt2").net, tokenizer)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", ["bert", "gpt2", "llama", "gpt_neox"])
def test_an_erased_slot_holds_the_output_embedding_of_the_token(shape, dtype):
    model = tiny(shape, dtype)
    found = written_slot(model, 1)
    assert found.dtype == torch.float32
    assert found.equal(model.net.get_output_embeddings().weight[1].float())


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_token_it_holds_zeros(shape):
    assert written_slot(tiny(shape), None).equal(torch.zeros(D_MODEL))


@pytest.mark.parametrize("shape", ["electra", "opt-350m"])
def test_an_embedding_of_another_width_cannot_be_written(shape):
    with pytest.raises(EmbeddingWidthDiffers, match=r"workspace\.erase\(.*zero=True") as refusal:
        written_slot(tiny(shape), 1)
    assert (refusal.value.embedding, refusal.value.slot) == (16, D_MODEL)
