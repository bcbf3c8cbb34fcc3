"""Figures of checkpoints: an export beside `cp`, and what recording an edit reads."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import torch
from bench_timing import Figure, Sample, in_turns, timed

from kn_edit.checkpoints.digests import digests
from kn_edit.checkpoints.materialise import export_checkpoint
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.models.shards import INDEX, Shards

D_MODEL, D_FF = 4096, 14336  # of an 8B LLaMA
SHARDS = 4
COLUMNS = 20


def checkpoint(folder: Path, layers: int) -> Path:
    """Up- and down-projections of an 8B shape, bfloat16, 235 MB a layer, in four shards."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 1 << 14, D_MODEL * D_FF, dtype=np.uint16)
    weight_map = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        names = [
            f"model.layers.{layer}.mlp.{part}_proj.weight"
            for layer in range(shard * layers // SHARDS, (shard + 1) * layers // SHARDS)
            for part in ("down", "up")
        ]
        weight_map |= dict.fromkeys(names, file)
        _write(folder / file, names, noise)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


def _write(path: Path, names: list[str], noise: np.ndarray) -> None:
    size = noise.nbytes
    header = {
        name: {
            "dtype": "BF16",
            "shape": [D_MODEL, D_FF] if "down" in name else [D_FF, D_MODEL],
            "data_offsets": [at * size, (at + 1) * size],
        }
        for at, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    with path.open("xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shift, _ in enumerate(names):
            file.write(np.roll(noise, shift).tobytes())


def edit(layers: int, fingerprint: str) -> Delta:
    """An edit of 20 columns, spread over the layers."""
    rng = torch.Generator().manual_seed(0)
    changes = {}
    for layer in range(layers):
        count = COLUMNS // layers + (layer < COLUMNS % layers)
        if count:
            changes[f"model.layers.{layer}.mlp.down_proj.weight"] = SlotChanges(
                axis="column",
                index=torch.randperm(D_FF, generator=rng)[:count].sort().values,
                mode=torch.full((count,), Mode.ADD, dtype=torch.uint8),
                value=torch.randn(count, D_MODEL, generator=rng),
            )
    return Delta(BaseRef(None, None, fingerprint), changes)


def file_figures(folder: Path, repeats: int, *, layers: int) -> list[Figure]:
    """Export and recording, in a scratch folder that holds twice the checkpoint."""
    base = Shards.open(checkpoint(folder / "base", layers))
    fingerprint = base.fingerprint()
    deltas = [edit(layers, fingerprint)]
    before = bytes_read()
    expected = digests(base, deltas)
    read = (bytes_read() - before) / 1e6
    target = folder / "copy"

    def ours() -> Sample:
        kept = {"expected": expected, "fingerprint": fingerprint}
        return _emptying(
            target,
            lambda: export_checkpoint(base, deltas, target, **kept),  # type: ignore[arg-type]
        )

    def copied() -> Sample:
        command = f"cp -r {base.folder} {target} && sync -f {target}"
        return _emptying(target, lambda: subprocess.run(command, shell=True, check=True))

    samples = in_turns({"cp": copied, "ours": ours}, repeats)
    size = sum(path.stat().st_size for path in base.folder.iterdir()) / 1e9
    shutil.rmtree(base.folder)
    return [
        Figure(
            name=f"export of {size:.1f} GB in {SHARDS} shards",
            threads=len(os.sched_getaffinity(0)),
            ours=samples["ours"],
            against="`cp` and `sync`",
            reference=samples["cp"],
            bound=1.3,
            at_most=True,
            clock="wall",
        ),
        Figure(
            name=f"recording an edit of {COLUMNS} columns in an 8B shape: bytes read",
            threads=1,
            ours=[read],
            unit="MB",
            bound=50,
            at_most=True,
        ),
    ]


def bytes_read() -> int:
    """What this process has read so far, by system calls (Linux)."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def _emptying(target: Path, call: object) -> Sample:
    sample = timed(call)  # type: ignore[arg-type]
    shutil.rmtree(target)
    return sample
