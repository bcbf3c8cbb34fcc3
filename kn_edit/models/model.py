"""A loaded model with its parts named: layers, down-projections, value slots, head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kn_edit.errors import SlotsNotStored, is_out_of_memory
from kn_edit.models.configs import family_in
from kn_edit.models.families import Family, family_of
from kn_edit.models.float64 import runnable
from kn_edit.models.guarded import GuardedTokenizer
from kn_edit.models.loading import Blueprint, blueprint, network
from kn_edit.models.memory import no_room, require_room
from kn_edit.models.shards import CONFIG, Shards, read_config
from kn_edit.models.spread import follow_layers, layout_of, needed_bytes
from kn_edit.models.tokenizer import load_tokenizer


class Model:
    """A transformer and its tokenizer, frozen and in evaluation mode.

    Nothing here changes weights; `kn_edit.edits.live.applied` is the one place that does.
    stored: the number format of each layer's slots in the checkpoint, where it is not that of the
        network; edits are rounded to it
    read_weight: gives the weight of a layer's down-projection as the checkpoint holds it; None
        where the model came from elsewhere
    """

    def __init__(self, net: Any, tokenizer: Any) -> None:
        self.net = net.eval().requires_grad_(False)
        self.tokenizer = GuardedTokenizer(tokenizer)
        self.family: Family = family_of(net.config.model_type)
        self.layers: list[nn.Module] = list(part(net, self.family.layers))
        self.downs: list[Any] = [part(layer, self.family.down) for layer in self.layers]
        self.ups: list[list[Any]] = [
            [part(layer, path) for path in self.family.ups] for layer in self.layers
        ]
        self._head = [
            component for path in self.family.head if (component := part(net, path)) is not None
        ]
        self.softcap: float | None = (
            net.config.final_logit_softcapping if self.family.softcap else None
        )
        if len(self.layer_shares) > 1:
            follow_layers(self.layers, self.device)
        self.memory: int | None = None  # bytes that locating may take; None for the default
        self.stored: dict[int, torch.dtype] = {}
        self.read_weight: Callable[[int], Tensor] | None = None

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def d_ff(self) -> int:
        return int(self.slots(0).shape[0])

    @property
    def d_model(self) -> int:
        return int(self.slots(0).shape[1])

    @property
    def dtype(self) -> torch.dtype:
        return self.slots(0).dtype

    def stored_dtype(self, layer: int) -> torch.dtype:
        """The number format of a layer's slots in the checkpoint."""
        return self.stored.get(layer, self.dtype)

    @property
    def device(self) -> torch.device:
        """The device of what goes into the network and comes out of it.

        Its layers may lie on others. What this package hands on of a model is on this one.
        """
        device: torch.device = self.net.get_input_embeddings().weight.device
        return device

    def device_of(self, layer: int) -> torch.device:
        """The device of a layer."""
        return self.slots(layer).device

    @property
    def layer_shares(self) -> Mapping[torch.device, float]:
        """The devices that it lies on, `device` first, and the share of the layers on each."""
        counts = Counter(map(self.device_of, range(self.n_layers)))
        devices = dict.fromkeys([self.device, *counts])
        return {device: counts[device] / self.n_layers for device in devices}

    @property
    def device_kinds(self) -> tuple[str, ...]:
        """The kinds of these devices: cuda, cpu."""
        return tuple(dict.fromkeys(device.type for device in self.layer_shares))

    @property
    def weight_bytes(self) -> int:
        """The memory that its weights take."""
        weights = self.net.parameters()
        return sum(weight.numel() * weight.element_size() for weight in weights)

    @property
    def causal(self) -> bool:
        return self.family.kind == "causal"

    @property
    def n_tokens(self) -> int:
        """How many tokens have an embedding; a tokenizer can know more."""
        return int(self.net.get_input_embeddings().weight.shape[0])

    @property
    def max_length(self) -> int | None:
        """The longest text in tokens that the model was made for, where its config says."""
        most = getattr(self.net.config, "max_position_embeddings", None)
        if not isinstance(most, int) or most <= 0:
            return None
        # RoBERTa counts positions from behind its padding token.
        return most - self.net.config.pad_token_id - 1 if self._counts_from_padding else most

    @property
    def _counts_from_padding(self) -> bool:
        return self.family.model_type == "roberta" and self.net.config.pad_token_id is not None

    def slots(self, layer: int) -> Tensor:
        """The value slots of a layer as a view of its weight, (d_ff, d_model)."""
        weight: Tensor = self.downs[layer].weight.data
        return weight if self.family.axis == "row" else weight.T

    def stored_slots(self, layer: int) -> Tensor:
        """The value slots of a layer with all the digits of the checkpoint, (d_ff, d_model).

        On the CPU, in the checkpoint's number format. Of a layer that holds the base's slots.
        """
        stored = self.stored_dtype(layer)
        holds_all = torch.promote_types(self.dtype, stored) == self.dtype
        if holds_all or self.read_weight is None:
            return self.slots(layer).cpu().to(stored)  # Apple's GPUs have no float64
        weight = self.read_weight(layer)
        return weight if self.family.axis == "row" else weight.T

    def slot_tensor(self, layer: int) -> str:
        """The down-projection's name in the model, e.g. model.layers.24.mlp.down_proj.weight."""
        return f"{self.family.layers}.{layer}.{self.family.down}.weight"

    def stored_names(self, stored: Collection[str]) -> dict[int, str]:
        """Each layer's down-projection weight as the checkpoint names it.

        Some checkpoints lack the prefix of the task model (`encoder.layer...` for BERT).
        Raises SlotsNotStored.
        """
        names = {}
        for layer in range(self.n_layers):
            slot_name = self.slot_tensor(layer)
            tails = [slot_name, *(slot_name.split(".", cut)[-1] for cut in (1, 2))]
            tails.append(f"{slot_name.split('.', 1)[0]}.{slot_name}")  # a prefix too many
            stored_name = next((tail for tail in tails if tail in stored), None)
            if stored_name is None:
                raise SlotsNotStored(slot_name)
            names[layer] = stored_name
        return names

    def output_embedding(self, token: int) -> Tensor:
        """The output embedding row of a token, (width,); width is d_model but for ELECTRA."""
        return torch.as_tensor(self.net.get_output_embeddings().weight[token])

    def logits(self, hidden: Tensor) -> Tensor:
        """Map the last layer's output, (..., d_model), to logits over the vocabulary."""
        for step in self._head:
            hidden = step(hidden)
        if self.softcap is not None:
            hidden = torch.tanh(hidden / self.softcap) * self.softcap
        return hidden


