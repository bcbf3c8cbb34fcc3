"""The header of a safetensors file, read with suspicion.

Layout: 8 bytes of little-endian length n, n bytes of JSON, then the tensors back to back. Files
come from strangers, so every claim of the header is checked before it is believed. Who reads a
file says what its header may hold at most, and turns a HeaderProblem into an error of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kn_edit.safetext import escaped, shortened
from kn_edit.untrusted import MAX_DEPTH, MAX_VALUES, JsonProblem, parse_object

LENGTH = 8  # bytes in front of the header, which say how long it is
MOST_NUMBER = 2**63 - 1
ITEM_BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "C64": 8,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
}


class HeaderProblem(Exception):
    """What is wrong with a header, in words; callers know the file."""


@dataclass(frozen=True, kw_only=True)
class HeaderLimits:
    """The most that a header may hold. values, depth: of its JSON"""

    size: int  # bytes
    tensors: int
    axes: int  # of one tensor
    values: int = MAX_VALUES
    depth: int = MAX_DEPTH


@dataclass(frozen=True)
class TensorPlace:
    """One tensor of a file: bytes [start, end) of it."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Header:
    """A header whose JSON and metadata are sound; `places` checks what it says of the tensors."""

    metadata: Mapping[str, str]
    end: int  # where it ends and the tensors begin
    limits: HeaderLimits
    _tensors: Mapping[str, object]

    @property
    def names(self) -> frozenset[str]:
        """The names of the tensors."""
        return frozenset(self._tensors)

    def places(self, file_size: int) -> dict[str, TensorPlace]:
        """Where each tensor lies in a file of so many bytes. Raises HeaderProblem.

        The tensors fill the rest of the file without gap or overlap, and each has the bytes that
        its shape and dtype ask for.
        """
        if len(self._tensors) > self.limits.tensors:
            count = f"{len(self._tensors):,} tensors, more than {self.limits.tensors:,}"
            raise HeaderProblem(f"it holds {count}")
        places = {name: self._place(name, facts) for name, facts in self._tensors.items()}
        _check_cover(places, self.end, file_size)
        return places

    def _place(self, name: str, facts: object) -> TensorPlace:
        if not isinstance(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
            raise _of(name, "is not described by dtype, shape and data_offsets")
        dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
        if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
            raise _of(name, f"has dtype {printable(repr(dtype))}, which is not supported")
        if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
            raise _of(name, "has a shape or offsets that are not sizes")
        if len(shape) > self.limits.axes:
            raise _of(name, f"has {len(shape)} axes")
        count = 1
        for size in shape:
            count *= size
            if count > MOST_NUMBER:
                raise _of(name, "has an impossible shape")
        start, end = offsets
        if end - start != count * ITEM_BYTES[dtype]:
            raise _of(name, "has a shape that does not fit its bytes")
        return TensorPlace(
            dtype=dtype, shape=tuple(shape), start=self.end + start, end=self.end + end
        )


def header_size(start: bytes, file_size: int, limits: HeaderLimits) -> int:
    """How many bytes the header of a file takes, after the first 8, which are `start`.

    Raises HeaderProblem where the file or the limits do not have room for so many.
    """
    size = int.from_bytes(start[:LENGTH], "little")
    if file_size < LENGTH or not 2 <= size <= file_size - LENGTH:
        raise HeaderProblem("it is cut short or is not a safetensors file")
    if size > limits.size:
        raise HeaderProblem(f"its header has more than {limits.size:,} bytes")
    return size


def parse_header(text: bytes, limits: HeaderLimits) -> Header:
    """Parse the JSON of a header, without what it says of the tensors. Raises HeaderProblem."""
    try:
        members = parse_object(text, max_values=limits.values, max_depth=limits.depth)
    except JsonProblem as problem:
        raise HeaderProblem(f"its JSON cannot be read: {problem}") from None
    metadata = members.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise HeaderProblem("its metadata is not text")
    return Header(metadata=metadata, end=LENGTH + len(text), limits=limits, _tensors=members)


def printable(name: str) -> str:
    """The name of a tensor as it can stand in a sentence."""
    return shortened(escaped(name), 80)


def _of(name: str, problem: str) -> HeaderProblem:
    return HeaderProblem(f"tensor {printable(name)} {problem}")


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_NUMBER
        for value in values
    )


def _check_cover(places: Mapping[str, TensorPlace], start: int, end: int) -> None:
    """Raise HeaderProblem unless the tensors fill bytes [start, end), as the library asks."""
    reached = start
    for name, place in sorted(places.items(), key=lambda item: (item[1].start, item[1].end)):
        if place.start != reached:
            raise _of(name, "overlaps another, or leaves a gap")
        reached = place.end
    if reached != end:
        raise HeaderProblem("its tensors do not end where the file ends")
