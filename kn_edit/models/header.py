"""The header of a safetensors file, read with suspicion.

Layout: 8 bytes of little-endian length n, n bytes of JSON, then the tensors back to back. Files
come from strangers, so every claim of the header is checked before it is believed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kn_edit.safetext import escaped, shortened
from kn_edit.untrusted import MAX_VALUES, JsonProblem, open_regular, parse_json

MOST_HEADER_BYTES = 32 << 20  # 100,000 tensors take a third of it
MOST_TENSORS = 50_000  # of a model of 100 layers: some 1,500
MOST_AXES = 16
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
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= size - 8:
            raise HeaderProblem("it is cut short or is not a safetensors file")
        if length > MOST_HEADER_BYTES:
            raise HeaderProblem(f"its header is larger than {MOST_HEADER_BYTES:,} bytes")
        header = read_json(file.read(length))
    if len(header) > MOST_TENSORS:
        raise HeaderProblem(f"it holds {len(header):,} tensors, more than {MOST_TENSORS:,}")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderProblem("its metadata is not text")
    body = 8 + length
    entries = {name: _entry(path.name, name, facts, body) for name, facts in header.items()}
    _check_cover(entries, body, size)
    return entries


def read_json(raw: bytes, *, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """A JSON object without repeated keys, bounded in size and depth. Raises HeaderProblem."""
    try:
        facts = parse_json(raw, max_values=max_values)
    except JsonProblem as problem:
        raise HeaderProblem(f"its JSON cannot be read: {problem}") from None
    if not isinstance(facts, dict):
        raise HeaderProblem("its JSON is not an object")
    if not encodable(facts):
        raise HeaderProblem("its JSON cannot be read: it holds half a character")
    return facts


def encodable(value: object) -> bool:
    """Whether every text inside a JSON value is made of whole characters: no lone surrogates."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return all(map(encodable, value)) and all(map(encodable, value.values()))
    return not isinstance(value, list) or all(map(encodable, value))


def printable(name: str) -> str:
    """The name of a tensor as it can stand in a sentence."""
    return shortened(escaped(name), 80)


def _entry(file: str, name: str, facts: object, body: int) -> Entry:
    if not isinstance(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
        raise HeaderProblem(
            f"tensor {printable(name)} is not described by dtype, shape and data_offsets"
        )
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise HeaderProblem(
            f"tensor {printable(name)} has dtype {printable(repr(dtype))}, which is not supported"
        )
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise HeaderProblem(f"tensor {printable(name)} has a shape or offsets that are not sizes")
    if len(shape) > MOST_AXES:
        raise HeaderProblem(f"tensor {printable(name)} has {len(shape)} axes")
    count = 1
    for size in shape:
        count *= size
        if count > _MOST:
            raise HeaderProblem(f"tensor {printable(name)} has an impossible shape")
    start, end = offsets
    if end - start != count * DTYPES[dtype].itemsize:
        raise HeaderProblem(f"tensor {printable(name)} has a shape that does not fit its bytes")
    return Entry(file=file, dtype=dtype, shape=tuple(shape), start=body + start, end=body + end)


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
            raise HeaderProblem(f"tensor {printable(name)} overlaps another, or leaves a gap")
        reached = entry.end
    if reached != size:
        raise HeaderProblem("its tensors do not end where the file ends")
