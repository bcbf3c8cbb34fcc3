"""The numbers of a checkpoint as arrays of numpy, and their one cast.

Weights are folded, digested and written without torch, whose import takes longer than all of that.
numpy has no bfloat16: such numbers are held as their bits, uint16, and no others are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[Any]
"""In float64, float32 or float16; of bfloat16 the bits, uint16."""

BFLOAT16 = np.dtype("<u2")
ARRAY_TYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": BFLOAT16,
}
FORMATS = {dtype: name for name, dtype in ARRAY_TYPES.items()}
_NAN, _INFINITY = 0x7FC0, 0x7F80  # bits of bfloat16


def in_format(raw: bytes | bytearray, number_format: str) -> Numbers:
    """The numbers that these bytes of a checkpoint are."""
    return np.frombuffer(raw, dtype=ARRAY_TYPES[number_format])


def raw_bytes(values: Numbers) -> memoryview:
    """The bytes of some numbers as they stand in a checkpoint."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def widened(values: Numbers) -> NDArray[np.float64]:
    """A copy in float64, laid out as the numbers are."""
    if values.dtype == BFLOAT16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # a NaN that processors call signalling
        return values.astype(np.float64)


def is_finite(values: Numbers) -> NDArray[np.bool_]:
    """Which of the numbers are neither infinite nor NaN."""
    if values.dtype == BFLOAT16:
        values = (values & _INFINITY) < _INFINITY
        return values
    finite: NDArray[np.bool_] = np.isfinite(values)
    return finite


def cast_once(values: NDArray[np.float64], dtype: np.dtype[Any]) -> Numbers:
    """Round float64 to the nearest number of a narrower type, ties to even.

    dtype: of the array, uint16 for bfloat16. The bits of a NaN differ between processors; here
    every NaN has the same, which keeps digests equal.
    """
    nan = np.isnan(values)
    with np.errstate(all="ignore"):  # what leaves the range is infinite, and seen by the caller
        result = _to_bfloat16(values) if dtype == BFLOAT16 else values.astype(dtype)
    if nan.any():
        result[nan] = _NAN if dtype == BFLOAT16 else np.nan
    return result


def _to_bfloat16(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even; of NaN any.

    By way of float32, and rounding twice can end one step off. Rounding to odd in float32 keeps the
    information that the second rounding needs (Boldo and Melquiond, "Emulation of FMA and correctly
    rounded sums", 2008).
    """
    nearest = values.astype(np.float32)
    back = nearest.astype(np.float64)
    bits = nearest.view(np.uint32)  # sign and magnitude: one less is a step towards zero
    bits -= np.abs(back) > np.abs(values)
    bits |= back != values
    bits += ((bits >> 16) & 1) + np.uint32(0x7FFF)
    return (bits >> 16).astype(np.uint16)
