"""From a checkpoint's files to a network of transformers, which itself never sees the folder.

transformers is given a configuration and tensors, nothing else: so neither code of the folder, nor
an adapter or another file that it names, nor a question on the terminal can come in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kn_edit.errors import (
    CheckpointUnloadable,
    MalformedCheckpoint,
    WeightsMissing,
)
from kn_edit.models.configs import attention_in, checked_config, config_of, family_in
from kn_edit.models.dequantised import Weights, readable_weights
from kn_edit.models.families import Family
from kn_edit.models.foreign import foreign_code
from kn_edit.models.placement import dtype_name
from kn_edit.models.shards import Shards, read_config, read_settings
from kn_edit.tensor_header import printable

GENERATION = "generation_config.json"
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_ROOM = 64 << 20  # bytes of tables that a network may compute for itself


@dataclass(frozen=True, eq=False)
class Frame:
    """A network without its weights: its class, its configuration, its way to attend."""

    folder: Path
    kind: Any
    config: Any
    attention: str | None

    def filled(self, state: Mapping[str, Tensor], dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
        """The network with these tensors, and what transformers reports of them."""
        with foreign_code(self.folder, "its tensors do not make the model of its config.json"):
            net, report = self.kind.from_pretrained(
                None,
                config=self.config,
                state_dict=dict(state),
                dtype=dtype,
                attn_implementation=self.attention,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        return net, report


@dataclass(frozen=True, eq=False)
class Blueprint:
    """What a checkpoint will be loaded as, told without reading a weight."""

    shards: Weights
    family: Family
    facts: Mapping[str, Any]  # config.json, as far as it is followed
    frame: Frame
    sources: Mapping[str, str]  # parameter of the network -> tensor of the file
    buffers: frozenset[str]  # tensors of the file that are no parameters
    embeddings: int  # how many tokens have one

    @property
    def stored(self) -> dict[str, torch.dtype]:
        """The number format of each parameter in the file."""
        entries = self.shards.entries
        return {name: entries[source].torch_dtype for name, source in self.sources.items()}

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights; where they have several, one that holds them all."""
        return reduce(torch.promote_types, self.stored.values())


def blueprint(shards: Shards) -> Blueprint:
    """Compare the configuration of a checkpoint with its tensors.

    Raises UnknownFamily, SharedLayers, MalformedCheckpoint, CheckpointUnloadable, WeightsMissing.
    """
    folder, raw = shards.folder, read_config(shards.folder)
    weights = readable_weights(shards)
    family, attention = family_in(raw), attention_in(raw)
    facts = checked_config(folder, weights.entries)
    config = config_of(folder, facts)
    with foreign_code(folder, "no model can be made of its config.json"), torch.device("meta"):
        outline = _class_for(family).from_config(
            config, dtype=torch.float32, attn_implementation=attention
        )
        embeddings = int(outline.get_input_embeddings().weight.shape[0])
    _check_sizes(weights, outline)
    _check_forward(folder, outline)
    frame = Frame(folder=folder, kind=type(outline), config=config, attention=attention)
    sources, buffers = _sources(weights, frame)
    plan = Blueprint(
        shards=weights,
        family=family,
        facts=facts,
        frame=frame,
        sources=sources,
        buffers=buffers,
        embeddings=embeddings,
    )
    _check_formats(plan)
    _generation(folder)
    return plan


def network(
    plan: Blueprint,
    dtype: torch.dtype | None = None,
    place: Callable[[str], torch.device] = lambda _: torch.device("cpu"),
) -> Any:
    """The network with its weights, in the number format that they are stored in unless named.

    place: the device of each parameter and buffer, by its name. Weights go from the file to their
        device a few megabytes at a time: no second copy of them is ever in memory.
    Raises CheckpointUnloadable, MalformedCheckpoint.
    """
    shards, dtype = plan.shards, dtype or plan.dtype
    blank = torch.zeros((), dtype=dtype, device="cpu")
    sources = {*plan.sources.values()}
    state = {name: blank.expand(shards.entries[name].shape) for name in sources}
    state |= {name: shards.read(name) for name in plan.buffers}
    net, _ = plan.frame.filled(state, dtype)
    _read_weights(plan, net, place)
    _move_buffers(net, place)
    net.config.name_or_path = str(shards.folder)
    generation = _generation(shards.folder)
    if generation is not None:
        net.generation_config = generation
    return net


def _read_weights(plan: Blueprint, net: Any, place: Callable[[str], torch.device]) -> None:
    """Give every parameter of a network memory of its own, and the numbers of the file."""
    filled: dict[Any, nn.Parameter] = {}  # tied parameters are one
    for prefix, module in net.named_modules():
        for name, blank in module.named_parameters(recurse=False):
            if blank not in filled:
                full_name = f"{prefix}.{name}".removeprefix(".")
                weight = torch.empty(blank.shape, dtype=blank.dtype, device=place(full_name))
                plan.shards.read_into(plan.sources[full_name], weight)
                filled[blank] = nn.Parameter(weight, requires_grad=False)
            setattr(module, name, filled[blank])


