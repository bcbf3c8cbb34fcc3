"""Memory of a device: how much is free, what weights need, and what to say where it ends."""

from __future__ import annotations

from collections.abc import Iterator
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
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def weight_bytes(self) -> int: ...


def weight_bytes(plan: Blueprint, dtype: torch.dtype) -> int:
    """The bytes of a checkpoint's parameters in a number format; tied ones count once."""
    entries = plan.shards.entries
    count = sum(prod(entries[name].shape) for name in {*plan.sources.values()})
    return count * dtype.itemsize


def free_memory(device: torch.device) -> int | None:
    """The bytes that are free on a device; None where nobody tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + cached
    return _free_on_the_host() if device.type == "cpu" else None


def require_room(plan: Blueprint, dtype: torch.dtype, device: torch.device) -> None:
    """Refuse weights that the device has no room for, before one of them is read.

    Linux gives memory that it does not have, and later ends the program that uses it.
    Raises OutOfMemory.
    """
    free = free_memory(device)
    if free is not None and weight_bytes(plan, dtype) > free:
        raise no_room(plan, dtype, device)


def no_room(plan: Blueprint, dtype: torch.dtype, device: torch.device) -> OutOfMemory:
    """What to say of weights that a device has no room for: a narrower format, if that fits."""
    free = free_memory(device)
    formats = [getattr(torch, name) for name in DTYPES if name != "auto"]
    narrower = [each for each in (plan.dtype, *formats) if each.itemsize < dtype.itemsize]
    fits = [each for each in narrower if free is None or weight_bytes(plan, each) <= free]
    return OutOfMemory(
        device=str(device),
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
    device, dtype = model.device, model.dtype
    free = free_memory(device)
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            device=str(device),
            dtype=dtype_name(dtype),
            weights=model.weight_bytes,
            free=free,
            loaded=True,
            memory="" if free is None else f"{max(int(AT_WORK * free / 1e6), 1)}MB",
            fits="bfloat16" if dtype.itemsize > torch.bfloat16.itemsize else "",
        ) from error


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
