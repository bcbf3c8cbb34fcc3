"""A random model of every family, small enough to run hundreds of times."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PreTrainedTokenizerFast,
)

from kn_edit.models.families import FAMILIES
from kn_edit.models.logging import quiet_loading
from kn_edit.models.model import Model

D_MODEL, D_FF, HEADS, LAYERS = 32, 64, 4, 2
DEEP = 6  # layers, enough for some to lie low
POSITIONS = 64
WINDOW = 4  # of the families that attend locally; shorter than every prompt of the tests

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<s>", "</s>")
WORDS = """
    the The capital of is city country a in and . , France Japan Italy Egypt Norway Cuba Spain
    Paris Tokyo Rome Cairo Oslo Havana Madrid New York people speak language French yen euro
    currency which one lies gold iron symbol for Au Fe chemical was born known famous by
"""
VOCABULARY = {word: number for number, word in enumerate((*SPECIAL, *WORDS.split()))}

# What `AutoConfig.for_model` is told beside the family; most families share the first set.
_USUAL: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "intermediate_size": D_FF,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
_GPT = {"n_embd": D_MODEL, "n_inner": D_FF, "n_layer": LAYERS, "n_head": HEADS}
_GROUPED = {**_USUAL, "num_key_value_heads": 2}
_GEMMA = {**_GROUPED, "head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}
_OPT = {**{k: v for k, v in _USUAL.items() if k != "intermediate_size"}, "ffn_dim": D_FF}
_SIZES: dict[str, dict[str, Any]] = {
    "bert": _USUAL,
    "roberta": {**_USUAL, "pad_token_id": VOCABULARY["[PAD]"]},
    "distilbert": {
        "dim": D_MODEL,
        "hidden_dim": D_FF,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "max_position_embeddings": POSITIONS,
    },
    "electra": {**_USUAL, "embedding_size": 16},
    "gpt2": {**_GPT, "n_positions": POSITIONS},
    "gpt_neo": {
        "hidden_size": D_MODEL,
        "intermediate_size": D_FF,
        "num_layers": LAYERS,
        "num_heads": HEADS,
        "attention_types": [[["global", "local"], LAYERS // 2]],
        "window_size": WINDOW,
        "max_position_embeddings": POSITIONS,
    },
    "gptj": {**_GPT, "n_positions": POSITIONS, "rotary_dim": 4},
    "gpt_neox": _USUAL,
    "opt": {**_OPT, "word_embed_proj_dim": D_MODEL},
    "opt-350m": {**_OPT, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "llama": _GROUPED,
    "mistral": {**_GROUPED, "sliding_window": WINDOW},
    "qwen2": _GROUPED,
    "qwen3": {**_GROUPED, "head_dim": 8},
    "gemma2": {**_GEMMA, "final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0},
    "gemma3_text": {**_GEMMA, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {**_GROUPED, "pad_token_id": VOCABULARY["[PAD]"]},
    "olmo2": _GROUPED,
}

assert {shape.partition("-")[0] for shape in _SIZES} == FAMILIES.keys()

# Every family, and the shapes within one that take another way through the code.
SHAPES = tuple(_SIZES)
CAUSAL = tuple(shape for shape in SHAPES if FAMILIES[shape.partition("-")[0]].kind == "causal")
MASKED = tuple(shape for shape in SHAPES if shape not in CAUSAL)
_WITH_BOS = ("opt", "llama", "mistral", "gemma2", "gemma3_text")


def tiny(shape: str, dtype: torch.dtype = torch.float32, seed: int = 0, **sizes: Any) -> Model:
    """A random model; equal arguments give equal weights. `sizes` override its config."""
    return Model(_net(shape, dtype, seed, sizes), tokenizer_for(shape))


def tiny_folder(
    shape: str, folder: Path, dtype: torch.dtype = torch.float32, seed: int = 0
) -> Path:
    """A random model as a checkpoint folder.

    Its tokenizer comes back as it was, but for qwen2: transformers reads every tokenizer beside
    such a model as a byte-level one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in _files(shape, dtype, seed).items():
        (folder / name).write_bytes(data)
    return folder


def deep_folder(shape: str, folder: Path, dtype: torch.dtype, seed: int) -> Path:
    """The same with DEEP layers, of a family that names them as most do."""
    model = tiny(shape, dtype, seed, num_hidden_layers=DEEP)
    folder.mkdir(parents=True)
    model.net.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


@cache
def _files(shape: str, dtype: torch.dtype, seed: int) -> dict[str, bytes]:
    """The files of a checkpoint by name: hundreds of tests begin with the same few models."""
    model = tiny(shape, dtype, seed)
    with tempfile.TemporaryDirectory() as folder, quiet_loading():
        model.net.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _net(shape: str, dtype: torch.dtype, seed: int, sizes: dict[str, Any]) -> Any:
    family = FAMILIES[shape.partition("-")[0]]
    tokens = {"vocab_size": len(VOCABULARY), "bos_token_id": 5, "eos_token_id": 6}
    config = AutoConfig.for_model(family.model_type, **{**tokens, **_SIZES[shape], **sizes})
    auto = AutoModelForCausalLM if family.kind == "causal" else AutoModelForMaskedLM
    net = auto.from_config(config, dtype=torch.float32)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # Large enough that p(answer) bends along the integration paths.
        for _, weight in sorted(net.named_parameters()):
            noise = torch.randn(weight.shape, generator=source)
            weight.copy_(0.3 * noise if weight.ndim > 1 else weight + 0.1 * noise)
            weight.data = weight.to(dtype)  # but no buffer: sines would lose digits
    return net


@cache
def tokenizer_for(shape: str) -> PreTrainedTokenizerFast:
    """Words are tokens; some causal families begin with <s>, masked ones have [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    named = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if shape in MASKED:
        named |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
        frame = "[CLS] $A [SEP]"
    else:
        named |= {"bos_token": "<s>", "eos_token": "</s>"}
        frame = "<s> $A" if shape.partition("-")[0] in _WITH_BOS else "$A"
    used = [(word, VOCABULARY[word]) for word in re.findall(r"\S+", frame) if word != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=used)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
