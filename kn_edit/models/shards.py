"""The tensors of a safetensors checkpoint folder, read one at a time.

A folder holds `model.safetensors`, or several shards that `model.safetensors.index.json` names.
Opening one reads headers only; tensors are read, and hashed, when they are asked for. Nothing is
ever written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kn_edit.canonical import canonical_json, digest, digest_of
from kn_edit.errors import (
    CheckpointFolderMissing,
    ConfigMissing,
    MalformedCheckpoint,
    NoWeights,
    PickleWeights,
    QuantisedWeights,
    TensorMissing,
    reason_of,
)
from kn_edit.models.hashing import TensorHasher
from kn_edit.models.header import LIMITS, Entry, read_header
from kn_edit.models.quantisation import base_named, is_readable, quantisation_in
from kn_edit.tensor_header import HeaderProblem, printable
from kn_edit.untrusted import JsonProblem, open_regular, parse_object, read_bounded

if TYPE_CHECKING:
    import torch

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
CHUNK = 1 << 20  # bytes that are read at once: they stay in the cache of a core
MOST_CONFIG_BYTES = 4 << 20
MOST_INDEX_BYTES = 32 << 20
MOST_CONFIG_VALUES = 50_000

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True)
class Shards:
    """A lazy index of a checkpoint: where every tensor lies.

    copies: the other places of tensors that stand in several shards, with the same bytes
    """

    folder: Path
    entries: Mapping[str, Entry]
    copies: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

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
        places = _places(folder, names)
        if len(places) > LIMITS.tensors:
            problem = f"it holds {len(places):,} tensors, more than the {LIMITS.tensors:,} allowed"
            raise MalformedCheckpoint(folder, problem)
        entries = {name: first for name, (first, *_) in places.items()}
        copies = {name: (*duplicates,) for name, (_, *duplicates) in places.items() if duplicates}
        shards = cls(folder, entries, copies)
        shards._compare_copies()
        return shards

    def entry(self, name: str) -> Entry:
        """The place of tensor `name` in its file. Raises TensorMissing."""
        try:
            return self.entries[name]
        except KeyError:
            raise TensorMissing(name, self.folder) from None

    def path(self, name: str) -> Path:
        """The file that holds tensor `name`. Raises TensorMissing."""
        return self.folder / self.entry(name).file

    def read_bytes(self, name: str) -> bytearray:
        """A copy of the bytes of one tensor."""
        entry = self.entry(name)
        raw = bytearray(entry.end - entry.start)
        done = 0
        for chunk in self._chunks(entry, name):
            raw[done : done + len(chunk)] = chunk
            done += len(chunk)
        return raw

    def read(self, name: str) -> torch.Tensor:
        """A copy of one tensor, in the dtype of the file; no other tensor is read."""
        import torch

        entry, raw = self.entry(name), self.read_bytes(name)
        if not raw:
            return torch.empty(entry.shape, dtype=entry.torch_dtype)
        return torch.frombuffer(raw, dtype=entry.torch_dtype).reshape(entry.shape)

    def read_into(self, name: str, target: torch.Tensor) -> None:
        """Copy one tensor into another of its shape, on any device and in any number format.

        A few megabytes at a time, so that hardly more memory is taken than that of the target.
        """
        import torch

        entry, flat = self.entry(name), target.view(-1)
        done = 0
        for chunk in self._chunks(entry, name):
            numbers = torch.frombuffer(bytearray(chunk), dtype=entry.torch_dtype)
            flat[done : done + len(numbers)].copy_(numbers)
            done += len(numbers)

    def digest(self, name: str) -> str:
        """sha256 of the raw bytes of one tensor."""
        return self.digest_at(self.entry(name), name)

    @property
    def weight_files(self) -> list[str]:
        """The names of all files that hold tensors, sorted."""
        return sorted({file for name in self.entries for file in self.files(name)})

    def digests(self, name: str) -> list[str]:
        """sha256 of the raw bytes of one tensor, in each place that holds it."""
        return [self.digest_at(entry, name) for entry in self.places(name)]

    def places(self, name: str) -> tuple[Entry, ...]:
        """Every place that holds tensor `name`, first the one that counts. Raises TensorMissing."""
        return (self.entry(name), *self.copies.get(name, ()))

    def files(self, name: str) -> list[str]:
        """The names of all files that hold tensor `name`. Raises TensorMissing."""
        return [entry.file for entry in self.places(name)]

    def fingerprint(self, progress: Progress | None = None) -> str:
        """sha256 of canonical JSON {name: [dtype, shape, sha256 of the bytes]} over all tensors.

        Only tensors count: neither the way they are spread over files nor the order of headers.
        """
        with self.hasher() as hasher:
            return self.fingerprint_by(hasher, progress)

    def hasher(self, names: Collection[str] | None = None) -> TensorHasher:
        """What takes the digests of tensors in threads, to be used in a `with` block.

        names: of all tensors where it is None
        """
        entries = {name: self.entry(name) for name in (self.entries if names is None else names)}
        files = {name: entry.file for name, entry in entries.items()}
        return TensorHasher(self.digest, entries, files)

    def fingerprint_by(self, hasher: TensorHasher, progress: Progress | None = None) -> str:
        """The fingerprint from the digests of a hasher, which may have begun with them."""
        sizes = {name: entry.end - entry.start for name, entry in self.entries.items()}
        total, done = sum(sizes.values()), 0

        def counted(name: str) -> None:
            nonlocal done
            done += sizes[name]
            if progress is not None and sizes[name]:
                progress(done, total)

        return self.fingerprint_of(hasher.digests(counted))

    def fingerprint_of(self, digests: Mapping[str, str]) -> str:
        """The fingerprint of tensors of which these are the digests."""
        table = {
            name: [entry.dtype, list(entry.shape), digests[name]]
            for name, entry in self.entries.items()
        }
        return digest(canonical_json(table))

    def digest_at(self, entry: Entry, name: str) -> str:
        """sha256 of the raw bytes of one tensor in one of the places that hold it."""
        return digest_of(self._chunks(entry, name))

    def _chunks(self, entry: Entry, name: str) -> Iterator[memoryview]:
        """The bytes of a tensor in pieces, each of which holds until the next one is asked for."""
        path = self.folder / entry.file
        offset = entry.start
        buffer = memoryview(bytearray(min(CHUNK, entry.end - entry.start)))
        with _blaming(path), open_regular(path) as file:
            while offset < entry.end:
                size = os.preadv(file.fileno(), [buffer[: entry.end - offset]], offset)
                if not size:
                    raise MalformedCheckpoint(path, f"it ends inside tensor {printable(name)}")
                yield buffer[:size]
                offset += size

    def _compare_copies(self) -> None:
        """Raise MalformedCheckpoint where a tensor stands in two shards with other numbers.

        Programs differ in which of the two they take, so the model would depend on the program.
        """
        for name, duplicates in self.copies.items():
            first = self.entries[name]
            for duplicate in duplicates:
                same_layout = (first.dtype, first.shape) == (duplicate.dtype, duplicate.shape)
                if not same_layout or self.digest_at(first, name) != self.digest_at(
                    duplicate, name
                ):
                    problem = (
                        f"tensor {printable(name)} is in {printable(first.file)} too, otherwise"
                    )
                    raise MalformedCheckpoint(self.folder / duplicate.file, problem)


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
    if not (folder / CONFIG).exists():
        raise ConfigMissing(str(folder))
    return _json_file(folder / CONFIG)


def read_settings(path: Path) -> dict[str, Any] | None:
    """A JSON file of a checkpoint that may be absent. Raises MalformedCheckpoint."""
    return _json_file(path) if path.exists() or path.is_symlink() else None


def check_config(model: str, folder: Path) -> None:
    """Refuse a checkpoint that is quantised in a way that kn-edit cannot read.

    Raises QuantisedWeights, MalformedCheckpoint.
    """
    quantisation = quantisation_in(_json_file(folder / CONFIG))
    if quantisation is not None and not is_readable(*quantisation):
        raise QuantisedWeights(model, printable(quantisation[0]), base_named(folder))


def check_editable(folder: Path) -> None:
    """Refuse to edit quantised weights. Raises QuantisedWeights, MalformedCheckpoint."""
    quantisation = quantisation_in(read_config(folder))
    if quantisation is not None:
        raise QuantisedWeights(str(folder), printable(quantisation[0]), base_named(folder))


def _is_pickle(name: str) -> bool:
    weights = name.endswith(".bin") and name.startswith(("pytorch_model", "model", "adapter_model"))
    return weights or name.endswith((".pt", ".pth", ".ckpt"))


def index_of(folder: Path) -> dict[str, str]:
    """The shard of each tensor as the index of a checkpoint names it. MalformedCheckpoint."""
    index = folder / INDEX
    facts = _json_file(index, MOST_INDEX_BYTES, 2 * LIMITS.tensors)
    weight_map = facts.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise MalformedCheckpoint(index, "it has no weight_map")
    for file in weight_map.values():
        if not isinstance(file, str) or Path(file).name != file or not file.isprintable():
            raise MalformedCheckpoint(index, f"it names a shard {printable(repr(file))}")
    return weight_map


def _places(folder: Path, names: Set[str]) -> dict[str, list[Entry]]:
    """Where each tensor stands, first the place that the index names if it is there.

    Where the index is wrong, the shards count: transformers, too, asks it for their names alone.
    A tensor of the index that no shard holds is passed over: tools list tied heads there, and
    whether the model lacks it is seen where the model is known. Raises MalformedCheckpoint.
    """
    if SINGLE in names:  # transformers, too, prefers it to an index
        return {name: [entry] for name, entry in _file_entries(folder / SINGLE).items()}
    weight_map = index_of(folder)
    places: dict[str, list[Entry]] = {}
    for file in dict.fromkeys(weight_map.values()):
        if file not in names:
            problem = f"it names the shard {printable(repr(file))}, which is not beside it"
            raise MalformedCheckpoint(folder / INDEX, problem)
        for name, entry in _file_entries(folder / file).items():
            places.setdefault(name, []).append(entry)
    for name, entries in places.items():
        named = weight_map.get(name)
        entries.sort(key=lambda entry: entry.file != named)
    return places


def _file_entries(path: Path) -> dict[str, Entry]:
    with _blaming(path):
        return read_header(path)


def _json_file(
    path: Path, max_bytes: int = MOST_CONFIG_BYTES, max_values: int = MOST_CONFIG_VALUES
) -> dict[str, Any]:
    with _blaming(path):
        return parse_object(read_bounded(path, max_bytes), max_values=max_values)


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    try:
        yield
    except HeaderProblem as problem:
        raise MalformedCheckpoint(path, str(problem)) from None
    except JsonProblem as problem:
        raise MalformedCheckpoint(path, f"its JSON cannot be read: {problem}") from None
    except OSError as error:
        raise MalformedCheckpoint(path, reason_of(error)) from error
