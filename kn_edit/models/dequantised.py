"""Quantised weights as the numbers that they stand for, so that neurons can be located.

Each method packs a weight into several tensors. Here such a weight is one tensor again, of the
shape that the model has it in, computed when it is read. Formulas: those of bitsandbytes, AutoGPTQ,
AutoAWQ, and of the block-wise fp8 of DeepSeek and transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from kn_edit.errors import MalformedCheckpoint, is_out_of_memory
from kn_edit.models.header import Entry
from kn_edit.models.quantisation import quantisation_in
from kn_edit.models.shards import Shards, read_config
from kn_edit.tensor_header import printable
from kn_edit.untrusted import JsonProblem, parse_object

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # of 8 numbers in one of 32 bits
MOST_STATE = 1 << 14  # bytes of the JSON beside a weight of 4 bits: 200 in use
STATES = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")

_MISFITS = (RuntimeError, LookupError, ValueError, TypeError, ArithmeticError)

Parts = Mapping[str, Tensor]


class Weights(Protocol):
    """Named tensors of a checkpoint, each with its place, that can be read one at a time."""

    @property
    def folder(self) -> Path: ...

    @property
    def entries(self) -> Mapping[str, Entry]: ...

    def read(self, name: str) -> Tensor: ...

    def read_into(self, name: str, target: Tensor) -> None: ...


@dataclass(frozen=True, eq=False)
class PackedWeight:
    """A weight that several tensors stand for."""

    shape: tuple[int, ...]
    parts: Mapping[str, str]  # what the formula calls a tensor -> its name in the file
    unpack: Callable[[Parts], Tensor]  # float32, of this shape


@dataclass(frozen=True, eq=False)
class Dequantised:
    """The tensors of a quantised checkpoint, packed weights as the numbers that they stand for."""

    shards: Shards
    packed: Mapping[str, PackedWeight]
    entries: Mapping[str, Entry]

    @property
    def folder(self) -> Path:
        return self.shards.folder

    def read(self, name: str) -> Tensor:
        """One tensor; a packed one in the number format that its entry says."""
        if name not in self.packed:
            return self.shards.read(name)
        return self._unpacked(name, torch.device("cpu")).to(self.entries[name].torch_dtype)

    def read_into(self, name: str, target: Tensor) -> None:
        """Copy one tensor into another of its shape; a packed one is computed on its device."""
        if name in self.packed:
            target.copy_(self._unpacked(name, target.device))
        else:
            self.shards.read_into(name, target)

    def _unpacked(self, name: str, device: torch.device) -> Tensor:
        packed = self.packed[name]
        with _blaming(self.folder, name):
            parts = {role: self.shards.read(part) for role, part in packed.parts.items()}
            if "g_idx" in parts:  # on a GPU a place that is none ends the program
                _check_groups(parts["g_idx"], len(parts["scales"]), packed.shape[1])
            return packed.unpack({role: part.to(device) for role, part in parts.items()}).reshape(
                packed.shape
            )


def readable_weights(shards: Shards) -> Weights:
    """The tensors of a checkpoint, dequantised where its config.json says that they are quantised.

    Raises MalformedCheckpoint.
    """
    config = read_config(shards.folder)
    quantisation = quantisation_in(config)
    if quantisation is None:
        return shards
    method, settings = quantisation
    packers = {"gptq": _gptq, "awq": _awq, "fp8": _fp8, "bitsandbytes": _bitsandbytes}
    packed = {}
    for name in shards.entries:
        with _blaming(shards.folder, name):
            packed.update(packers[method](shards, settings, name))
    stored = str(config.get("dtype") or config.get("torch_dtype")).removeprefix("torch.")
    dtype = DTYPES.get(stored, "BF16")
    used = {part for weight in packed.values() for part in weight.parts.values()}
    entries = {name: entry for name, entry in shards.entries.items() if name not in used}
    for name, weight in packed.items():
        place = shards.entries[next(iter(weight.parts.values()))]
        entries[name] = replace(place, dtype=dtype, shape=weight.shape)
    return Dequantised(shards, packed, _without_leftovers(entries))


def _without_leftovers(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Leave out notes that stand beside weights and are no part of a model."""
    notes = (".weight_format", ".activation_scale", ".input_scale")
    return {name: entry for name, entry in entries.items() if not name.endswith(notes)}


