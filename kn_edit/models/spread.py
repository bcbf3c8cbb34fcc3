"""A network larger than one device: its layers, in order, on several.

What lies outside of the layers (embeddings, final norm, head) is on the first device. A layer runs
where its weights are: what it is called with moves there, and what the last one gives comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from kn_edit.models.loading import Blueprint
from kn_edit.models.memory import bytes_by_layer, free_memory, layer_of

GPU_SHARE = 0.8  # of a GPU's free memory that weights may take; the rest is for the work


@dataclass(frozen=True)
class Layout:
    """Where a network lies.

    outside: the device of all that belongs to no layer
    layers: the device of each layer; none where all lie there, too
    path: of the layers in the network
    """

    outside: torch.device
    layers: tuple[torch.device, ...] = ()
    path: str = ""

    def device_of(self, name: str) -> torch.device:
        """The device of a parameter or a buffer, by its name in the network."""
        layer = layer_of(name, self.path) if self.layers else None
        return self.outside if layer is None else self.layers[layer]


def layout_of(plan: Blueprint, dtype: torch.dtype, devices: Sequence[torch.device]) -> Layout:
    """Where a network lies that may take these devices; the last takes what the others cannot."""
    if len(devices) == 1:
        return Layout(devices[0])
    sizes = bytes_by_layer(plan, dtype)
    outside = sizes.pop(None, 0)
    rooms = [GPU_SHARE * (free_memory(device) or 0) for device in devices[:-1]]
    chosen = places([sizes[layer] for layer in range(len(sizes))], outside, rooms)
    layers = tuple(devices[place] for place in chosen)
    return Layout(devices[0], layers, plan.family.layers)


def needed_bytes(plan: Blueprint, dtype: torch.dtype, layout: Layout) -> dict[torch.device, int]:
    """The bytes of the weights on each device."""
    needed = {layout.outside: 0}
    for layer, size in bytes_by_layer(plan, dtype).items():
        device = layout.outside if layer is None or not layout.layers else layout.layers[layer]
        needed[device] = needed.get(device, 0) + size
    return needed


def places(layers: Sequence[int], outside: int, rooms: Sequence[float]) -> list[int]:
    """Which device each layer goes to: as far as they suffice, each takes the same share.

    layers: bytes of each; outside: bytes of all else, which is on the first device; rooms: bytes
    for weights on each device but the last, which takes the layers that are left
    """
    share = min(1.0, (sum(layers) + outside) / max(sum(rooms), 1))
    ends = [share * end for end in accumulate(rooms)]
    chosen: list[int] = []
    start, place, used = float(outside), 0, outside  # used: bytes on the device that is filled
    for size in layers:
        while place < len(rooms) and (start + size / 2 > ends[place] or used + size > rooms[place]):
            place, used = place + 1, 0
        chosen.append(place)
        start, used = start + size, used + size
    return chosen


def follow_layers(layers: Sequence[nn.Module], outside: torch.device) -> None:
    """Have what layers are called with move to where they lie, and what the last gives come back.

    outside: the device of what follows the layers
    """
    for layer in layers:
        device = next(layer.parameters()).device
        layer.register_forward_pre_hook(_moving_to(device), with_kwargs=True)
    layers[-1].register_forward_hook(lambda _module, _inputs, output: moved(output, outside))


def _moving_to(device: torch.device) -> Callable[..., Any]:
    def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return moved(args, device), moved(kwargs, device)

    return hook


def moved(value: Any, device: torch.device) -> Any:
    """Tensors on a device, also those in tuples, lists and mappings; anything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (tuple, list):
        return type(value)(moved(part, device) for part in value)
    if type(value) is dict:
        return {name: moved(part, device) for name, part in value.items()}
    return value
