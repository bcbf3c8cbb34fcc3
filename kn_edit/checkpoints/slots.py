"""Value slots inside a checkpoint file: only their own bytes are read and written.

A slot of a `row` weight [d_ff, d_model] is one run of bytes; one of a `column` weight
[d_model, d_ff] is d_model single numbers, a row of the weight apart. All slots of a weight are its
bytes from the first to the last, read and written in long runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kn_edit.edits.changes import TouchedSlots
from kn_edit.edits.delta import Delta
from kn_edit.edits.fold import folded_slots, touched
from kn_edit.edits.numbers import ARRAY_TYPES, Numbers, in_format, raw_bytes
from kn_edit.errors import MalformedCheckpoint, NothingToExport
from kn_edit.models.header import Entry
from kn_edit.models.shards import Shards

RUN = 16 << 20  # bytes of a weight that are read or written at once
FEW_COLUMNS = 32  # up to so many are read number by number


@dataclass(frozen=True, eq=False)
class Changed:
    """The slots of a weight that a version touches: in the base, and as the version has them."""

    name: str
    where: TouchedSlots
    before: Numbers  # (n, d_model), in the weight's format
    after: Numbers


def changed_slots(base: Shards, deltas: Sequence[Delta], form: str) -> Iterator[Changed]:
    """Of every touched weight, one at a time. form: what is made of them, for NothingToExport.

    Raises NothingToExport, TensorMissing, DeltaMisfit, SlotOverflow, MalformedCheckpoint.
    """
    for name, where in touched_of(base, deltas, form).items():
        before = base_slots(base, name, where)
        yield Changed(name, where, before, folded_slots(before, name, where.index, deltas))


def touched_of(base: Shards, deltas: Sequence[Delta], form: str) -> dict[str, TouchedSlots]:
    """The slots that the deltas touch, all of which are there in the base; never none.

    Raises NothingToExport, TensorMissing, DeltaMisfit.
    """
    slots = touched(deltas)
    if not slots:
        raise NothingToExport(form)
    for name, where in slots.items():
        entry = base.entry(name)
        where.check_fit(name, entry.shape, entry.number_format)
    return slots


def base_slots(base: Shards, name: str, slots: TouchedSlots) -> Numbers:
    """The slots of a weight of the base, one a row, (n, d_model). Raises MalformedCheckpoint."""
    return slots_at(base, base.entry(name), slots)


def slots_at(shards: Shards, entry: Entry, slots: TouchedSlots) -> Numbers:
    """The slots of a weight in one of the places that hold it, as `base_slots` gives them."""
    descriptor = os.open(shards.folder / entry.file, os.O_RDONLY)
    try:
        return read_slots(descriptor, entry, slots)
    finally:
        os.close(descriptor)


def read_slots(descriptor: int, entry: Entry, slots: TouchedSlots) -> Numbers:
    """The slots as they stand in the file, one a row, in its dtype, (n, d_model).

    All slots of a `column` weight are the weight as it stands there, transposed.
    """
    if _many_columns(slots):
        columns = [rows[:, slots.index] for _, rows in _row_blocks(descriptor, entry)]
        return np.concatenate(columns).T
    raw = bytearray()
    for offset, length in _runs(entry, slots):
        raw += _read(descriptor, entry, offset, length)
    values = in_format(raw, entry.number_format)
    if slots.complete and slots.axis == "column":
        return values.reshape(slots.d_model, -1).T
    return values.reshape(-1, slots.d_model)


def write_slots(descriptor: int, entry: Entry, slots: TouchedSlots, values: Numbers) -> None:
    """Put the slots, (n, d_model), into the file in place.

    By pwrite and not through a map of the file: on a full disk a map ends the process.
    """
    if _many_columns(slots):
        start = 0
        for offset, rows in _row_blocks(descriptor, entry):
            rows[:, slots.index] = values.T[start : start + len(rows)]
            _write(descriptor, offset, raw_bytes(rows))
            start += len(rows)
        return
    raw = raw_bytes(values.T if slots.complete and slots.axis == "column" else values)
    for offset, length in _runs(entry, slots):
        _write(descriptor, offset, raw[:length])
        raw = raw[length:]


def _many_columns(slots: TouchedSlots) -> bool:
    """Whether whole rows are read and written, and not the numbers of each column one by one."""
    return slots.axis == "column" and not slots.complete and len(slots.index) > FEW_COLUMNS


def _row_blocks(descriptor: int, entry: Entry) -> Iterator[tuple[int, Numbers]]:
    """(offset, rows) of the rows of a weight that are read together, (rows, d_ff)."""
    row = entry.shape[1] * ARRAY_TYPES[entry.number_format].itemsize
    step = max(1, RUN // row) * row
    for offset in range(entry.start, entry.end, step):
        raw = bytearray(_read(descriptor, entry, offset, min(step, entry.end - offset)))
        yield offset, in_format(raw, entry.number_format).reshape(-1, entry.shape[1])


def _read(descriptor: int, entry: Entry, offset: int, length: int) -> bytes:
    run = os.pread(descriptor, length, offset)
    if len(run) != length:
        raise MalformedCheckpoint(Path(entry.file), "it ends inside a value slot")
    return run


def _write(descriptor: int, offset: int, run: memoryview) -> None:
    while run:
        written = os.pwrite(descriptor, run, offset)
        run, offset = run[written:], offset + written


def _runs(entry: Entry, slots: TouchedSlots) -> Iterator[tuple[int, int]]:
    """(offset, length) of the runs of bytes that make up the slots, slot after slot."""
    if slots.complete:
        for offset in range(entry.start, entry.end, RUN):
            yield offset, min(RUN, entry.end - offset)
        return
    width = ARRAY_TYPES[entry.number_format].itemsize
    row = entry.shape[1] * width
    for index in slots.index.tolist():
        if slots.axis == "row":
            yield entry.start + index * row, row
        else:
            for number in range(slots.d_model):
                yield entry.start + number * row + index * width, width