def part(root: Any, path: str) -> Any:
    """Follow an attribute path; one that ends in `?` may be absent and gives None."""
    optional, path = path.endswith("?"), path.removesuffix("?")
    for name in path.split("."):
        root = getattr(root, name, None) if optional else getattr(root, name)
    return root


def load(
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | Sequence[torch.device] = "cpu",
) -> Model:
    """Load a checkpoint folder. The dtype is the checkpoint's unless given.

    On Apple's GPUs, float32 stands for float64.
    device: the model's; where there are several, its layers are spread over them, and the last one
        takes what the others have no room for

    Nothing of the folder runs, and whatever cannot be loaded is refused: raises SharedLayers,
    UnknownFamily, WeightsMissing, MalformedCheckpoint, CheckpointUnloadable, CheckpointNamesCode,
    CannotWrite, OutOfMemory, and what Shards.open raises.
    """
    if (folder / CONFIG).exists():
        family_in(read_config(folder))  # said first, whatever else is missing
    plan = blueprint(Shards.open(folder))
    tokenizer = tokenizer_of(plan)
    devices = [torch.device(device)] if isinstance(device, str | torch.device) else list(device)
    dtype = runnable(dtype or plan.dtype, devices[0])
    model = Model(_network_on(plan, dtype, devices), tokenizer)
    model.stored = {layer: plan.stored[model.slot_tensor(layer)] for layer in range(model.n_layers)}
    model.read_weight = lambda layer: plan.shards.read(plan.sources[model.slot_tensor(layer)])
    return model


def _network_on(plan: Blueprint, dtype: torch.dtype, devices: Sequence[torch.device]) -> Any:
    """The network with its weights on these. Raises OutOfMemory, and what `network` does."""
    layout = layout_of(plan, dtype, devices)
    require_room(plan, dtype, dict.fromkeys(devices, 0) | needed_bytes(plan, dtype, layout))
    try:
        return network(plan, dtype, layout.device_of)
    except Exception as error:
        if is_out_of_memory(error):
            raise no_room(plan, dtype, devices) from error
        raise


def check_loadable(shards: Shards) -> None:
    """Refuse a checkpoint that `load` would refuse, without reading its weights."""
    tokenizer_of(blueprint(shards))


def tokenizer_of(plan: Blueprint) -> Any:
    """The tokenizer of a checkpoint. Raises as load_tokenizer."""
    masked = plan.family.kind == "masked"
    return load_tokenizer(plan.shards.folder, plan.facts, plan.embeddings, masked=masked)
