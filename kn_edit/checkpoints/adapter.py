"""A version as a PEFT LoRA adapter: kilobytes that PEFT and vLLM load over the untouched base.

What a version adds to n slots of a weight is exactly of rank n: A picks the n coefficients (one-hot
rows, n x d_ff), B holds what is added (d_model x n), and with alpha = n PEFT scales by 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from kn_edit.checkpoints.folders import write_folder
from kn_edit.checkpoints.slots import Changed, changed_slots
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import RankTooHigh
from kn_edit.models.families import Family, module_of
from kn_edit.models.shards import Shards

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MOST_RANK = 64  # more than most servers take
TASKS = {"causal": "CAUSAL_LM", "masked": None}


@dataclass(frozen=True, eq=False)
class LowRank:
    """What a version adds to the slots of one weight."""

    module: str  # its path in the live model
    axis: str
    index: Tensor  # neurons, int64, sorted, (n,)
    shift: Tensor  # float32, (n, d_model)
    d_ff: int

    @property
    def rank(self) -> int:
        return len(self.index)

    @property
    def a(self) -> Tensor:
        """(n, d_ff): one-hot rows, exact in half precision, which halves the larger factor."""
        return torch.nn.functional.one_hot(self.index, self.d_ff).half()

    @property
    def b(self) -> Tensor:
        """(d_model, n)."""
        return self.shift.T.contiguous()


def low_rank(base: Shards, family: Family, deltas: Sequence[Delta]) -> list[LowRank]:
    """What the deltas add to each touched weight, folded and cast as in a checkpoint.

    Raises TensorMissing, DeltaMisfit, SlotOverflow, NothingToExport.
    """
    return [_of_weight(base, family, one) for one in changed_slots(base, deltas, "adapter")]


def _of_weight(base: Shards, family: Family, one: Changed) -> LowRank:
    d_ff = base.entry(one.name).shape[0 if one.where.axis == "row" else 1]
    shift = (one.after.double() - one.before.double()).float()
    return LowRank(module_of(family, one.name), one.where.axis, one.where.index, shift, d_ff)


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