def _move_buffers(net: Any, place: Callable[[str], torch.device]) -> None:
    """Put the tables that a network has beside its parameters on their devices."""
    for prefix, module in net.named_modules():
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, buffer.to(place(f"{prefix}.{name}".removeprefix("."))))


def _class_for(family: Family) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    return AutoModelForCausalLM if family.kind == "causal" else AutoModelForMaskedLM


def _check_sizes(shards: Weights, outline: Any) -> None:
    """Refuse shapes that are not those of the file, and networks far larger than it."""
    for name, tensor in outline.state_dict().items():
        entry = shards.entries.get(name)
        if entry is not None and entry.shape != tuple(tensor.shape):
            _refuse_shape(shards.folder, name, entry.shape, tuple(tensor.shape))
    stored = sum(entry.end - entry.start for entry in shards.entries.values())
    wanted = sum(parameter.numel() for parameter in outline.parameters())  # of a byte or more each
    if wanted > 2 * stored + _ROOM:
        reason = f"its config.json asks for {wanted:,} numbers, of which {stored:,} bytes are there"
        raise CheckpointUnloadable(shards.folder, reason)
    tables = sum(buffer.numel() * buffer.element_size() for buffer in outline.buffers())
    if tables > 2 * stored + _ROOM:
        reason = f"its config.json asks for tables of {tables:,} bytes beside the weights"
        raise CheckpointUnloadable(shards.folder, reason)


def _refuse_shape(folder: Path, name: str, stored: object, wanted: object) -> None:
    reason = (
        f"tensor {printable(name)} has the shape {stored}, and its config.json asks for {wanted}"
    )
    raise CheckpointUnloadable(folder, printable(reason) if len(reason) > 240 else reason)


def _check_forward(folder: Path, outline: Any) -> None:
    """Run the network without numbers: what does not fit together fails as it would with them."""
    ids = torch.zeros(1, 2, dtype=torch.long, device="meta")
    try:
        with (
            foreign_code(folder, "its config.json makes no model that runs"),
            torch.no_grad(),
            torch.device("meta"),
        ):
            outline(input_ids=ids)
    except CheckpointUnloadable as error:
        cause = error.__cause__
        # Some rotary embeddings look at numbers, which are not there. That is no fault of theirs.
        if not isinstance(cause, NotImplementedError) and "meta" not in str(cause).lower():
            raise


def _sources(shards: Weights, frame: Frame) -> tuple[dict[str, str], frozenset[str]]:
    """Which tensor of the file becomes which parameter, by the rules of transformers itself.

    Every tensor is stood for by its number, without memory of its own; then the parameters of the
    filled network tell where they come from. Raises WeightsMissing, CheckpointUnloadable.
    """
    folder, names = shards.folder, list(shards.entries)
    numbered = {
        name: torch.tensor(float(number), dtype=torch.float64).expand(shards.entries[name].shape)
        for number, name in enumerate(names)
    }
    net, report = frame.filled(numbered, torch.float64)
    for name, stored, wanted in report["mismatched_keys"]:
        _refuse_shape(folder, name, tuple(stored), tuple(wanted))
    missing = tuple(sorted(report["missing_keys"]))
    if missing:  # transformers makes up what is missing
        raise WeightsMissing(folder, missing)
    parameters = dict(net.named_parameters(remove_duplicate=False))
    empty = [name for name, tensor in parameters.items() if not tensor.numel()]
    if empty:
        raise CheckpointUnloadable(folder, f"parameter {printable(empty[0])} has no numbers")
    sources = {name: names[int(tensor[(0,) * tensor.ndim])] for name, tensor in parameters.items()}
    buffers = net.state_dict().keys() & shards.entries.keys() - parameters.keys()
    return sources, frozenset(buffers)


def _check_formats(plan: Blueprint) -> None:
    for name, dtype in plan.stored.items():
        if dtype not in FLOATS:
            stored = dtype_name(dtype)
            reason = (
                f"tensor {printable(name)} is stored as {stored}, not as floats of 16 to 64 bits"
            )
            raise CheckpointUnloadable(plan.shards.folder, reason)


def _generation(folder: Path) -> Any:
    """The generation settings of a checkpoint, if it has any. MalformedCheckpoint."""
    from transformers import GenerationConfig

    settings = read_settings(folder / GENERATION)
    if settings is None:
        return None
    try:
        with foreign_code(folder, "its generation_config.json makes no sense"):
            return GenerationConfig.from_dict(settings)
    except CheckpointUnloadable as error:
        raise MalformedCheckpoint(folder / GENERATION, error.reason) from None
