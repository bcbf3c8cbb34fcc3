"""The model families kn-edit knows, as one table.

One mechanism serves them all: a hook in front of the down-projection sees the coefficients. What
differs is only where the layers, the down-projection and the head stand, and how value slots lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kn_edit.errors import SharedLayers, UnknownFamily

Axis = Literal["column", "row"]
Kind = Literal["causal", "masked"]


@dataclass(frozen=True)
class Family:
    """The parts of a model type, as attribute paths from the loaded model."""

    model_type: str  # `model_type` of config.json
    kind: Kind
    layers: str
    down: str  # the down-projection, from one layer
    head: tuple[str, ...]  # from the last layer's output to logits; `?` marks an optional part
    ups: tuple[str, ...]  # what gives the pre-activations, from one layer: the gate's first
    axis: Axis = "column"  # a value slot is a column of nn.Linear, a row of Conv1D
    gated: bool = False  # the coefficient is the gated product
    softcap: bool = False  # the logits pass a soft cap where the config has one


def _llama_like(model_type: str, *, softcap: bool = False, fused: bool = False) -> Family:
    return Family(
        model_type,
        "causal",
        "model.layers",
        "mlp.down_proj",
        ("model.norm", "lm_head"),
        ups=("mlp.gate_up_proj",) if fused else ("mlp.gate_proj", "mlp.up_proj"),
        gated=True,
        softcap=softcap,
    )


_TABLE = (
    Family(
        "bert",
        "masked",
        "bert.encoder.layer",
        "output.dense",
        ("cls",),
        ups=("intermediate.dense",),
    ),
    Family(
        "roberta",
        "masked",
        "roberta.encoder.layer",
        "output.dense",
        ("lm_head",),
        ups=("intermediate.dense",),
    ),
    Family(
        "distilbert",
        "masked",
        "distilbert.transformer.layer",
        "ffn.lin2",
        ("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
        ups=("ffn.lin1",),
    ),
    Family(
        "electra",
        "masked",
        "electra.encoder.layer",
        "output.dense",
        ("generator_predictions", "generator_lm_head"),
        ups=("intermediate.dense",),
    ),
    Family(
        "gpt2",
        "causal",
        "transformer.h",
        "mlp.c_proj",
        ("transformer.ln_f", "lm_head"),
        axis="row",
        ups=("mlp.c_fc",),
    ),
    Family(
        "gpt_neo",
        "causal",
        "transformer.h",
        "mlp.c_proj",
        ("transformer.ln_f", "lm_head"),
        ups=("mlp.c_fc",),
    ),
    Family(
        "gptj",
        "causal",
        "transformer.h",
        "mlp.fc_out",
        ("transformer.ln_f", "lm_head"),
        ups=("mlp.fc_in",),
    ),
    Family(
        "gpt_neox",
        "causal",
        "gpt_neox.layers",
        "mlp.dense_4h_to_h",
        # One head under two names: transformers renamed it.
        ("gpt_neox.final_layer_norm", "lm_head?", "embed_out?"),
        ups=("mlp.dense_h_to_4h",),
    ),
    Family(
        "opt",
        "causal",
        "model.decoder.layers",
        "fc2",
        ("model.decoder.final_layer_norm?", "model.decoder.project_out?", "lm_head"),
        ups=("fc1",),
    ),
    _llama_like("llama"),
    _llama_like("mistral"),
    _llama_like("qwen2"),
    _llama_like("qwen3"),
    _llama_like("gemma2", softcap=True),
    _llama_like("gemma3_text", softcap=True),
    _llama_like("phi3", fused=True),
    _llama_like("olmo2"),
)

FAMILIES: dict[str, Family] = {family.model_type: family for family in _TABLE}


def family_of(model_type: str) -> Family:
    """The family of a `model_type`. Raises SharedLayers for ALBERT, UnknownFamily otherwise."""
    if model_type == "albert":
        raise SharedLayers(model_type)
    if model_type not in FAMILIES:
        raise UnknownFamily(model_type, tuple(FAMILIES))
    return FAMILIES[model_type]


def module_of(family: Family, weight: str) -> str:
    """The path in the live model of a down-projection, from its weight's name in the checkpoint.

    Some checkpoints lack the prefix of the task model (`encoder.layer...` for BERT).
    """
    layer = weight.removesuffix(f".{family.down}.weight").rsplit(".", 1)[-1]
    return f"{family.layers}.{layer}.{family.down}"
