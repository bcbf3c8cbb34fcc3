"""The tensors of one safetensors file of a checkpoint, as its header says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kn_edit.tensor_header import LENGTH, HeaderLimits, TensorPlace, header_size, parse_header
from kn_edit.untrusted import open_regular

if TYPE_CHECKING:
    import torch

LIMITS = HeaderLimits(
    size=32 << 20,  # 100,000 tensors take a third of it
    tensors=50_000,  # of a model of 100 layers: some 1,500
    axes=16,
)
FORMATS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, kw_only=True)
class Entry(TensorPlace):
    """Where a tensor lies: bytes [start, end) of `file`."""

    file: str

    @property
    def number_format(self) -> str:
        """The format of its numbers as torch and people name it: float32, bfloat16."""
        return FORMATS[self.dtype]

    @property
    def torch_dtype(self) -> torch.dtype:
        import torch

        dtype: torch.dtype = getattr(torch, self.number_format)
        return dtype


def read_header(path: Path) -> dict[str, Entry]:
    """The entries of one safetensors file. Raises HeaderProblem, OSError."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = header_size(file.read(LENGTH), size, LIMITS)
        header = parse_header(file.read(length), LIMITS)
    places = header.places(size)
    return {name: Entry(file=path.name, **vars(place)) for name, place in places.items()}
