"""Exported versions: only the touched slots differ from the base, and nothing is left half-made."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tensor_folds import fold_weight

from kn_edit.checkpoints import folders
from kn_edit.checkpoints import slots as slots_module
from kn_edit.checkpoints.digests import digests
from kn_edit.checkpoints.materialise import export_checkpoint, export_touched
from kn_edit.checkpoints.recipe import export_deltas, read_deltas
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import (
    BaseChanged,
    CannotWrite,
    DeltaDigestDiffers,
    DeltaMisfit,
    DifferentBase,
    ExitCode,
    ExportDiffers,
    InvalidRecipe,
    KnEditError,
    TargetInsideCheckpoint,
    TargetNotEmpty,
    TensorMissing,
)
from kn_edit.models.shards import Shards

D_MODEL, D_FF, LAYERS = 5, 12, 3
BASE = BaseRef("org/tiny", "0" * 40, "f" * 64)
DTYPES = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def weight_name(layer: int) -> str:
    return f"model.layers.{layer}.mlp.down_proj.weight"


def base_tensors(dtype: torch.dtype, axis: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of random bits: NaN payloads, infinities, -0.0 and subnormals are among them."""
    rng = torch.Generator().manual_seed(seed)
    bits = DTYPES[dtype]
    shape = (D_FF, D_MODEL) if axis == "row" else (D_MODEL, D_FF)
    low, high = torch.iinfo(bits).min, torch.iinfo(bits).max
    tensors = {"embed.weight": torch.randn(7, D_MODEL, generator=rng).to(dtype)}
    for layer in range(LAYERS):
        wild = torch.randint(low, high, shape, dtype=bits, generator=rng)
        # In slots 1 and 2, which no edit touches: -0.0 and a signalling NaN.
        wild[1, 1] = torch.tensor(-0.0, dtype=dtype).view(bits)
        wild[2, 2] = torch.tensor(float("inf"), dtype=dtype).view(bits) + 1
        tensors[weight_name(layer)] = wild.view(dtype)
    return tensors


