"""The header of a safetensors file, read with suspicion.

Layout: 8 bytes of little-endian length n, n bytes of JSON, then the tensors back to back. Files
come from strangers, so every claim of the header is checked before it is believed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

MOST_HEADER_BYTES = 100_000_000  # the bound of the safetensors library
_MOST = 2**63 - 1

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


class HeaderProblem(Exception):
    """What is wrong with a header, in words; callers know the file."""


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: bytes [start, end) of `file`."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]


def read_header(path: Path) -> dict[str, Entry]:
    """The entries of one safetensors file. Raises HeaderProblem, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(MOST_HEADER_BYTES, size - 8):
            raise HeaderProblem("it is cut short or is not a safetensors file")
        header = read_json(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderProblem("its metadata is not text")
    body = 8 + length
    entries = {name: _entry(path.name, name, facts, body) for name, facts in header.items()}
    _check_cover(entries, body, size)
    return entries


def read_json(raw: bytes) -> dict[str, Any]:
    """A JSON object without repeated keys. Raises HeaderProblem."""
    try:
        text = raw.decode()
        found = json.loads(text, object_pairs_hook=_unique)
        if isinstance(found, dict):
            json.dumps(found, ensure_ascii=False).encode()  # lone surrogates end here
    except (ValueError, RecursionError):
        raise HeaderProblem("its JSON cannot be read") from None
    if not isinstance(found, dict):
        raise HeaderProblem("its JSON is not an object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is repeated")
    return found


def _entry(file: str, name: str, facts: object, body: int) -> Entry:
    if not isinstance(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
        raise HeaderProblem(f"tensor {name} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise HeaderProblem(f"tensor {name} has dtype {dtype!r}, which is not supported")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise HeaderProblem(f"tensor {name} has a shape or offsets that are not sizes")
    count = 1
    for size in shape:
        count *= size
        if count > _MOST:
            raise HeaderProblem(f"tensor {name} has an impossible shape")
    start, end = offsets
    if end - start != count * DTYPES[dtype].itemsize:
        raise HeaderProblem(f"tensor {name} has a shape that does not fit its bytes")
    return Entry(file, dtype, tuple(shape), body + start, body + end)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST
        for value in values
    )


def _check_cover(entries: dict[str, Entry], body: int, size: int) -> None:
    """The tensors must fill the rest of the file without gap or overlap, as the library asks."""
    reached = body
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != reached:
            raise HeaderProblem(f"tensor {name} overlaps another, or leaves a gap")
        reached = entry.end
    if reached != size:
        raise HeaderProblem("its tensors do not end where the file ends")
