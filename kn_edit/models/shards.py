"""The tensors of a safetensors checkpoint folder, read one at a time.

A folder holds `model.safetensors`, or several shards that `model.safetensors.index.json` names.
Opening one reads headers only; tensors are read, and hashed, when they are asked for. Nothing is
ever written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kn_edit.errors import (
    CheckpointFolderMissing,
    ConfigMissing,
    MalformedCheckpoint,
    NoWeights,
    PickleWeights,
    QuantisedWeights,
    TensorMissing,
)
from kn_edit.models.header import Entry, HeaderProblem, read_header, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
CHUNK = 8 << 20

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True)
class Shards:
    """A lazy index of a checkpoint: where every tensor lies."""

    folder: Path
    entries: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Index the checkpoint in `folder`.

        Raises CheckpointFolderMissing, ConfigMissing, PickleWeights, QuantisedWeights, NoWeights,
        MalformedCheckpoint.
        """
        if not folder.is_dir():
            raise CheckpointFolderMissing(folder)
        with _blaming(folder):
            names = {path.name for path in folder.iterdir()}
        check_files(str(folder), names)
        check_config(str(folder), folder)
        return cls(folder, _entries(folder, names))

    def entry(self, name: str) -> Entry:
        """Where tensor `name` lies. Raises TensorMissing."""
        try:
            return self.entries[name]
        except KeyError:
            raise TensorMissing(name, self.folder) from None

    def path(self, name: str) -> Path:
        """The file that holds tensor `name`. Raises TensorMissing."""
        return self.folder / self.entry(name).file

    def read(self, name: str) -> torch.Tensor:
        """A copy of one tensor, in the dtype of the file; no other tensor is read."""
        entry = self.entry(name)
        raw = bytearray(entry.end - entry.start)
        with self.path(name).open("rb") as file:
            file.seek(entry.start)
            if file.readinto(raw) != len(raw):
                raise MalformedCheckpoint(self.path(name), f"it ends inside tensor {name}")
        if not raw:
            return torch.empty(entry.shape, dtype=entry.torch_dtype)
        return torch.frombuffer(raw, dtype=entry.torch_dtype).reshape(entry.shape)

    def digest(self, name: str) -> str:
        """sha256 of the raw bytes of one tensor."""
        sha = hashlib.sha256()
        for chunk in self._chunks(name):
            sha.update(chunk)
        return sha.hexdigest()

    def fingerprint(self, progress: Progress | None = None) -> str:
        """sha256 of canonical JSON {name: [dtype, shape, sha256 of the bytes]} over all tensors.

        Only tensors count: neither the way they are spread over files nor the order of headers.
        """
        total = sum(entry.end - entry.start for entry in self.entries.values())
        done = 0
        table = {}
        for name, entry in sorted(
            self.entries.items(), key=lambda item: (item[1].file, item[1].start)
        ):
            sha = hashlib.sha256()
            for chunk in self._chunks(name):
                sha.update(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
            table[name] = [entry.dtype, list(entry.shape), sha.hexdigest()]
        canonical = json.dumps(table, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def _chunks(self, name: str) -> Iterator[bytes]:
        entry = self.entry(name)
        left = entry.end - entry.start
        with self.path(name).open("rb") as file:
            file.seek(entry.start)
            while left:
                chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise MalformedCheckpoint(self.path(name), f"it ends inside tensor {name}")
                left -= len(chunk)
                yield chunk


def check_files(model: str, names: Collection[str]) -> None:
    """Refuse a checkpoint by the names of its files, before any of them is fetched or read.

    Raises PickleWeights, QuantisedWeights, NoWeights, ConfigMissing.
    """
    if SINGLE not in names and INDEX not in names:
        pickles = sorted(name for name in names if _is_pickle(name))
        if pickles:
            raise PickleWeights(model, tuple(pickles))
        if any(name.endswith(".gguf") for name in names):
            raise QuantisedWeights(model, "GGUF")
        raise NoWeights(model)
    if CONFIG not in names:
        raise ConfigMissing(model)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint. Raises ConfigMissing, MalformedCheckpoint."""
    if not (folder / CONFIG).is_file():
        raise ConfigMissing(str(folder))
    return _json_file(folder / CONFIG)


def check_config(model: str, folder: Path) -> None:
    """Refuse a checkpoint whose config.json says that it is quantised, or says nothing readable.

    Raises QuantisedWeights, MalformedCheckpoint.
    """
    quantisation = _json_file(folder / CONFIG).get("quantization_config")
    if quantisation is not None:
        method = quantisation.get("quant_method") if isinstance(quantisation, dict) else None
        raise QuantisedWeights(model, str(method or "quantization_config"))


def _is_pickle(name: str) -> bool:
    weights = name.endswith(".bin") and name.startswith(("pytorch_model", "model", "adapter_model"))
    return weights or name.endswith((".pt", ".pth", ".ckpt"))


def _entries(folder: Path, names: Set[str]) -> dict[str, Entry]:
    if SINGLE in names:  # transformers, too, prefers it to an index
        return _file_entries(folder / SINGLE)
    index = folder / INDEX
    weight_map = _json_file(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise MalformedCheckpoint(index, "it has no weight_map")
    entries: dict[str, Entry] = {}
    for file in dict.fromkeys(map(str, weight_map.values())):
        if file not in names:  # nor can a name with a slash, or `..`, be one of them
            raise MalformedCheckpoint(index, f"it names the shard {file!r}, which is not beside it")
        for name, entry in _file_entries(folder / file).items():
            if name in entries:
                other = entries[name].file
                raise MalformedCheckpoint(folder / file, f"tensor {name} is in {other} too")
            entries[name] = entry
    for name, file in weight_map.items():
        if name not in entries or entries[name].file != file:
            raise MalformedCheckpoint(index, f"tensor {name} is not in {file}, as it says")
    return entries


def _file_entries(path: Path) -> dict[str, Entry]:
    with _blaming(path):
        return read_header(path)


def _json_file(path: Path) -> dict[str, Any]:
    with _blaming(path):
        return read_json(path.read_bytes())


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except HeaderProblem as problem:
        raise MalformedCheckpoint(path, str(problem)) from None
    except OSError as error:
        raise MalformedCheckpoint(path, error.strerror or str(error)) from error
