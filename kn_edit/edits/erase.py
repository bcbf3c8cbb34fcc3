"""Erase a relation: its neurons' slots become the unknown token's embedding, or zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from kn_edit.edits.build import SlotPlace, delta_of
from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import Delta
from kn_edit.errors import ChangeOutOfRange, EmbeddingWidthDiffers, phrase
from kn_edit.models.model import Model
from kn_edit.neuron import NeuronId


def shared_by_at_least(facts: Sequence[Collection[NeuronId]], least: int) -> tuple[NeuronId, ...]:
    """Neurons that are knowledge neurons of at least so many facts (m = 5 in the paper)."""
    counts = _counts(facts)
    return tuple(neuron for neuron, count in counts if count >= least)


def most_frequent(facts: Sequence[Collection[NeuronId]], top: int) -> tuple[NeuronId, ...]:
    """The neurons that most facts have, as the authors' code chooses them (20 there)."""
    return tuple(neuron for neuron, _ in _counts(facts)[:top])


def _counts(facts: Sequence[Collection[NeuronId]]) -> list[tuple[NeuronId, int]]:
    """Neurons with their number of facts, the most frequent first, then by name."""
    counts = Counter(neuron for fact in facts for neuron in fact)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


# Ends of text by their names; some tokenizers call one of them their unknown token.
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


def unknown_token(model: Model) -> int | None:
    """The unknown token, unless the tokenizer lacks one or lets it double as another."""
    tokenizer = model.tokenizer
    unknown = tokenizer.unk_token_id
    doubles = (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id)
    if unknown is None or unknown in doubles or tokenizer.unk_token in _ENDS:
        return None
    return int(unknown)


def written_slot(model: Model, token: int | None) -> Tensor:
    """What an erased slot holds: a token's embedding, or zero; (d_model,).

    Raises EmbeddingWidthDiffers, ChangeOutOfRange.
    """
    if token is None:
        return torch.zeros(model.d_model, dtype=torch.float32, device="cpu")
    row = model.output_embedding(token).float().cpu()
    if len(row) != model.d_model:
        raise EmbeddingWidthDiffers(len(row), model.d_model)
    if not bool(row.isfinite().all()):
        raise ChangeOutOfRange(1, "holds NaN or infinity", phrase("{erase_with_zero}"))
    return row


def overwritten(place: SlotPlace, neurons: Sequence[NeuronId], slot: Tensor) -> Delta:
    """The delta that sets the slot of each of these neurons to `slot`, (d_model,)."""
    return delta_of(place, neurons, slot.expand(len(neurons), -1), Mode.SET)
