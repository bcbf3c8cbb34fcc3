"""Memory of a device: how much is free, what weights need, and what to say where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Protocol

import torch

from kn_edit.errors import OutOfMemory, is_out_of_memory
from kn_edit.models.loading import Blueprint
from kn_edit.models.placement import DTYPES, dtype_name
from kn_edit.untrusted import read_bounded

MEMINFO = Path("/proc/meminfo")
MOST_BYTES = 64 << 10  # of it
AT_WORK = 0.25  # share of what is free that is advised for locating: half of it is usual


class Working(Protocol):
    """A model that is loaded."""

    @property
    def layer_shares(self) -> Mapping[torch.device, float]: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def weight_bytes(self) -> int: ...


def weight_bytes(plan: Blueprint, dtype: torch.dtype) -> int:
    """The bytes of a checkpoint's parameters in a number format; tied ones count once."""
    return sum(bytes_by_layer(plan, dtype).values())


def bytes_by_layer(plan: Blueprint, dtype: torch.dtype) -> dict[int | None, int]:
    """The bytes of each layer's parameters, and under None of those outside of the layers.

    Tied ones count once.
    """
    sizes: dict[int | None, int] = {}
    names = {source: name for name, source in plan.sources.items()}
    for source, name in names.items():
        layer = layer_of(name, plan.family.layers)
        size = prod(plan.shards.entries[source].shape) * dtype.itemsize
        sizes[layer] = sizes.get(layer, 0) + size
    return sizes


def layer_of(name: str, path: str) -> int | None:
    """The layer that a parameter belongs to; None for one outside. path: of the layers."""
    number = re.match(rf"{re.escape(path)}\.(\d+)\.", name)
    return int(number[1]) if number else None


def free_memory(device: torch.device) -> int | None:
    """The bytes that are free on a device; None where nobody tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + cached
    return _free_on_the_host() if device.type == "cpu" else None


def free_for_work(model: Working) -> int | None:
    """The bytes that work may take in all, each device its share by the layers that lie there.

    None where nobody tells.
    """
    free = [
        (free_memory(device), share) for device, share in model.layer_shares.items() if share > 0
    ]
    if any(size is None for size, _ in free):
        return None
    return int(min((size or 0) / share for size, share in free))


def require_room(plan: Blueprint, dtype: torch.dtype, needed: Mapping[torch.device, int]) -> None:
    """Refuse weights that a device has no room for, before one of them is read.

    Linux gives memory that it does not have, and later ends the program that uses it.
    needed: the bytes of the weights on each device. Raises OutOfMemory.
    """
    for device, size in needed.items():
        free = free_memory(device)
        if free is not None and size > free:
            raise no_room(plan, dtype, list(needed))


def no_room(plan: Blueprint, dtype: torch.dtype, devices: Sequence[torch.device]) -> OutOfMemory:
    """What to say of weights that devices have no room for: a narrower format, if that fits."""
    sizes = [free_memory(device) for device in devices]
    free = None if None in sizes else sum(size or 0 for size in sizes)
    formats = [getattr(torch, name) for name in DTYPES if name != "auto"]
    narrower = [each for each in (plan.dtype, *formats) if each.itemsize < dtype.itemsize]
    fits = [each for each in narrower if free is None or weight_bytes(plan, each) <= free]
    return OutOfMemory(
        device=listed_devices(devices),
        dtype=dtype_name(dtype),
        weights=weight_bytes(plan, dtype),
        free=free,
        loaded=False,
        fits=dtype_name(fits[0]) if fits else "",
    )


@contextmanager
def memory_told(model: Working) -> Iterator[None]:
    """Turn an allocation that fails in the block into OutOfMemory, with what was free before it.

    model: what works in the block
    """
    dtype, free = model.dtype, free_for_work(model)
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            device=listed_devices(model.layer_shares),
            dtype=dtype_name(dtype),
            weights=model.weight_bytes,
            free=free,
            loaded=True,
            memory="" if free is None else f"{max(int(AT_WORK * free / 1e6), 1)}MB",
            fits="bfloat16" if dtype.itemsize > torch.bfloat16.itemsize else "",
        ) from error


def listed_devices(devices: Iterable[torch.device]) -> str:
    """The names of some devices: cuda:0, cuda:1, cpu."""
    return ", ".join(map(str, devices))


def _free_on_the_host() -> int | None:
    """What Linux could give to a program without ending another; None elsewhere."""
    try:
        lines = read_bounded(MEMINFO, MOST_BYTES).decode("ascii").splitlines()
        kilobytes = {
            name: int(rest.split()[0]) for name, _, rest in (s.partition(":") for s in lines)
        }
        return (kilobytes["MemAvailable"] + kilobytes["SwapFree"]) << 10
    except (OSError, ValueError, KeyError, IndexError):
        return None
