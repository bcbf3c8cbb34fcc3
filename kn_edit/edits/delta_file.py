"""The bytes of a delta: a safetensors file with one metadata key and one possible layout.

Written here and not by the safetensors package, because the sha256 of these bytes is the id of
an edit: the layout must not change with a version of a library. The package reads the file.

`kn-delta/1` holds changes of slots only; `kn-delta/2` is written where a change is of low rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kn_edit.canonical import canonical_json
from kn_edit.edits.numbers import Numbers
from kn_edit.errors import InvalidDelta, NewerDeltaFormat
from kn_edit.tensor_header import (
    LENGTH,
    HeaderLimits,
    HeaderProblem,
    TensorPlace,
    header_size,
    parse_header,
)
from kn_edit.untrusted import JsonProblem, parse_object

SLOTS, LOW_RANK = "slots", "low-rank"  # the kinds of changes
PARTS_OF = {SLOTS: ("index", "mode", "value"), LOW_RANK: ("u", "v")}
FIRST, SECOND = "kn-delta/1", "kn-delta/2"
KEYS = {FIRST: {"format", "base", "axes"}, SECOND: {"format", "base", "axes", "kinds"}}
METADATA_KEY = "kn_edit"
AXES = ("column", "row")
MOST_WEIGHTS = 10_000
MOST_RANK = 4096  # of a low-rank change
MOST_NAME = 500  # letters of a tensor's name, of a repository's
LIMITS = HeaderLimits(
    size=8 << 20,  # bytes: ten thousand layers take three
    tensors=3 * MOST_WEIGHTS,
    axes=2,
    values=300_000,
    depth=10,
)
# In the order of the file: the wider type first, so that every tensor is aligned.
PARTS: dict[str, tuple[str, np.dtype[Any]]] = {
    "index": ("I64", np.dtype("<i8")),
    "u": ("F32", np.dtype("<f4")),
    "v": ("F32", np.dtype("<f4")),
    "value": ("F32", np.dtype("<f4")),
    "mode": ("U8", np.dtype("u1")),
}


def description(
    base: Mapping[str, object], *, axes: Mapping[str, str], kinds: Mapping[str, str]
) -> dict[str, object]:
    """What the metadata says of a delta, in the first format that can say it.

    base: repo, revision and fingerprint; axes, kinds: of each weight, by its name
    """
    fields: dict[str, object] = {"base": dict(base), "axes": dict(axes)}
    if LOW_RANK in kinds.values():
        return {"format": SECOND, "kinds": dict(kinds), **fields}
    return {"format": FIRST, **fields}


def kinds_of(description: Mapping[str, Any]) -> dict[str, str]:
    """The kind of the change of each weight, by its name."""
    kinds = description.get("kinds") or dict.fromkeys(description["axes"], SLOTS)
    return dict(kinds)


def encode(description: Mapping[str, object], parts: Mapping[str, Mapping[str, Numbers]]) -> bytes:
    """The file of these tensors, `parts[tensor][part]`, and this description."""
    body = (parts[name][part].tobytes() for name, part in _in_order(parts))
    return b"".join((encode_header(description, parts), *body))


def encode_header(
    description: Mapping[str, object], parts: Mapping[str, Mapping[str, Numbers]]
) -> bytes:
    """What stands before the numbers: the length of the header, and the header."""
    metadata = canonical_json(description).decode("ascii")
    header: dict[str, object] = {"__metadata__": {METADATA_KEY: metadata}}
    end = 0
    for name, part in _in_order(parts):
        tensor = parts[name][part]
        start, end = end, end + tensor.nbytes
        header[f"{name}::{part}"] = {
            "dtype": PARTS[part][0],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH, "little") + text


def _in_order(parts: Mapping[str, Mapping[str, Numbers]]) -> Iterator[tuple[str, str]]:
    """Name and part of every tensor, in the order of the file: by type, weight and part."""
    for dtype in dict.fromkeys(PARTS.values()):
        for name in sorted(parts):
            for part in PARTS:
                if part in parts[name] and PARTS[part] == dtype:
                    yield name, part


def decode(data: bytes) -> tuple[dict[str, Any], dict[str, dict[str, Numbers]]]:
    """Description and tensors of a file; each entry has its right type, shapes are the caller's.

    Raises InvalidDelta or NewerDeltaFormat, whatever the bytes.
    """
    try:
        size = header_size(data[:LENGTH], len(data), LIMITS)
        header = parse_header(data[LENGTH : LENGTH + size], LIMITS)
        description = _description(header.metadata)  # before the tensors: a newer format's differ
        kinds = kinds_of(description)
        if header.names != {
            f"{name}::{part}" for name, kind in kinds.items() for part in PARTS_OF[kind]
        }:
            raise InvalidDelta("its tensors are not those of a change for each named weight")
        places = header.places(len(data))
    except HeaderProblem as problem:
        raise InvalidDelta(str(problem)) from None
    parts = {
        name: {part: _tensor(places[f"{name}::{part}"], part, data) for part in PARTS_OF[kind]}
        for name, kind in kinds.items()
    }
    _check_layout(data, description, parts)
    return description, parts


def _check_layout(
    data: bytes, description: Mapping[str, object], parts: Mapping[str, Mapping[str, Numbers]]
) -> None:
    """One delta, one file: other spellings (padding, key order, gaps) would have other ids."""
    expected = encode_header(description, parts)
    size = sum(tensor.nbytes for tensors in parts.values() for tensor in tensors.values())
    # The same header has the same places, so the numbers in them need not be compared.
    if len(data) != len(expected) + size or not data.startswith(expected):
        raise InvalidDelta("its bytes are not laid out as the format says")


def _description(metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.keys() != {METADATA_KEY}:
        raise InvalidDelta(f"its metadata is not the one key {METADATA_KEY}")
    try:
        description = parse_object(
            metadata[METADATA_KEY], max_values=LIMITS.values, max_depth=LIMITS.depth
        )
    except JsonProblem as problem:
        raise InvalidDelta(f"its description is no sound JSON: {problem}") from None
    format_name = description.get("format")
    if (
        isinstance(format_name, str)
        and re.fullmatch(r"kn-delta/\d{1,9}", format_name)
        and format_name not in KEYS
    ):
        raise NewerDeltaFormat(format_name, f"{FIRST} and {SECOND}")
    if not isinstance(format_name, str) or description.keys() != KEYS.get(format_name):
        raise InvalidDelta("its description lacks the format, the base or the slot axes")
    base, axes = description["base"], description["axes"]
    sound = (
        isinstance(base, dict)
        and base.keys() == {"repo", "revision", "fingerprint"}
        and _is_name(base["fingerprint"])
        and all(base[key] is None or _is_name(base[key]) for key in ("repo", "revision"))
        and isinstance(axes, dict)
        and len(axes) <= MOST_WEIGHTS
        and all(_is_name(name) and name.isascii() and axis in AXES for name, axis in axes.items())
    )
    if not sound:
        raise InvalidDelta("its description lacks the format, the base or the slot axes")
    if format_name == SECOND:
        _check_kinds(description["kinds"], axes)
    return description


def _check_kinds(kinds: object, axes: Mapping[str, str]) -> None:
    """Raise InvalidDelta unless each weight has a kind, and one of them is of low rank.

    A delta of slots alone has one spelling, that of the first format.
    """
    if not isinstance(kinds, dict) or kinds.keys() != axes.keys():
        raise InvalidDelta("its description does not say of which kind each change is")
    if not all(isinstance(kind, str) and kind in PARTS_OF for kind in kinds.values()):
        raise InvalidDelta(f"a change is neither of the kind {SLOTS} nor of the kind {LOW_RANK}")
    if LOW_RANK not in kinds.values():
        raise InvalidDelta(f"it has no low-rank change, so it is not laid out as {SECOND}")


def _is_name(value: object) -> bool:
    """Text that can be shown as it is, in a sentence of bounded length."""
    return isinstance(value, str) and len(value) <= MOST_NAME and value.isprintable()


def _tensor(place: TensorPlace, part: str, data: bytes) -> Numbers:
    dtype_name, dtype = PARTS[part]
    if place.dtype != dtype_name:
        raise InvalidDelta(f"a tensor {part} is not of type {dtype_name}")
    if part in PARTS_OF[LOW_RANK] and place.shape and place.shape[0] > MOST_RANK:
        raise InvalidDelta(f"a change has a rank of more than {MOST_RANK:,}")
    if place.start == place.end:
        raise InvalidDelta(f"a tensor {part} is empty")
    # A copy: the buffer would be read-only and need not be aligned.
    numbers = bytearray(memoryview(data)[place.start : place.end])
    return np.frombuffer(numbers, dtype=dtype).reshape(place.shape)
