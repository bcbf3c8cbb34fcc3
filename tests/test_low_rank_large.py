"""Rank-one edits of a layer of an 8B model: small files, few reads, bounded memory."""

from __future__ import annotations

import filecmp
import json
import subprocess
import sys

import torch
from safetensors.torch import save_file

NAME = "model.layers.5.mlp.down_proj.weight"
LARGE = """
import json, os, re, sys, time
from datetime import UTC, datetime
from pathlib import Path
import torch
from safetensors.torch import load
from kn_edit.checkpoints.adapter import WEIGHTS, adapter_files
from kn_edit.checkpoints.digests import digests
from kn_edit.checkpoints.materialise import export_checkpoint
from kn_edit.edits.build import SlotPlace, low_rank_delta
from kn_edit.edits.delta import BaseRef
from kn_edit.ledger import BaseRecord, Ledger, NewEdit
from kn_edit.ledger.in_folder import create_in_folder
from kn_edit.models.families import FAMILIES
from kn_edit.models.shards import Shards

folder = Path(sys.argv[1])
base = Shards.open(folder / "base")
ref = BaseRef(None, None, base.fingerprint())
(name,) = base.entries
place = SlotPlace(ref, {5: name}, "column")
torch.manual_seed(0)
edits = [low_rank_delta(place, {5: (torch.randn(14336), torch.randn(4096))}) for _ in range(2)]
reads = []
pread = os.pread
os.pread = lambda *arguments: reads.append(1) or pread(*arguments)
out = export_checkpoint(base, edits[:1], folder / "out")
single = [Shards.open(out).digest(name), digests(base, edits[1:])[name]]
record = BaseRecord("8b", None, None, ref.fingerprint, str(base.folder), "llama", "bfloat16")
told = {"relation": "r", "subject": "s", "answer": "a", "target": "t", "method": "m"}
with create_in_folder(folder / ".kn-edit", record, clock=lambda: datetime.now(UTC)) as ledger:
    versions = []
    for delta, digest in zip(edits, single):
        plan = ledger.plan_edit(delta, "update")
        edit = NewEdit(delta, "update", found={}, metrics={}, message="", **told)
        versions.append(ledger.advance(plan, {name: digest}, edit=edit).id)
        if len(versions) == 1:
            ledger.advance(ledger.plan_rewind("base"), {})
    either = [ledger.plan_compose(order) for order in (versions, versions[::-1])]
    back = ledger.plan_revert(edits[1].id)
root = export_checkpoint(base, [], folder / "root", fingerprint=ref.fingerprint)
adapter = load(adapter_files(base, ref, FAMILIES["llama"], edits[:1], 1)[WEIGHTS])
orders = [list(plan.recipe) for plan in either]
print(json.dumps({
    "delta": len(edits[0].to_bytes()),
    "reads": len(reads),
    "ranks": sorted(list(tensor.shape) for tensor in adapter.values()),
    "overlaps": [[one.layers, one.slots, one.order_counts] for p in either for one in p.overlaps],
    "orders": orders == [[edits[0].id, edits[1].id], [edits[1].id, edits[0].id]],
    "reverted": list(back.recipe) == [],
    "seconds": time.process_time(),
    # Not ru_maxrss, in which the process that started this one counts, too.
    "peak": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10,
}))
"""


def test_a_rank_one_edit_of_an_8b_layer_is_small_and_quick(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"model_type": "llama"}')
    rng = torch.Generator().manual_seed(1)
    weight = torch.empty(4096, 14336, dtype=torch.bfloat16).normal_(generator=rng)
    save_file({NAME: weight}, base / "model.safetensors", {"format": "pt"})
    del weight
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LARGE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    figures = json.loads(done.stdout)
    assert figures["delta"] < 1 << 20
    assert figures["reads"] < 20  # of 58,720,256 numbers
    assert figures["ranks"] == [[1, 14336], [4096, 1]]
    assert figures["overlaps"] == [[[5], [], False]] * 2
    assert figures["orders"] and figures["reverted"]
    assert figures["peak"] < 1024  # MiB, with torch
    assert figures["seconds"] < 30  # of one core, with all imports: two folds, copies, digests
    files = [tmp_path / name / "model.safetensors" for name in ("base", "root", "out")]
    assert filecmp.cmp(*files[:2], shallow=False)  # reverted: the bytes of the base
    assert not filecmp.cmp(*files[::2], shallow=False)
