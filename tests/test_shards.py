"""Checkpoint folders: what is read, what is refused, and that no bytes can crash the reader."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors import deserialize as library_deserialize
from safetensors.torch import save, save_file

from kn_edit.errors import (
    CheckpointFolderMissing,
    ConfigMissing,
    ExitCode,
    KnEditError,
    MalformedCheckpoint,
    NoWeights,
    PickleWeights,
    QuantisedWeights,
    TensorMissing,
)
from kn_edit.models.header import read_header
from kn_edit.models.shards import Shards
from kn_edit.tensor_header import HeaderProblem

TENSORS = {
    "layers.0.down.weight": torch.randn(4, 6, generator=torch.Generator().manual_seed(0)),
    "layers.1.down.weight": torch.arange(24, dtype=torch.bfloat16).reshape(4, 6),
    "half": torch.tensor([1.5, -0.0, float("nan")], dtype=torch.float16),
    "position_ids": torch.arange(5).unsqueeze(0),
    "flag": torch.tensor([True, False, True]),
    "scalar": torch.tensor(2.5),
    "nothing": torch.empty(0, 3),
}


def write_single(folder: Path, tensors: dict[str, torch.Tensor] = TENSORS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    save_file(tensors, folder / "model.safetensors")
    return folder


def write_sharded(folder: Path, tensors: dict[str, torch.Tensor] = TENSORS, count: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    weight_map = {}
    for shard in range(count):
        file = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        part = {name: tensors[name] for name in list(tensors)[shard::count]}
        save_file(part, folder / file)
        weight_map.update(dict.fromkeys(part, file))
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().flatten().view(torch.uint8).numpy())


@pytest.mark.parametrize("write", [write_single, write_sharded])
def test_every_tensor_is_read_bit_for_bit(write, tmp_path):
    shards = Shards.open(write(tmp_path))
    assert shards.entries.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        found = shards.read(name)
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert raw(found) == raw(tensor)
        assert shards.digest(name) == hashlib.sha256(raw(tensor)).hexdigest()
        entry = shards.entry(name)
        assert shards.path(name).read_bytes()[entry.start : entry.end] == raw(tensor)


def test_a_read_tensor_is_a_copy(tmp_path):
    shards = Shards.open(write_single(tmp_path))
    before = (tmp_path / "model.safetensors").read_bytes()
    shards.read("layers.0.down.weight").zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert shards.read("layers.0.down.weight").abs().sum() > 0


def test_the_fingerprint_does_not_depend_on_sharding_or_order(tmp_path):
    backwards = dict(reversed(TENSORS.items()))
    prints = {
        Shards.open(write_single(tmp_path / "a")).fingerprint(),
        Shards.open(write_single(tmp_path / "b", backwards)).fingerprint(),
        Shards.open(write_sharded(tmp_path / "c")).fingerprint(),
        Shards.open(write_sharded(tmp_path / "d", backwards, 2)).fingerprint(),
    }
    table = {
        name: [
            Shards.open(tmp_path / "a").entry(name).dtype,
            list(tensor.shape),
            hashlib.sha256(raw(tensor)).hexdigest(),
        ]
        for name, tensor in TENSORS.items()
    }
    canonical = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    assert prints == {hashlib.sha256(canonical).hexdigest()}


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t | {"scalar": torch.tensor(2.5000002)},
        lambda t: t | {"half": torch.tensor([1.5, 0.0, float("nan")], dtype=torch.float16)},
        lambda t: t | {"layers.0.down.weight": t["layers.0.down.weight"].reshape(6, 4)},
        lambda t: t | {"flag": torch.tensor([1, 0, 1], dtype=torch.uint8)},
        lambda t: {("renamed" if name == "flag" else name): v for name, v in t.items()},
        lambda t: {name: v for name, v in t.items() if name != "nothing"},
    ],
)
def test_any_change_of_a_tensor_changes_the_fingerprint(change, tmp_path):
    base = Shards.open(write_single(tmp_path / "a")).fingerprint()
    assert Shards.open(write_single(tmp_path / "b", change(TENSORS))).fingerprint() != base


def test_progress_runs_from_some_bytes_to_all_bytes(tmp_path):
    seen: list[tuple[int, int]] = []
    Shards.open(write_sharded(tmp_path)).fingerprint(lambda done, total: seen.append((done, total)))
    total = sum(tensor.nbytes for tensor in TENSORS.values())
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (total, total)


def test_a_tensor_that_is_not_there_is_named(tmp_path):
    shards = Shards.open(write_single(tmp_path))
    for use in (shards.read, shards.digest, shards.path, shards.entry):
        with pytest.raises(TensorMissing, match=r"no tensor no\.such\.weight"):
            use("no.such.weight")


def test_links_are_followed_as_in_a_hub_cache(tmp_path):
    write_single(tmp_path / "blobs")
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (snapshot / path.name).symlink_to(path)
    assert Shards.open(snapshot).fingerprint() == Shards.open(tmp_path / "blobs").fingerprint()


# --- refused -------------------------------------------------------------------------------------


def refusal(folder: Path) -> KnEditError:
    with pytest.raises(KnEditError) as caught:
        Shards.open(folder)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_missing_folder_is_refused(tmp_path):
    assert isinstance(refusal(tmp_path / "nowhere"), CheckpointFolderMissing)
    assert isinstance(refusal(write_single(tmp_path) / "config.json"), CheckpointFolderMissing)


@pytest.mark.parametrize(
    ("files", "error", "word"),
    [
        ([], NoWeights, "model.safetensors"),
        (["config.json", "adapter_model.safetensors"], NoWeights, "save_pretrained"),
        (["config.json", "pytorch_model.bin"], PickleWeights, "pytorch_model.bin"),
        (["config.json", "pytorch_model-00001-of-00002.bin"], PickleWeights, "00001-of-00002"),
        (["consolidated.00.pth"], PickleWeights, "consolidated.00.pth"),
        (["epoch.ckpt", "config.json"], PickleWeights, "epoch.ckpt"),
        (["model.Q4_K_M.gguf"], QuantisedWeights, "GGUF"),
        (["model.safetensors"], ConfigMissing, "config.json"),
    ],
)
def test_a_folder_is_refused_by_its_files(files, error, word, tmp_path):
    for file in files:
        (tmp_path / file).write_text("{}")
    found = refusal(tmp_path)
    assert isinstance(found, error)
    assert word in str(found)


def test_pickles_beside_safetensors_do_no_harm(tmp_path):
    write_single(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    assert Shards.open(tmp_path).entries


@pytest.mark.parametrize(
    ("config", "method"),
    [({"quant_method": "aqlm", "bits": 4}, "aqlm"), ({}, "quantization_config"), (1, "quanti")],
)
def test_quantised_weights_are_refused_with_their_method(config, method, tmp_path):
    write_single(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config}))
    found = refusal(tmp_path)
    assert isinstance(found, QuantisedWeights)
    assert method in str(found)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1, "a": 2}', "\udcff", "[" * 100_000])
def test_an_unreadable_config_is_refused(text, tmp_path):
    write_single(tmp_path)
    (tmp_path / "config.json").write_text(text, errors="surrogateescape")
    assert isinstance(refusal(tmp_path), MalformedCheckpoint)


@pytest.mark.parametrize(
    "file",
    [
        "../outside.safetensors",
        "/etc/passwd",
        "gone.safetensors",
        "",
        "..",
        "a\0b",
        3,
        None,
        "x" * 999,
    ],
)
def test_an_index_cannot_name_a_file_that_is_not_beside_it(file, tmp_path):
    folder = write_sharded(tmp_path / "inner")
    save_file(TENSORS, tmp_path / "outside.safetensors")
    write_index(folder, {"scalar": file})
    found = refusal(folder)
    assert isinstance(found, MalformedCheckpoint)
    assert found.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize("weight_map", [None, {}, [], "x"])
def test_an_index_without_a_map_is_refused(weight_map, tmp_path):
    folder = write_sharded(tmp_path)
    write_index(folder, weight_map)
    assert isinstance(refusal(folder), MalformedCheckpoint)


def test_a_tensor_is_read_where_it_is_whatever_the_index_says(tmp_path):
    """transformers, too, takes no more than the names of the shards from the index."""
    folder = write_sharded(tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    before = Shards.open(folder)
    rotated = dict(zip(index, [*index.values()][1:] + [*index.values()][:1], strict=True))
    for wrong in (rotated, dict(zip("abc", sorted(set(index.values())), strict=True))):
        write_index(folder, wrong)
        shards = Shards.open(folder)
        assert shards.entries == before.entries and not shards.copies
        assert shards.fingerprint() == before.fingerprint()


@pytest.mark.parametrize("metadata", ["x", None, [1], {"total_size": "x"}, {"total_size": -1e300}])
def test_what_an_index_says_beside_its_map_does_not_matter(metadata, tmp_path):
    folder = write_sharded(tmp_path)
    before = Shards.open(folder).entries
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    text = json.dumps(index | {"metadata": metadata, "more": [metadata]})
    (folder / "model.safetensors.index.json").write_text(text)
    assert Shards.open(folder).entries == before


def test_a_shard_that_the_index_does_not_name_is_no_part_of_the_model(tmp_path):
    folder = write_sharded(tmp_path)
    before = Shards.open(folder).entries
    save_file({"scalar": torch.tensor(9.0), "more": torch.ones(2)}, folder / "old.safetensors")
    assert Shards.open(folder).entries == before


def test_an_index_beside_a_single_file_is_not_asked(tmp_path):
    folder = write_single(tmp_path)
    before = Shards.open(folder).entries
    write_index(folder, {"scalar": "nowhere.safetensors"})
    assert Shards.open(folder).entries == before


def test_a_tensor_of_the_index_that_no_shard_holds_is_passed_over(tmp_path):
    """Tools list tied heads there. What the model lacks is seen where the model is known."""
    folder = write_sharded(tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    before = Shards.open(folder)
    write_index(folder, index | {"lm_head.weight": index["scalar"]})
    shards = Shards.open(folder)
    assert shards.entries == before.entries
    assert shards.fingerprint() == before.fingerprint()


def test_a_tensor_in_two_shards_is_taken_from_the_one_that_the_index_names(tmp_path):
    folder = write_sharded(tmp_path, count=2)
    before = Shards.open(folder)
    fingerprint = before.fingerprint()
    save_file(TENSORS, folder / "model-00002-of-00002.safetensors")
    shards = Shards.open(folder)
    places = {name: entry.file for name, entry in shards.entries.items()}
    assert places == {name: entry.file for name, entry in before.entries.items()}
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    twice = {name for name, file in places.items() if file == first}
    assert shards.copies.keys() == twice
    assert all(shards.files(name) == [first, second] for name in twice)
    assert shards.fingerprint() == fingerprint


@pytest.mark.parametrize("other", [torch.tensor(2.75), torch.tensor([2.5]), torch.tensor(2)])
def test_a_tensor_in_two_shards_with_other_numbers_is_refused(other, tmp_path):
    folder = write_sharded(tmp_path, count=2)
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    file = next(file for file in index.values() if file != index["scalar"])
    kept = {name: TENSORS[name] for name, place in index.items() if place == file}
    save_file(kept | {"scalar": other}, folder / file)
    found = refusal(folder)
    assert isinstance(found, MalformedCheckpoint)
    assert "scalar is in" in str(found)


def test_a_missing_shard_is_named(tmp_path):
    folder = write_sharded(tmp_path)
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "model-00002-of-00003.safetensors" in str(refusal(folder))


# --- headers from strangers ----------------------------------------------------------------------


def file_of(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def tensor(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> object:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


BODY = bytes(8)
BAD = {
    "empty": b"",
    "seven bytes": b"\x10\0\0\0\0\0\0",
    "no header": (0).to_bytes(8, "little"),
    "endless header": (2**63).to_bytes(8, "little") + b"{}",
    "header past the end": (99).to_bytes(8, "little") + b"{}",
    "not JSON": file_of(b"{nope}"),
    "not UTF-8": file_of(b'{"\xff": 1}'),
    "deep": file_of(b'{"a":' + b"[" * 200_000),
    "list": file_of([]),
    "huge number": file_of(b'{"a": ' + b"9" * 5000 + b"}"),
    "lone surrogate": file_of(
        b'{"\\ud800": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', BODY
    ),
    "repeated key": file_of(b'{"a":' + json.dumps(tensor()).encode() + b',"a":1}', BODY),
    "metadata of numbers": file_of({"__metadata__": {"a": 1}}),
    "metadata as text": file_of({"__metadata__": "a"}),
    "entry is a list": file_of({"a": []}),
    "no dtype": file_of({"a": {"shape": [2], "data_offsets": [0, 8]}}, BODY),
    "unknown dtype": file_of({"a": tensor("F4")}, BODY),
    "dtype a list": file_of({"a": tensor(["F32"])}, BODY),
    "shape a number": file_of({"a": tensor(shape=2)}, BODY),
    "negative shape": file_of({"a": tensor(shape=[-2, -1])}, BODY),
    "shape true": file_of({"a": tensor(shape=[2, True])}, BODY),
    "shape of floats": file_of({"a": tensor(shape=[2.0])}, BODY),
    "impossible shape": file_of({"a": tensor(shape=[2**40, 2**40])}, BODY),
    "three offsets": file_of({"a": tensor(offsets=[0, 4, 8])}, BODY),
    "offsets backwards": file_of({"a": tensor(offsets=[8, 0])}, BODY),
    "past the end": file_of({"a": tensor(offsets=[4, 12])}, BODY),
    "too few bytes": file_of({"a": tensor(offsets=[0, 4])}, BODY),
    "shape too large": file_of({"a": tensor(shape=[3])}, BODY),
    "overlap": file_of({"a": tensor(), "b": tensor(shape=[1], offsets=[4, 8])}, BODY),
    "gap": file_of({"a": tensor(offsets=[4, 12])}, bytes(12)),
    "trailing bytes": file_of({"a": tensor()}, bytes(9)),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_a_malformed_file_is_refused_and_named(data, tmp_path):
    write_single(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(data)
    found = refusal(tmp_path)
    assert isinstance(found, MalformedCheckpoint)
    assert "model.safetensors is damaged" in str(found)


def accepts(data: bytes, folder: Path) -> dict[str, bytes] | None:
    path = folder / "x.safetensors"
    path.write_bytes(data)
    try:
        entries = read_header(path)
    except HeaderProblem:
        return None
    return {name: data[entry.start : entry.end] for name, entry in entries.items()}


def library_accepts(data: bytes) -> dict[str, bytes] | None:
    try:
        return {name: bytes(facts["data"]) for name, facts in library_deserialize(data)}
    except SafetensorError:
        return None


SOUND = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4)}, {"format": "pt"})
NUMBERS = st.one_of(st.integers(-1, 24), st.just(2**62), st.just(2**64), st.floats(), st.none())
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I8", "F4", "", 3]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=1, max_size=3),
    }
)
fuzz = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(
    flips=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4),
    length=st.integers(0, len(SOUND)),
)
def test_a_damaged_file_is_refused_or_read_as_the_library_reads_it(tmp_path, flips, length):
    data = bytearray(SOUND)
    for at, value in flips:
        data[at] = value
    for candidate in (bytes(data), bytes(data[:length])):
        found = accepts(candidate, tmp_path)
        assert found is None or found == library_accepts(candidate)


@fuzz
@given(
    header=st.dictionaries(st.text(max_size=3), ENTRIES, max_size=3), body=st.binary(max_size=24)
)
def test_a_wild_header_is_refused_or_read_as_the_library_reads_it(tmp_path, header, body):
    data = file_of(header, body)
    found = accepts(data, tmp_path)
    assert found is None or found == library_accepts(data)


@fuzz
@given(data=st.binary(max_size=64))
def test_random_bytes_never_crash_the_reader(tmp_path, data):
    found = accepts(data, tmp_path)
    assert found is None or found == library_accepts(data)


def test_an_undamaged_file_is_read_as_the_library_reads_it(tmp_path):
    found = accepts(SOUND, tmp_path)
    assert found is not None
    assert found == library_accepts(SOUND)
