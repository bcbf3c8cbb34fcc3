"""Digests of the tensors that a version changes, from the slots that it touches.

The base's fingerprint covers every byte of the base. What a version adds to that are the slots that
its deltas touch, so their digest says what the tensor is, and a column of a weight of gigabytes is
recorded without the rest of it being read (docs/decisions/0038-digests-of-slots.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kn_edit.canonical import canonical_json, digest, digest_of
from kn_edit.checkpoints.slots import base_slots
from kn_edit.edits.changes import TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.fold import fold_weight, folded_slots, touched
from kn_edit.edits.numbers import Numbers, in_format, raw_bytes
from kn_edit.models.header import Entry
from kn_edit.models.shards import Shards

FORMAT = "kn-slots/1"
HASHED = 1024  # slots whose bytes are hashed at once


def digests(
    base: Shards, deltas: Sequence[Delta], recorded: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The digest of every tensor that the deltas change, by name.

    recorded: digests that a ledger holds of the same tensors. One that was taken of all bytes of
        the tensor, as earlier versions of kn-edit did, is compared in that way, and returned.
    One tensor is in memory at a time. Raises TensorMissing, DeltaMisfit, SlotOverflow.
    """
    recorded = recorded or {}
    sha256_by_name = {}
    for name, where in touched(deltas).items():
        entry = base.entry(name)
        where.check_fit(name, entry.shape, entry.number_format)
        actual = None if where.complete else _folded_digest(base, name, where, deltas)
        if actual is None or recorded.get(name, actual) != actual:
            weight = in_format(base.read_bytes(name), entry.number_format).reshape(entry.shape)
            whole_tensor = digest(raw_bytes(fold_weight(weight, name, deltas)))
            if actual is None or recorded[name] == whole_tensor:
                actual = whole_tensor
        sha256_by_name[name] = actual
    return sha256_by_name


def slots_digest(entry: Entry, where: TouchedSlots, values: Numbers) -> str:
    """sha256 of the touched slots of one tensor: canonical JSON of what they are, then the numbers.

    The JSON says format, dtype, shape, axis and how many slots. Then come their indices, int64, and
    the slots one after the other as a checkpoint holds them, all little-endian.
    values: the slots in the tensor's format, (n, d_model)
    """
    return digest_of(_hashed(entry, where, values))


def _folded_digest(base: Shards, name: str, where: TouchedSlots, deltas: Sequence[Delta]) -> str:
    """The digest of the touched slots of a tensor with the deltas folded in."""
    values = folded_slots(base_slots(base, name, where), name, where.index, deltas)
    return slots_digest(base.entry(name), where, values)


def _hashed(entry: Entry, where: TouchedSlots, values: Numbers) -> Iterator[bytes | memoryview]:
    yield canonical_json(
        {
            "format": FORMAT,
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "axis": where.axis,
            "slots": len(where.index),
        }
    )
    yield raw_bytes(where.index.astype(np.int64))
    for start in range(0, len(values), HASHED):
        yield raw_bytes(values[start : start + HASHED])
