"""Models of the benchmark: the shape of BERT-base, and of Gemma 3 with and without its last norm.

Random weights from a seed. Needs torch and transformers alone: the peers' environment imports it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
)

BERT_TOKENS = 13
MASK = 103
USUAL_SPREAD = 0.02  # of random weights, as transformers makes them
WIDE_SPREAD = 0.05
POSITION = 11  # of the mask in the prompt
SMALL = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128}


def bert(*, spread: float = USUAL_SPREAD, small: bool = False) -> Any:
    """A network of the shape of BERT-base. spread: of its random weights; wider bends p more"""
    torch.manual_seed(0)
    heads = {"num_attention_heads": 4} if small else {}
    config = BertConfig(initializer_range=spread, **(SMALL | heads if small else {}))
    return BertForMaskedLM(config).eval().requires_grad_(False)


def bert_prompt() -> tuple[list[int], int]:
    """13 tokens, and which of them is the mask."""
    ids = torch.randint(1000, 20000, (BERT_TOKENS,), generator=torch.Generator().manual_seed(0))
    ids[0], ids[POSITION], ids[-1] = 101, MASK, 102
    return ids.tolist(), POSITION


def gemma(words: int, *, norm_behind: bool, small: bool = False) -> Any:
    """A network of the shape of Gemma 3 with 270 million parameters; without the norm behind the
    FFN where it is so asked."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 640,
        "intermediate_size": 2048,
        "num_hidden_layers": 18,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 256,
    }
    if small:
        sizes |= SMALL | {"head_dim": 16}
    config = Gemma3TextConfig(vocab_size=words, **sizes)
    net = Gemma3ForCausalLM(config).eval().requires_grad_(False)
    if not norm_behind:
        for layer in net.model.layers:
            layer.post_feedforward_layernorm = nn.Identity()
    return net


def no_tokenizer() -> Any:
    """Stands for a tokenizer where prompts are token ids."""
    return SimpleNamespace(all_special_ids=[], vocab_size=0, mask_token_id=MASK, pad_token_id=0)
