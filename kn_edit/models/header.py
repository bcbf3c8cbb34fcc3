"""The tensors of one safetensors file of a checkpoint, as its header says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from kn_edit.tensor_header import LENGTH, HeaderLimits, TensorPlace, header_size, parse_header
from kn_edit.untrusted import open_regular

LIMITS = HeaderLimits(
    size=32 << 20,  # 100,000 tensors take a third of it
    tensors=50_000,  # of a model of 100 layers: some 1,500
    axes=16,
)
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, kw_only=True)
class Entry(TensorPlace):
    """Where a tensor lies: bytes [start, end) of `file`."""

    file: str

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]


def read_header(path: Path) -> dict[str, Entry]:
    """The entries of one safetensors file. Raises HeaderProblem, OSError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = header_size(file.read(LENGTH), size, LIMITS)
        header = parse_header(file.read(length), LIMITS)
    places = header.places(size)
    return {name: Entry(file=path.name, **vars(place)) for name, place in places.items()}
