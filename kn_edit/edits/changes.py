"""What an edit does to one weight: changes of single value slots, or of all of them at low rank.

Every kind answers the same questions: which slots it touches, whether they are there in a weight,
how it is folded into rows, and what it touches in common with another change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from kn_edit.edits.delta_file import AXES, LOW_RANK, MOST_RANK, SLOTS
from kn_edit.edits.numbers import ARRAY_TYPES, Numbers, widened
from kn_edit.errors import DeltaMisfit, InvalidDelta
from kn_edit.safetext import shortened

Index = NDArray[np.int64]


class Mode(IntEnum):
    """What an edit does to a value slot."""

    ADD = 0
    SET = 1


@dataclass(frozen=True, eq=False)
class TouchedSlots:
    """The value slots of one weight that some changes touch.

    axis: "column" or "row", as in SlotChanges
    index: neuron indices, int64, sorted, unique, (n,)
    d_model: the length of a slot
    d_ff: where all slots of the weight are touched, how many it has
    """

    axis: str
    index: Index
    d_model: int
    d_ff: int | None = None

    @classmethod
    def every(cls, axis: str, d_ff: int, d_model: int) -> TouchedSlots:
        """All slots of a weight."""
        return cls(axis=axis, index=np.arange(d_ff, dtype=np.int64), d_model=d_model, d_ff=d_ff)

    @property
    def complete(self) -> bool:
        """Whether all slots of the weight are touched."""
        return self.d_ff is not None

    def union(self, slots: TouchedSlots, name: str) -> TouchedSlots:
        """The slots that either touches. Raises DeltaMisfit: both are of weight `name`."""
        if (self.axis, self.d_model) != (slots.axis, slots.d_model):
            raise DeltaMisfit(name, "two of the edits see slots of different shapes there")
        if self.d_ff is None and slots.d_ff is None:
            index = np.union1d(self.index, slots.index)
            return TouchedSlots(self.axis, index, self.d_model)
        complete, part = (self, slots) if self.complete else (slots, self)
        if part.complete:
            inside = part.d_ff == complete.d_ff
        else:
            inside = int(part.index[-1]) < len(complete.index)
        if not inside:
            raise DeltaMisfit(name, "two of the edits see different numbers of slots there")
        return complete

    def check_fit(self, name: str, shape: Sequence[int], number_format: str) -> None:
        """Raise DeltaMisfit unless these slots exist in a weight of this shape and format.

        number_format: as people name it, bfloat16
        """
        if number_format not in ARRAY_TYPES:
            problem = f"the weight is stored as {number_format}, not as floats of 16 to 64 bits"
            raise DeltaMisfit(name, problem)
        if len(shape) != 2:
            raise DeltaMisfit(name, f"the weight has {len(shape)} dimensions, not 2")
        d_ff, d_model = shape if self.axis == "row" else (shape[1], shape[0])
        if d_model != self.d_model:
            raise DeltaMisfit(name, f"its slots have {d_model} numbers, the delta's {self.d_model}")
        if int(self.index[-1]) >= d_ff:
            raise DeltaMisfit(name, f"it has no neuron {int(self.index[-1])}, only {d_ff} of them")
        if self.d_ff not in (None, d_ff):
            raise DeltaMisfit(name, f"it has {d_ff} neurons, the delta changes {self.d_ff}")


class Change(Protocol):
    """What an edit does to one weight."""

    kind: ClassVar[str]  # as delta files name it

    @property
    def axis(self) -> str:
        """ "column" for nn.Linear [d_model, d_ff], "row" for Conv1D [d_ff, d_model]."""
        ...

    @property
    def parts(self) -> Mapping[str, Numbers]:
        """The tensors of a delta file, by the name of the part."""
        ...

    @property
    def nbytes(self) -> int:
        """The size of its numbers."""
        ...

    def touched(self) -> TouchedSlots:
        """The slots that it touches."""
        ...

    def check_fit(self, name: str, shape: Sequence[int], number_format: str) -> None:
        """Raise DeltaMisfit unless it fits a weight of this name, shape and number format."""
        ...

    def fold(self, rows: NDArray[np.float64], index: Index) -> None:
        """Change slots of the weight in place; it may touch others, too.

        rows: float64, one slot a row, (n, d_model)
        index: which neurons they belong to, int64, sorted, unique, (n,)
        """
        ...

    def overlap(self, change: Change) -> Index:
        """The neurons whose slots both touch, int64, sorted, (n,)."""
        ...

    def then(self, later: Change, name: str) -> Change:
        """This change of weight `name`, then a later one. Raises DeltaMisfit, InvalidDelta."""
        ...


class _OfSlots:
    """What all kinds answer in the same way, from the slots that they touch."""

    def touched(self) -> TouchedSlots:
        raise NotImplementedError

    def check_fit(self, name: str, shape: Sequence[int], number_format: str) -> None:
        """Raise DeltaMisfit unless the change fits a weight of this name, shape and format."""
        self.touched().check_fit(name, shape, number_format)

    def overlap(self, change: Change) -> Index:
        """The neurons whose slots both touch, int64, sorted, (n,)."""
        ours, theirs = self.touched().index, change.touched().index
        return ours[np.isin(ours, theirs)]

    def _check_shape(self, change: Change, name: str) -> None:
        """Raise DeltaMisfit unless the slots of the other change are of the same shape."""
        ours, theirs = self.touched(), change.touched()
        sizes = {ours.d_ff, theirs.d_ff} - {None}
        if (ours.axis, ours.d_model) != (theirs.axis, theirs.d_model) or len(sizes) > 1:
            raise DeltaMisfit(name, "the slots of the two deltas have different shapes")


@dataclass(frozen=True, eq=False)
class SlotChanges(_OfSlots):
    """Changes to the value slots of one weight.

    axis: "column" for nn.Linear [d_model, d_ff], "row" for Conv1D [d_ff, d_model]
    index: neuron indices, int64, sorted, unique, (n,)
    mode: a Mode for each, uint8, (n,)
    value: b for each, float32, finite, (n, d_model)
    """

    kind: ClassVar[str] = SLOTS
    axis: str
    index: Index
    mode: NDArray[np.uint8]
    value: NDArray[np.float32]

    def __post_init__(self) -> None:
        _take_over(self, "index", "mode", "value")
        reason = _slots_fault(self)
        if reason is not None:
            raise InvalidDelta(reason)

    @property
    def parts(self) -> Mapping[str, Numbers]:
        return {"index": self.index, "mode": self.mode, "value": self.value}

    @property
    def nbytes(self) -> int:
        return self.value.nbytes

    def touched(self) -> TouchedSlots:
        return TouchedSlots(self.axis, self.index, self.value.shape[1])

    def fold(self, rows: NDArray[np.float64], index: Index) -> None:
        """Add to the slots, or set them, in place; those that are not among the rows are left out.

        rows: float64, (n, d_model); index: which neurons they belong to, sorted, (n,)
        """
        positions = np.searchsorted(index, self.index)  # (m,)
        there = index[np.minimum(positions, len(index) - 1)] == self.index
        value = widened(self.value)
        sets = there & (self.mode == Mode.SET)
        adds = there & (self.mode == Mode.ADD)
        rows[positions[sets]] = value[sets]
        rows[positions[adds]] += value[adds]

    def then(self, later: Change, name: str = "it") -> SlotChanges:
        """These changes, then later ones, as one. Sums in float64, cast once to float32.

        A sum of two float32 numbers taken in float64 and cast is the correctly rounded one.
        Raises DeltaMisfit where the later change is of other slots or of another kind.
        """
        self._check_shape(later, name)
        if not isinstance(later, SlotChanges):
            raise _no_single_change(name)
        index = np.union1d(self.index, later.index)  # (n,)
        ours = np.searchsorted(index, self.index)
        theirs = np.searchsorted(index, later.index)
        # -0.0 and not 0.0 is the number that changes nothing it is added to.
        shape = (len(index), self.value.shape[1])
        value = np.full(shape, -0.0, dtype=np.float64)
        mode = np.full(len(index), Mode.ADD, dtype=np.uint8)
        value[ours] = widened(self.value)
        mode[ours] = self.mode

        sets = later.mode == Mode.SET
        value[theirs[sets]] = widened(later.value[sets])
        mode[theirs[sets]] = Mode.SET
        value[theirs[~sets]] += widened(later.value[~sets])
        with np.errstate(over="ignore"):  # which the change refuses
            rounded = value.astype(np.float32)
        return SlotChanges(axis=self.axis, index=index, mode=mode, value=rounded)


@dataclass(frozen=True, eq=False)
class LowRankChange(_OfSlots):
    """A change of all value slots of one weight: slot j gets the sum over k of u[k, j] v[k] added.

    axis: "column" for nn.Linear [d_model, d_ff], "row" for Conv1D [d_ff, d_model]
    u: how much each slot gets of each direction, float32, finite, (r, d_ff)
    v: the directions, float32, finite, (r, d_model)
    """

    kind: ClassVar[str] = LOW_RANK
    axis: str
    u: NDArray[np.float32]
    v: NDArray[np.float32]

    def __post_init__(self) -> None:
        _take_over(self, "u", "v")
        reason = _low_rank_fault(self)
        if reason is not None:
            raise InvalidDelta(reason)

    @property
    def rank(self) -> int:
        """How many directions there are."""
        return len(self.u)

    @property
    def parts(self) -> Mapping[str, Numbers]:
        return {"u": self.u, "v": self.v}

    @property
    def nbytes(self) -> int:
        return self.u.nbytes + self.v.nbytes

    def touched(self) -> TouchedSlots:
        return TouchedSlots.every(self.axis, self.u.shape[1], self.v.shape[1])

    def check_fit(self, name: str, shape: Sequence[int], number_format: str) -> None:
        """Raise DeltaMisfit unless the change fits a weight of this name, shape and format."""
        # Without the list of all slots: a stranger's file can say that there are very many.
        d_ff, d_model = self.u.shape[1], self.v.shape[1]
        last = np.array([d_ff - 1], dtype=np.int64)
        TouchedSlots(axis=self.axis, index=last, d_model=d_model, d_ff=d_ff).check_fit(
            name, shape, number_format
        )

    def fold(self, rows: NDArray[np.float64], index: Index) -> None:
        """Add u[k, j] v[k] to every row j in place, for one k after the other.

        rows: float64, (n, d_model); index: which neurons they belong to, sorted, (n,)
        """
        # Elementwise and in order, which gives the same bits on every machine; a matrix product
        # does not. The product of two float32 numbers is exact in float64, so that a processor
        # that fuses it with the sum gets the same sum.
        product = np.empty_like(rows)  # (n, d_model); laid out alike, or the sum takes long
        for u, v in zip(widened(self.u[:, index]), widened(self.v), strict=True):
            rows += np.multiply(u[:, None], v[None, :], out=product)

    def then(self, later: Change, name: str = "it") -> LowRankChange:
        """This change, then a later one, as one: the directions of both, in order.

        Raises DeltaMisfit where the later change is of other slots or of another kind, and
        InvalidDelta beyond the largest rank.
        """
        self._check_shape(later, name)
        if not isinstance(later, LowRankChange):
            raise _no_single_change(name)
        u, v = np.concatenate([self.u, later.u]), np.concatenate([self.v, later.v])
        return LowRankChange(self.axis, u, v)


KINDS: Mapping[str, type[SlotChanges] | type[LowRankChange]] = {
    kind.kind: kind for kind in (SlotChanges, LowRankChange)
}


def _no_single_change(name: str) -> DeltaMisfit:
    problem = "changes of single slots and a low-rank change cannot be put together as one"
    return DeltaMisfit(name, problem, "keep the two as a list, as a version does")


def _take_over(change: object, *fields: str) -> None:
    """Copy a change's numbers, so that it is not changed with those that it was made from.

    They may be given as tensors of torch, on any device.
    """
    for field in fields:
        numbers = getattr(change, field)
        try:
            if hasattr(numbers, "detach"):
                numbers = numbers.detach().cpu().numpy()
            object.__setattr__(change, field, np.array(numbers, order="C"))
        except TypeError:  # a format that numpy does not have
            raise InvalidDelta(f"{field} has another number format than a delta") from None


def _are(numbers: Numbers, kind: type[np.generic]) -> bool:
    """Whether numbers are of this type."""
    return numbers.dtype == np.dtype(kind)


def _slots_fault(changes: SlotChanges) -> str | None:
    """What breaks the rules of the format in changes of slots, or None."""
    index, mode, value = changes.index, changes.mode, changes.value
    if changes.axis not in AXES:
        return f"the slot axis {shortened(repr(changes.axis), 100)} is neither column nor row"
    if not _are(index, np.int64) or not _are(mode, np.uint8) or not _are(value, np.float32):
        return "index, mode and value are not int64, uint8 and float32"
    if index.ndim != 1 or mode.shape != index.shape or value.shape[:-1] != index.shape:
        return "index, mode and value do not have the shapes (n,), (n,) and (n, d_model)"
    if value.size == 0:
        return "a tensor is listed without any slot"
    if bool((index < 0).any()) or bool((index[1:] <= index[:-1]).any()):
        return "the neuron indices are not sorted, unique and from 0 on"
    if bool((mode > Mode.SET).any()):
        return "a mode is neither 0 (add) nor 1 (set)"
    if not bool(np.isfinite(value).all()):
        return "a value is not a finite number"
    return None


def _low_rank_fault(change: LowRankChange) -> str | None:
    """What breaks the rules of the format in a low-rank change, or None."""
    u, v = change.u, change.v
    if change.axis not in AXES:
        return f"the slot axis {shortened(repr(change.axis), 100)} is neither column nor row"
    if not (_are(u, np.float32) and _are(v, np.float32)):
        return "u and v are not float32"
    if u.ndim != 2 or v.ndim != 2 or len(u) != len(v):
        return "u and v do not have the shapes (r, d_ff) and (r, d_model)"
    if u.size == 0 or v.size == 0:
        return "a tensor is listed without any direction"
    if len(u) > MOST_RANK:
        return f"a change has rank {len(u):,}, more than {MOST_RANK:,}"
    if not bool(np.isfinite(u).all() and np.isfinite(v).all()):
        return "a number of u or v is not finite"
    return None