def write_base(folder: Path, tensors: dict[str, torch.Tensor], *, sharded: bool) -> Shards:
    (folder / "sub").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("not a part of the model")
    (folder / "sub" / "notes.txt").write_text("copied as it is")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_bytes(bytes(range(256)))
    if not sharded:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return Shards.open(folder)
    weight_map = {}
    for number, part in enumerate((list(tensors)[:2], list(tensors)[2:]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return Shards.open(folder)


def changes(axis: str, index: list[int], modes: list[Mode], seed: int) -> SlotChanges:
    value = torch.randn(len(index), D_MODEL, generator=torch.Generator().manual_seed(seed))
    mode = torch.tensor(modes, dtype=torch.uint8)
    return SlotChanges(axis, torch.tensor(index), mode, value)


def some_deltas(axis: str) -> list[Delta]:
    add, put = Mode.ADD, Mode.SET
    return [
        Delta(BASE, {weight_name(0): changes(axis, [0, 3, 11], [put, put, put], 1)}),
        Delta(
            BASE,
            {
                weight_name(0): changes(axis, [3, 4], [add, put], 2),
                weight_name(2): changes(axis, [7], [put], 3),
            },
        ),
        Delta(BASE, {weight_name(2): changes(axis, [7], [add], 4)}),
    ]


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().flatten().view(torch.uint8).numpy())


def slots_sha256(dtype: str, axis: str, slots: list[int], weight: torch.Tensor) -> str:
    """The digest of the touched slots of a weight as the docs define it (decision 0038)."""
    facts = {"axis": axis, "dtype": dtype, "format": "kn-slots/1", "shape": list(weight.shape)}
    text = json.dumps(facts | {"slots": len(slots)}, sort_keys=True, separators=(",", ":"))
    rows = weight if axis == "row" else weight.T
    values = b"".join(raw(rows[slot]) for slot in slots)
    return hashlib.sha256(
        text.encode() + struct.pack(f"<{len(slots)}q", *slots) + values
    ).hexdigest()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
    return tensors


# --- what is written -----------------------------------------------------------------------------


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("axis", ["row", "column"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_only_the_bytes_of_touched_slots_differ_from_the_base(dtype, axis, sharded, tmp_path):
    tensors = base_tensors(dtype, axis)
    base = write_base(tmp_path / "base", tensors, sharded=sharded)
    before, times = contents(tmp_path / "base"), stamps(tmp_path / "base")
    deltas = some_deltas(axis)
    expected = digests(base, deltas)
    assert expected.keys() == {weight_name(0), weight_name(2)}

    export_checkpoint(base, deltas, tmp_path / "out", expected=expected)

    for name, tensor in loaded(tmp_path / "out").items():
        folded = fold_weight(tensors[name], name, deltas)
        assert raw(tensor) == raw(folded)
        if name in expected:
            slots = {weight_name(0): [0, 3, 4, 11], weight_name(2): [7]}[name]
            assert slots_sha256(base.entry(name).dtype, axis, slots, folded) == expected[name]
    allowed = touched_offsets(base, axis)
    after = contents(tmp_path / "out")
    assert after.keys() == before.keys() - {".cache/lock"}
    for file, new in after.items():
        old = before[file]
        assert len(new) == len(old)
        different = {at for at in range(len(new)) if new[at] != old[at]}
        assert different <= allowed.get(file, set())
        assert bool(different) == bool(allowed.get(file))
    assert (contents(tmp_path / "base"), stamps(tmp_path / "base")) == (before, times)


def touched_offsets(base: Shards, axis: str) -> dict[str, set[int]]:
    """Offsets in each file that the slots of some_deltas occupy, from the layout alone."""
    allowed: dict[str, set[int]] = {}
    for layer, slots in ((0, {0, 3, 4, 11}), (2, {7})):
        entry = base.entry(weight_name(layer))
        size = entry.torch_dtype.itemsize
        for element in range(D_FF * D_MODEL):
            slot = element // D_MODEL if axis == "row" else element % D_FF
            if slot in slots:
                start = entry.start + element * size
                allowed.setdefault(entry.file, set()).update(range(start, start + size))
    return allowed


@pytest.mark.parametrize("axis", ["row", "column"])
def test_digests_of_whole_tensors_as_once_recorded_still_hold(axis, tmp_path):
    tensors = base_tensors(torch.bfloat16, axis)
    base = write_base(tmp_path / "base", tensors, sharded=True)
    deltas = some_deltas(axis)
    now = digests(base, deltas)
    once = {
        name: hashlib.sha256(raw(fold_weight(tensors[name], name, deltas))).hexdigest()
        for name in now
    }
    assert once.keys() == now.keys() and not set(once.values()) & set(now.values())
    assert digests(base, deltas, once) == once
    assert digests(base, deltas, dict.fromkeys(now, "0" * 64)) == now
    export_checkpoint(base, deltas, tmp_path / "out", expected=once)
    wrong = once | {weight_name(2): "0" * 64}
    with pytest.raises(ExportDiffers):
        export_checkpoint(base, deltas, tmp_path / "wrong", expected=wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what a process reads")
def test_an_edit_is_recorded_without_reading_the_rest_of_its_weights(tmp_path):
    tensors = {weight_name(layer): torch.zeros(64, 16384, dtype=torch.half) for layer in range(4)}
    base = write_base(tmp_path / "base", tensors, sharded=True)
    changed = {
        name: SlotChanges(
            "column", torch.arange(5) * 3000, torch.zeros(5, dtype=torch.uint8), torch.ones(5, 64)
        )
        for name in tensors
    }

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    assert len(digests(base, [Delta(BASE, changed)])) == 4
    assert bytes_read() - before < 16_000  # of 8 MB: 20 slots of 128 bytes


@pytest.mark.parametrize("few", [0, 3, 32])
def test_columns_are_the_same_read_one_by_one_or_by_rows(few, tmp_path, monkeypatch):
    tensors = base_tensors(torch.float16, "column")
    base = write_base(tmp_path / "base", tensors, sharded=False)
    expected = digests(base, some_deltas("column"))
    monkeypatch.setattr(slots_module, "FEW_COLUMNS", few)
    monkeypatch.setattr(slots_module, "RUN", 2 * D_FF * 2)  # two rows
    assert digests(base, some_deltas("column")) == expected
    out = export_checkpoint(base, some_deltas("column"), tmp_path / "out", expected=expected)
    for name, tensor in loaded(out).items():
        assert raw(tensor) == raw(fold_weight(tensors[name], name, some_deltas("column")))


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
def test_no_edits_give_the_base_back_byte_for_byte(sharded, tmp_path):
    base = write_base(tmp_path / "base", base_tensors(torch.bfloat16, "column"), sharded=sharded)
    assert digests(base, []) == {}
    export_checkpoint(base, [], tmp_path / "out", expected={})
    before = contents(tmp_path / "base")
    del before[".cache/lock"]
    assert contents(tmp_path / "out") == before
    assert Shards.open(tmp_path / "out").fingerprint() == base.fingerprint()


def test_the_same_recipe_gives_the_same_files(tmp_path):
    base = write_base(tmp_path / "base", base_tensors(torch.float16, "column"), sharded=True)
    for out in ("one", "two"):
        export_checkpoint(base, some_deltas("column"), tmp_path / out)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_links_of_a_hub_cache_become_files(tmp_path):
    repository = tmp_path / "models--org--name"
    tensors = base_tensors(torch.float32, "row")
    base = write_base(repository / "blobs", tensors, sharded=False)
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for path in base.folder.iterdir():
        (snapshot / path.name).symlink_to(path)
    (snapshot / "self").symlink_to(snapshot)
    (snapshot / "broken").symlink_to(tmp_path / "nowhere")
    before = contents(base.folder)
    out = export_checkpoint(Shards.open(snapshot), some_deltas("row"), tmp_path / "out")
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert (out / "sub" / "notes.txt").read_text() == "copied as it is"
    assert {path.name for path in out.iterdir()} == {
        "config.json", "model.safetensors", "sub", "tokenizer.json",
    }  # fmt: skip
    assert contents(base.folder) == before


def test_an_empty_folder_may_be_the_target_and_parents_are_made(tmp_path):
    base = write_base(tmp_path / "base", base_tensors(torch.float32, "row"), sharded=False)
    (tmp_path / "empty").mkdir()
    export_checkpoint(base, [], tmp_path / "empty")
    export_checkpoint(base, [], tmp_path / "a" / "b" / "c")
    assert contents(tmp_path / "empty") == contents(tmp_path / "a" / "b" / "c")


def test_progress_ends_at_all_bytes(tmp_path):
    base = write_base(tmp_path / "base", base_tensors(torch.float32, "row"), sharded=True)
    seen: list[tuple[int, int]] = []
    out = export_checkpoint(
        base, [], tmp_path / "out", progress=lambda done, total: seen.append((done, total))
    )
    total = sum(map(len, contents(out).values()))
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path) -> Shards:
    return write_base(tmp_path / "base", base_tensors(torch.float32, "row"), sharded=False)


def failure(base: Shards, deltas: list[Delta], target: Path, **options: object) -> KnEditError:
    """The error of an export; nothing may be left beside the target, nor the base changed."""
    before, around = contents(base.folder), sorted(target.parent.glob("*"))
    with pytest.raises(KnEditError) as caught:
        export_checkpoint(base, deltas, target, **options)  # type: ignore[arg-type]
    assert contents(base.folder) == before
    assert sorted(target.parent.glob("*")) == around
    assert not list(target.parent.glob(".*.partial"))
    assert "\n" not in str(caught.value)
    return caught.value


def test_nothing_is_overwritten(base, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "full", tmp_path / "file"):
        assert isinstance(failure(base, [], target), TargetNotEmpty)
    assert (tmp_path / "full" / "precious").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_target_that_fills_up_meanwhile_is_not_overwritten(base, tmp_path):
    def other_process(done: int, total: int) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "theirs").write_text("theirs")

    with pytest.raises(CannotWrite):
        export_checkpoint(base, [], tmp_path / "out", progress=other_process)
    assert contents(tmp_path / "out") == {"theirs": b"theirs"}


def test_the_base_and_hub_caches_are_no_targets(base, tmp_path, monkeypatch):
    cache = tmp_path / "hub" / "models--org--name"
    (cache / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "door").symlink_to(base.folder)
    targets = [
        base.folder, base.folder / "out", base.folder / "sub" / ".." / "out",
        tmp_path / "door" / "x", cache / "snapshots" / "abc" / "out", cache / "out",
    ]  # fmt: skip
    for target in targets:
        assert isinstance(failure(base, [], target), TargetInsideCheckpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert isinstance(failure(base, [], tmp_path / "hub" / "out"), TargetInsideCheckpoint)


@pytest.mark.parametrize(
    ("tensor", "slots", "error"),
    [
        (weight_name(9), changes("row", [1], [Mode.ADD], 0), TensorMissing),
        (weight_name(0), changes("row", [D_FF], [Mode.ADD], 0), DeltaMisfit),
        (weight_name(0), changes("column", [1], [Mode.ADD], 0), DeltaMisfit),
    ],
)
def test_a_delta_of_another_model_is_refused_before_anything_is_copied(
    tensor, slots, error, base, tmp_path
):
    delta = Delta(BASE, {tensor: slots})
    with pytest.raises(error):
        digests(base, [delta])

    def copied(done: int, total: int) -> None:
        raise AssertionError("copied")

    assert isinstance(failure(base, [delta], tmp_path / "out", progress=copied), error)


def test_a_tensor_that_is_not_what_the_ledger_recorded_is_refused(base, tmp_path):
    deltas = some_deltas("row")
    expected = digests(base, deltas) | {weight_name(2): "0" * 64}
    found = failure(base, deltas, tmp_path / "out", expected=expected)
    assert isinstance(found, ExportDiffers)
    assert found.exit_code == ExitCode.INTEGRITY
    assert found.tensor == weight_name(2)


@pytest.mark.parametrize("form", ["the whole model", "its changed files"])
def test_a_base_that_changed_is_noticed(base, form, tmp_path):
    deltas = some_deltas("row")
    expected, fingerprint = digests(base, deltas), base.fingerprint()
    unedited = {name: base.digest(name) for name in expected}
    entry = base.entry(weight_name(0))
    with base.path(weight_name(0)).open("r+b") as file:
        file.seek(entry.start + 2 * D_MODEL * 4)  # an untouched slot of a touched tensor
        file.write(b"\x01\x02\x03\x04")
    with pytest.raises(BaseChanged):
        if form == "the whole model":
            kept = {"expected": expected, "fingerprint": fingerprint}
            export_checkpoint(base, deltas, tmp_path / "out", **kept)
        else:
            kept = {"expected": expected, "unedited": unedited}
            export_touched(base, deltas, tmp_path / "out", **kept)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_ctrl_c_leaves_nothing(base, tmp_path):
    def interrupt(done: int, total: int) -> None:
        assert list(tmp_path.glob(".out.*.partial"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_checkpoint(base, some_deltas("row"), tmp_path / "out", progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


LIMITED = """
import resource, sys
from pathlib import Path
from kn_edit.checkpoints.materialise import export_checkpoint
from kn_edit.errors import KnEditError
from kn_edit.models.shards import Shards
base = Shards.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    export_checkpoint(base, [], Path(sys.argv[2]))
except KnEditError as error:
    print(type(error).__name__, int(error.exit_code))
"""


def test_a_disk_that_takes_no_more_ends_with_its_code_and_nothing_left(tmp_path, monkeypatch):
    wide = {"embed.weight": torch.zeros(1 << 20)}
    base = write_base(tmp_path / "base", wide, sharded=False)
    done = run(LIMITED, base.folder, tmp_path / "out")
    assert (done.stdout, done.stderr) == ("CannotWrite 7\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_a_place_that_cannot_be_written_is_a_disk_error(base, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite) as caught:
        export_checkpoint(base, [], tmp_path / "file" / "out")
    assert caught.value.exit_code == ExitCode.DISK


# --- memory, and the real reader -----------------------------------------------------------------

PEAK = """
import resource, sys
from pathlib import Path
import torch
from kn_edit.checkpoints.materialise import export_checkpoint
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.models.shards import Shards
def slots(axis, d_model):
    value = torch.ones(2, d_model)
    return SlotChanges(axis, torch.tensor([3, 900]), torch.tensor([0, 1], dtype=torch.uint8), value)
delta = Delta(BaseRef(None, None, "f" * 64), {
    f"layers.{layer}.weight": slots(axis, 4096) for layer, axis in enumerate(("column", "column"))
})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export_checkpoint(Shards.open(Path(sys.argv[1])), [delta], Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_peak_memory_is_far_below_one_tensor(tmp_path):
    """Two tensors of 128 MiB, in a file with holes so that the test itself stays cheap."""
    shape, size = [4096, 8192], 4096 * 8192 * 4
    header = json.dumps(
        {
            f"layers.{layer}.weight": {
                "dtype": "F32",
                "shape": shape,
                "data_offsets": [layer * size, (layer + 1) * size],
            }
            for layer in range(2)
        }
    ).encode()
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    with (base / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 2 * size)
    done = run(PEAK, base, tmp_path / "out")
    assert done.stderr == ""
    assert int(done.stdout) < 48  # MiB, of which 8 to 16 are the copy's chunk
    out = Shards.open(tmp_path / "out")
    assert out.read("layers.1.weight")[:, [3, 900, 4]].unique(dim=0).tolist() == [[1, 1, 0]]


def test_transformers_loads_an_exported_llama_with_the_folded_weights(tmp_path):
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=D_MODEL * 4, intermediate_size=D_FF, num_hidden_layers=2, vocab_size=11,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=16,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "base", max_shard_size="4KB")
    base = Shards.open(tmp_path / "base")
    assert len({entry.file for entry in base.entries.values()}) > 1
    value = torch.randn(2, D_MODEL * 4)
    mode = torch.tensor([Mode.ADD, Mode.SET], dtype=torch.uint8)
    delta = Delta(BASE, {weight_name(1): SlotChanges("column", torch.tensor([2, 9]), mode, value)})
    export_checkpoint(base, [delta], tmp_path / "out", expected=digests(base, [delta]))

    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    for name, weight in model.state_dict().items():
        folded = fold_weight(weight, name, [delta])
        assert torch.equal(exported[name], folded)
        assert torch.equal(folded, weight) == (name != weight_name(1))


def test_blocks_are_shared_or_copied_with_the_same_result(tmp_path, monkeypatch):
    data = os.urandom(100_000)
    (tmp_path / "source").write_bytes(data)
    counted: list[int] = []
    folders.copy_file(tmp_path / "source", tmp_path / "a", counted.append)
    monkeypatch.setattr(folders, "_share_blocks", lambda reader, writer: False)
    folders.copy_file(tmp_path / "source", tmp_path / "b", counted.append)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == data
    assert sum(counted) == 2 * len(data)


# --- the form `delta` ----------------------------------------------------------------------------


def test_deltas_come_back_as_they_went_out(tmp_path):
    deltas = some_deltas("column")
    export_deltas(BASE, deltas, tmp_path / "out")
    recipe, found = read_deltas(tmp_path / "out")
    assert recipe.base == BASE
    assert recipe.edits == tuple(delta.id for delta in deltas) == tuple(d.id for d in found)
    names = {f"{delta.id}.safetensors" for delta in deltas} | {"kn_edit.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    text = (tmp_path / "out" / "kn_edit.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    export_deltas(recipe.base, found, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_a_version_without_edits_has_an_empty_recipe(tmp_path):
    export_deltas(BASE, [], tmp_path / "out")
    recipe, found = read_deltas(tmp_path / "out")
    assert (recipe.edits, found) == ((), [])


def test_deltas_of_another_base_are_refused(tmp_path):
    other = BaseRef(None, None, "e" * 64)
    with pytest.raises(DifferentBase):
        export_deltas(other, some_deltas("row"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    export_deltas(BASE, some_deltas("row"), tmp_path / "out")
    path = tmp_path / "out" / "kn_edit.json"
    path.write_text(path.read_text().replace("f" * 64, "e" * 64))
    with pytest.raises(DifferentBase):
        read_deltas(tmp_path / "out")


def test_a_changed_or_missing_delta_is_refused(tmp_path):
    deltas = some_deltas("row")
    export_deltas(BASE, deltas, tmp_path / "out")
    path = tmp_path / "out" / f"{deltas[1].id}.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DeltaDigestDiffers):
        read_deltas(tmp_path / "out")
    path.unlink()
    with pytest.raises(InvalidRecipe, match="No such file"):
        read_deltas(tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        {"edits": ["../../etc/passwd"]},
        {"edits": ["A" * 64]},
        {"edits": ["a" * 63]},
        {"edits": ["a" * 64 + "\n"]},
        {"edits": [3]},
        {"edits": "a"},
        {"edits": ["a" * 64, "a" * 64]},
        {"base": None},
        {"base": {"repo": 1, "revision": None, "fingerprint": "f"}},
        {"base": {"repo": None, "revision": None}},
        {"format": "kn-recipe/2"},
        {"more": 1},
    ],
)
def test_a_wild_recipe_is_refused(change, tmp_path):
    export_deltas(BASE, [], tmp_path / "out")
    path = tmp_path / "out" / "kn_edit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidRecipe) as caught:
        read_deltas(tmp_path / "out")
    assert caught.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize("text", ["", "[]", "{", "\0", '{"a": 1, "a": 1}'])
def test_an_unreadable_recipe_is_refused(text, tmp_path):
    (tmp_path / "kn_edit.json").write_text(text)
    with pytest.raises(InvalidRecipe):
        read_deltas(tmp_path)


def test_a_folder_without_a_recipe_is_refused(tmp_path):
    with pytest.raises(InvalidRecipe, match=r"kn_edit\.json"):
        read_deltas(tmp_path)
