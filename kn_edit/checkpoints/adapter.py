"""A version as a PEFT LoRA adapter: kilobytes that PEFT and vLLM load over the untouched base.

What a version adds to n slots of a weight is exactly of rank n: A picks the n coefficients (one-hot
rows, n x d_ff), B holds what is added (d_model x n), and with alpha = n PEFT scales by 1. Of a
low-rank change A is u and B is v transposed. Where a weight has both, their ranks add up.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from kn_edit.checkpoints.folders import write_folder
from kn_edit.checkpoints.slots import base_slots, touched_of
from kn_edit.edits.changes import Index, LowRankChange, SlotChanges, TouchedSlots
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.fold import folded_slots
from kn_edit.edits.numbers import Numbers, widened
from kn_edit.errors import RankTooHigh
from kn_edit.models.families import Family, module_of
from kn_edit.models.shards import Shards

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MOST_RANK = 64  # more than most servers take
TASKS = {"causal": "CAUSAL_LM", "masked": None}


@dataclass(frozen=True, eq=False)
class LowRank:
    """What a version adds to one weight: u.T @ v to all slots, and then to some slots a shift.

    shift: of the slots that are changed one by one, with all that the version does to them
    u: zero at those slots
    """

    module: str  # its path in the live model
    axis: str
    index: Index  # neurons, int64, sorted, (n,)
    shift: NDArray[np.float32]  # (n, d_model)
    d_ff: int
    u: NDArray[np.float32]  # (r, d_ff)
    v: NDArray[np.float32]  # (r, d_model)

    @property
    def rank(self) -> int:
        return len(self.u) + len(self.index)

    @property
    def a(self) -> Numbers:
        """(rank, d_ff): u, then one-hot rows; these alone in half precision, which is exact."""
        one_hot = np.zeros((len(self.index), self.d_ff), np.float32 if len(self.u) else np.float16)
        one_hot[np.arange(len(self.index)), self.index] = 1
        return np.concatenate([self.u, one_hot]) if len(self.u) else one_hot

    @property
    def b(self) -> NDArray[np.float32]:
        """(d_model, rank)."""
        return np.ascontiguousarray(np.concatenate([self.v, self.shift]).T)


def low_rank(base: Shards, family: Family, deltas: Sequence[Delta]) -> list[LowRank]:
    """What the deltas add to each touched weight.

    The shift of slots that are changed one by one is that of the checkpoint, folded and rounded. A
    low-rank change gives its factors as they are: their sum with the base's weight is rounded to
    its format in the checkpoint, and not here. At slots that are changed one by one u is zero, and
    their shift tells all: so one that is set has nothing of the changes before it.

    Raises TensorMissing, DeltaMisfit, SlotOverflow, NothingToExport.
    """
    slots = touched_of(base, deltas, "adapter")
    return [_of_weight(base, family, name, where, deltas) for name, where in slots.items()]


def _of_weight(
    base: Shards, family: Family, name: str, where: TouchedSlots, deltas: Sequence[Delta]
) -> LowRank:
    changes = [delta.tensors[name] for delta in deltas if name in delta.tensors]
    singles = [change.index for change in changes if isinstance(change, SlotChanges)]
    factors = [change for change in changes if isinstance(change, LowRankChange)]
    d_ff = base.entry(name).shape[0 if where.axis == "row" else 1]
    index = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *singles]))
    u = np.concatenate([_no_rows(d_ff), *(change.u for change in factors)])
    v = np.concatenate([_no_rows(where.d_model), *(change.v for change in factors)])
    u[:, index] = 0.0
    return LowRank(
        module=module_of(family, name),
        axis=where.axis,
        index=index,
        shift=_shift(base, name, TouchedSlots(where.axis, index, where.d_model), deltas),
        d_ff=d_ff,
        u=u,
        v=v,
    )


def _shift(
    base: Shards, name: str, slots: TouchedSlots, deltas: Sequence[Delta]
) -> NDArray[np.float32]:
    """What the deltas add to some slots, folded and rounded as in a checkpoint, (n, d_model)."""
    if not len(slots.index):
        return _no_rows(slots.d_model)
    before = base_slots(base, name, slots)
    after = folded_slots(before, name, slots.index, deltas)
    return (widened(after) - widened(before)).astype(np.float32)


def _no_rows(width: int) -> NDArray[np.float32]:
    return np.empty((0, width), dtype=np.float32)


def adapter_files(
    base: Shards,
    ref: BaseRef,
    family: Family,
    deltas: Sequence[Delta],
    most_rank: int | None,
    *,
    folder: Path | None = None,
) -> dict[str, bytes]:
    """The two files of an adapter folder. Raises RankTooHigh, and what low_rank raises.

    most_rank: MOST_RANK by default
    folder: where PEFT finds a base that is on no Hub; for this machine only, never to be published
    """
    most = most_rank or MOST_RANK
    parts = low_rank(base, family, deltas)
    rank = max(part.rank for part in parts)
    if rank > most:
        raise RankTooHigh(rank, most)
    tensors = {}
    for part in parts:
        prefix = f"base_model.model.{part.module}"
        tensors[f"{prefix}.lora_A.weight"] = part.a
        tensors[f"{prefix}.lora_B.weight"] = part.b
    config = _config(ref, family, parts, rank)
    if ref.repo is None and folder is not None:
        config["base_model_name_or_path"] = str(folder)
    text = json.dumps(config, sort_keys=True, indent=2) + "\n"
    return {CONFIG: text.encode(), WEIGHTS: save(tensors, {"format": "pt"})}


def _config(ref: BaseRef, family: Family, parts: Sequence[LowRank], rank: int) -> dict[str, object]:
    ranks = {part.module: part.rank for part in parts}
    return {
        "peft_type": "LORA",
        "task_type": TASKS[family.kind],
        "base_model_name_or_path": ref.repo,
        "revision": ref.revision,
        "inference_mode": True,
        "target_modules": sorted(ranks),
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": ranks,
        "alpha_pattern": ranks,
        "fan_in_fan_out": parts[0].axis == "row",
        "lora_dropout": 0.0,
        "bias": "none",
        "init_lora_weights": True,
    }


def export_adapter(
    base: Shards,
    ref: BaseRef,
    family: Family,
    deltas: Sequence[Delta],
    target: Path,
    *,
    most_rank: int | None = None,
) -> Path:
    """Write the adapter to a new folder. Raises TargetNotEmpty, CannotWrite, and as above."""
    files = adapter_files(base, ref, family, deltas, most_rank, folder=base.folder)
    return write_folder(target, files)