@contextmanager
def _blaming(folder: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (*_MISFITS, JsonProblem) as error:
        if is_out_of_memory(error):
            raise
        words = " ".join(str(error).split())[:200]
        problem = f"the quantised weight {printable(name)} cannot be read ({words})"
        raise MalformedCheckpoint(folder, problem) from error


def _check_groups(groups: Tensor, count: int, inputs: int) -> None:
    """Refuse groups that there are not. groups: that of each input; count: of the groups"""
    if groups.shape != (inputs,) or int(groups.min()) < 0 or int(groups.max()) >= count:
        raise ValueError("a group that there is not")


def _named(prefix: str, *roles: str) -> dict[str, str]:
    return {role: f"{prefix}.{role}" for role in roles}


def _gptq(shards: Shards, settings: Mapping[str, Any], name: str) -> dict[str, PackedWeight]:
    """A weight of GPTQ: columns of `bits` bits in rows of 32, scaled by groups of inputs."""
    prefix, _, role = name.rpartition(".")
    if role != "qweight":
        return {}
    parts = _named(prefix, "qweight", "qzeros", "scales")
    if f"{prefix}.g_idx" in shards.entries:
        parts["g_idx"] = f"{prefix}.g_idx"
    bits = int(settings["bits"])
    rows, outputs = shards.entries[name].shape
    inputs = rows * (32 // bits)
    # Before its second version the format held every zero point less 1.
    offset = 0 if settings.get("checkpoint_format") == "gptq_v2" else 1
    unpack = partial(_unpack_gptq, bits=bits, offset=offset)
    return {f"{prefix}.weight": PackedWeight((outputs, inputs), parts, unpack)}


def _unpack_gptq(parts: Parts, *, bits: int, offset: int) -> Tensor:
    scales = parts["scales"].float()  # (groups, outputs)
    weight = _bits(parts["qweight"].T.contiguous(), bits).T  # (inputs, outputs)
    zeros = (_bits(parts["qzeros"], bits) + offset) & ((1 << bits) - 1)  # (groups, outputs)
    inputs = len(weight)
    group = parts.get("g_idx")
    if group is None:
        group = torch.arange(inputs, device=weight.device) // (inputs // len(scales))
    group = group.long()
    return ((weight - zeros[group]) * scales[group]).T


def _awq(shards: Shards, settings: Mapping[str, Any], name: str) -> dict[str, PackedWeight]:
    """A weight of AWQ: rows of 4 bits, 8 numbers in an order of its own, scaled by groups."""
    prefix, _, role = name.rpartition(".")
    if role != "qweight":
        return {}
    inputs, columns = shards.entries[name].shape
    parts = _named(prefix, "qweight", "qzeros", "scales")
    return {f"{prefix}.weight": PackedWeight((columns * 8, inputs), parts, _unpack_awq)}


def _unpack_awq(parts: Parts) -> Tensor:
    scales = parts["scales"].float()  # (groups, outputs)
    weight, zeros = (
        _bits(parts[role], 4).reshape(len(parts[role]), -1, 8)[:, :, list(AWQ_ORDER)].flatten(1)
        for role in ("qweight", "qzeros")
    )  # (inputs, outputs), (groups, outputs)
    groups = weight.reshape(len(scales), -1, weight.shape[1])  # (groups, inputs of one, outputs)
    numbers: Tensor = (groups - zeros[:, None]) * scales[:, None]
    return numbers.flatten(0, 1).T


def _bits(packed: Tensor, bits: int) -> Tensor:
    """Numbers of a few bits each out of those of 32, lowest first, (rows, columns of them)."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=packed.device)
    return ((packed[:, :, None] >> shifts) & ((1 << bits) - 1)).flatten(1)


def _fp8(shards: Shards, settings: Mapping[str, Any], name: str) -> dict[str, PackedWeight]:
    """A weight in 8-bit floats, scaled by blocks or as a whole."""
    scale = f"{name}_scale_inv"
    if scale not in shards.entries:
        return {}
    unpack = partial(_unpack_fp8, block=settings.get("weight_block_size"))
    parts = {"weight": name, "scale": scale}
    return {name: PackedWeight(shards.entries[name].shape, parts, unpack)}


def _unpack_fp8(parts: Parts, *, block: tuple[int, int] | None) -> Tensor:
    weight, scale = parts["weight"].float(), parts["scale"].float()
    if scale.numel() == 1 or block is None:
        return weight * scale
    rows, columns = (
        torch.arange(length, device=scale.device) // int(size)
        for length, size in zip(weight.shape, block, strict=True)
    )
    if scale.shape != (int(rows[-1]) + 1, int(columns[-1]) + 1):
        raise ValueError("its scales are not those of its blocks")
    return weight * scale[rows][:, columns]


def _bitsandbytes(
    shards: Shards, settings: Mapping[str, Any], name: str
) -> dict[str, PackedWeight]:
    """A weight of bitsandbytes: rows of 8 bits with their largest size, or blocks of 4 bits."""
    prefix = name.removesuffix(".weight")
    if prefix == name:
        return {}
    if f"{prefix}.SCB" in shards.entries:
        parts = {"weight": name, "largest": f"{prefix}.SCB"}
        return {name: PackedWeight(shards.entries[name].shape, parts, _unpack_8_bits)}
    state = next((f"{name}.{each}" for each in STATES if f"{name}.{each}" in shards.entries), None)
    if state is None:
        return {}
    if shards.entries[state].shape[0] > MOST_STATE:
        raise ValueError("its state is too long")
    facts = parse_object(bytes(shards.read(state).tolist()))
    parts = {"weight": name, "state": state}
    for role in ("absmax", "quant_map", "nested_absmax", "nested_quant_map"):
        if f"{name}.{role}" in shards.entries:
            parts[role] = f"{name}.{role}"
    shape = tuple(int(length) for length in facts["shape"])
    if min(shape, default=0) < 1 or (prod(shape) + 1) // 2 != prod(shards.entries[name].shape):
        raise ValueError("its shape is not that of its numbers")
    return {name: PackedWeight(shape, parts, partial(_unpack_4_bits, facts=facts))}


def _unpack_8_bits(parts: Parts) -> Tensor:
    return parts["weight"].float() * (parts["largest"].float() / 127)[:, None]


def _unpack_4_bits(parts: Parts, *, facts: Mapping[str, Any]) -> Tensor:
    largest = parts["absmax"]
    if "nested_absmax" in parts:  # the sizes of blocks are quantised themselves
        sizes = parts["nested_quant_map"].float()[largest.flatten().long()]
        outer = parts["nested_absmax"].float()
        sizes = sizes * _spread(outer, int(facts["nested_blocksize"]), len(sizes))
        largest = sizes + float(facts["nested_offset"])
    packed = parts["weight"].flatten()
    numbers = torch.stack([packed >> 4, packed & 15], 1).flatten().long()
    numbers = numbers[: prod(facts["shape"])]
    values = parts["quant_map"].float()[numbers]
    return values * _spread(largest.float(), int(facts["blocksize"]), len(values))


def _spread(sizes: Tensor, block: int, count: int) -> Tensor:
    """The size of each number's block, (count,)."""
    if block < 1 or len(sizes) != -(-count // block):
        raise ValueError("its sizes are not those of its blocks")
    return sizes[torch.arange(count, device=sizes.device) // block]
