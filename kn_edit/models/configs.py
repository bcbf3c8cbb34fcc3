"""The configuration of a checkpoint, checked and stripped before transformers sees it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kn_edit.errors import MalformedCheckpoint
from kn_edit.models.families import Family, family_of
from kn_edit.models.foreign import foreign_code
from kn_edit.models.shards import CONFIG, SINGLE, read_config
from kn_edit.tensor_header import printable

MOST_LAYERS = 1000
_MOST_NUMBER = 2**53
_POSITIONS = ("max_position_embeddings", "n_positions")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# What a configuration says of programs, of number formats (the weights say it better), of heads
# that no language model has, and of what a forward pass gives back: none of it is followed.
_PASSED_OVER = {
    *("auto_map", "custom_pipelines", "fusion_config", "distributed_config"),
    *("kernel_config", "use_kernels", "transformers_weights", "quantization_config"),
    *("dtype", "torch_dtype", "use_bfloat16", "torchscript", "pruned_heads"),
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
    *("_attn_implementation_autoset", "experts_implementation", "_experts_implementation"),
    *("num_labels", "id2label", "label2id", "problem_type"),
    *("output_attentions", "output_hidden_states", "return_dict", "use_return_dict"),
    *("_commit_hash", "_name_or_path", "name_or_path"),
}
ATTENTION = ("eager", "sdpa")  # what torch alone can run


def family_in(config: Mapping[str, Any]) -> Family:
    """The family that a config.json names. Raises SharedLayers, UnknownFamily."""
    return family_of(printable(str(config.get("model_type"))))


def attention_in(config: Mapping[str, Any]) -> str | None:
    """The way to attend that a config.json asks for, None where that is transformers' choice."""
    named = config.get("attn_implementation", config.get("_attn_implementation"))
    return named if isinstance(named, str) and named in ATTENTION else None


def checked_config(folder: Path, stored: Collection[str]) -> dict[str, Any]:
    """The config.json of a checkpoint without what is not followed; numbers and layers in bounds.

    stored: the names of the checkpoint's tensors, which tell how many layers there are
    Raises ConfigMissing, MalformedCheckpoint, SharedLayers, UnknownFamily.
    """
    config = read_config(folder)
    family = family_in(config)
    path = folder / CONFIG
    weights = config.get("transformers_weights", SINGLE)
    if weights != SINGLE:
        raise MalformedCheckpoint(path, f"it names other weights, {printable(repr(weights))}")
    for name, number in _numbers(config, ""):
        if not -_MOST_NUMBER <= number <= _MOST_NUMBER:  # nor is NaN
            raise MalformedCheckpoint(path, f"{printable(name)} is no usable number")
    for name in _POSITIONS:
        if isinstance(config.get(name), int) and config[name] < 1:
            raise MalformedCheckpoint(path, f"{name} leaves no place for a token")
    _check_layers(path, config, _stored_layers(family, stored))
    return {name: value for name, value in config.items() if name not in _PASSED_OVER}


def config_of(folder: Path, facts: Mapping[str, Any]) -> Any:
    """The configuration object of transformers. Raises CheckpointUnloadable."""
    from transformers import AutoConfig

    with foreign_code(folder, "its config.json makes no sense"):
        kind = type(AutoConfig.for_model(facts["model_type"]))
        return kind.from_dict(dict(facts))


def _numbers(value: object, name: str) -> Iterator[tuple[str, float]]:
    """Every number inside a JSON value, with the name of the member that it stands in."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _numbers(member, key)
    elif isinstance(value, list):
        for member in value:
            yield from _numbers(member, name)


def _stored_layers(family: Family, stored: Collection[str]) -> int:
    """How many layers have a down-projection in the file, counted from the first on."""
    pattern = re.compile(rf"(?:^|\.)(\d{{1,9}})\.{re.escape(family.down)}\.weight")
    numbers = {int(match[1]) for name in stored if (match := pattern.search(name))}
    return next(layer for layer in range(len(numbers) + 1) if layer not in numbers)


def _check_layers(path: Path, config: Mapping[str, Any], stored: int) -> None:
    """Refuse more layers than there are tensors for, before anything is made of their number."""
    for name in _LAYERS:
        layers = config.get(name)
        if layers is None:
            continue
        if isinstance(layers, bool) or not isinstance(layers, int) or layers < 1:
            raise MalformedCheckpoint(
                path, f"{name} is {printable(repr(layers))}, no number of layers"
            )
        if layers > min(stored, MOST_LAYERS):
            problem = f"it asks for {layers} layers, and the tensors are those of {stored}"
            raise MalformedCheckpoint(path, problem)
    for _, count in _numbers(config.get("attention_types"), ""):
        if count > stored:
            raise MalformedCheckpoint(path, "its attention_types are of more layers than there are")
