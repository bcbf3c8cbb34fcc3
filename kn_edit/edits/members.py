"""What a joint edit needs of one of its facts: a member, and its file.

A member is a function of the base, the fact, the settings and the seed, and of no other fact. Its
id is the sha256 of its file, so the same fact always has the same id, and a joint edit over the
same ids always has the same delta. Layout: a safetensors file with one metadata key and
three tensors, `keys`, `targets` and `shift`, written here and not by the safetensors package, as
the ids must not change with a version of a library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kn_edit.canonical import canonical_json, digest
from kn_edit.tensor_header import (
    LENGTH,
    HeaderLimits,
    HeaderProblem,
    TensorPlace,
    header_size,
    parse_header,
)
from kn_edit.untrusted import JsonProblem, parse_object

FORMAT = "kn-member/2"
METADATA_KEY = "kn_edit"
MOST_VALUES = 2_000_000  # of the description: tokens of held prompts are most of it
LIMITS = HeaderLimits(size=16 << 20, tensors=3, axes=2, values=MOST_VALUES, depth=10)

Floats = NDArray[np.float32]


class BadMember(ValueError):
    """Bytes that are not the file of a member. It can be computed again, so it ends nothing."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a model is asked: the tokens of a text, and the position of the answer in it."""

    ids: tuple[int, ...]
    position: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """One fact of a joint edit, with what it takes to solve for it among others.

    base: fingerprint; pack: the relation is the bundled pack of that name; prompts: that are edited
    places: where tokens of the new answer are asked; target_of: which target each of them has
    held: places of its own that must stay; judges: places that judge, and are not held
    keys: coefficients of the layer at `places`, (places, d_ff); targets: (targets, d_model)
    ends: places where prompts have the subject's last token; shift: what another layer, below,
    writes there, (d_model,), zero where it writes nothing
    """

    base: str
    relation: str
    subject: str
    to: str
    pack: bool
    prompts: tuple[str, ...]
    layer: int
    subject_layer: int | None
    seed: int
    settings: Mapping[str, Any]
    places: tuple[Place, ...]
    target_of: tuple[int, ...]
    held: tuple[Place, ...]
    judges: tuple[Place, ...]
    keys: Floats
    targets: Floats
    ends: tuple[Place, ...]
    shift: Floats

    @cached_property
    def id(self) -> str:
        """The sha256 of its file, 64 hex digits."""
        return digest(self.to_bytes())

    @property
    def order(self) -> tuple[str, ...]:
        """Where it stands among others, whoever gave them in which order."""
        return (self.relation, self.subject, self.to, self.id)

    def to_bytes(self) -> bytes:
        """Its file. Equal members have equal bytes, on every machine."""
        description = {
            "format": FORMAT,
            "base": self.base,
            "relation": self.relation,
            "subject": self.subject,
            "to": self.to,
            "pack": self.pack,
            "prompts": list(self.prompts),
            "layer": self.layer,
            "subject_layer": self.subject_layer,
            "seed": self.seed,
            "settings": dict(self.settings),
            "places": _plain(self.places),
            "target_of": list(self.target_of),
            "held": _plain(self.held),
            "judges": _plain(self.judges),
            "ends": _plain(self.ends),
        }
        header: dict[str, Any] = {
            "__metadata__": {METADATA_KEY: canonical_json(description).decode("ascii")}
        }
        end = 0
        tensors = {"keys": self.keys, "targets": self.targets, "shift": self.shift}
        for name, values in tensors.items():
            start, end = end, end + values.nbytes
            offsets = [start, end]
            header[name] = {
                "dtype": "F32",
                "shape": list(values.shape),
                "data_offsets": offsets,
            }
        text = json.dumps(header, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 8)
        bodies = (values.astype("<f4").tobytes() for values in tensors.values())
        return b"".join((len(text).to_bytes(LENGTH, "little"), text, *bodies))

    @classmethod
    def from_bytes(cls, data: bytes, expected: str) -> Member:
        """Read a member's file. expected: its id. Raises BadMember, whatever the bytes."""
        if digest(data) != expected:
            raise BadMember("its bytes are not those that its id promises")
        try:
            size = header_size(data[:LENGTH], len(data), LIMITS)
            header = parse_header(data[LENGTH : LENGTH + size], LIMITS)
            parts = header.places(len(data))
            text = header.metadata[METADATA_KEY]
            description = parse_object(text, max_values=MOST_VALUES, max_depth=LIMITS.depth)
            tensors = {name: _tensor(parts[name], data) for name in ("keys", "targets", "shift")}
            return cls._of(description, **tensors)
        except (HeaderProblem, JsonProblem, KeyError, TypeError, ValueError) as problem:
            raise BadMember(str(problem)) from None

    @classmethod
    def _of(
        cls, description: Mapping[str, Any], *, keys: Floats, targets: Floats, shift: Floats
    ) -> Member:
        """A member of what its file says. Raises KeyError, TypeError, ValueError."""
        if description["format"] != FORMAT:
            raise ValueError("its format is another one")
        member = cls(
            base=str(description["base"]),
            relation=str(description["relation"]),
            subject=str(description["subject"]),
            to=str(description["to"]),
            pack=bool(description["pack"]),
            prompts=tuple(map(str, description["prompts"])),
            layer=int(description["layer"]),
            subject_layer=_whole_or_none(description["subject_layer"]),
            seed=int(description["seed"]),
            settings=dict(description["settings"]),
            places=_places(description["places"]),
            target_of=tuple(map(int, description["target_of"])),
            held=_places(description["held"]),
            judges=_places(description["judges"]),
            keys=keys,
            targets=targets,
            ends=_places(description["ends"]),
            shift=shift,
        )
        rows = len(member.places)
        if not (rows == len(member.target_of) == len(keys)) or keys.ndim != 2 or targets.ndim != 2:
            raise ValueError("its tensors are of other sizes")
        if shift.shape != targets.shape[1:]:
            raise ValueError("its shift is of another size")
        if not all(0 <= target < len(targets) for target in member.target_of):
            raise ValueError("it names a target that it lacks")
        return member


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else int(value)


def _plain(places: tuple[Place, ...]) -> list[list[Any]]:
    return [[list(place.ids), place.position] for place in places]


def _places(values: Any) -> tuple[Place, ...]:
    return tuple(Place(tuple(map(int, ids)), int(position)) for ids, position in values)


def _tensor(place: TensorPlace, data: bytes) -> Floats:
    if place.dtype != "F32":
        raise ValueError("a tensor is of another type")
    values = np.frombuffer(data[place.start : place.end], dtype="<f4")
    return values.reshape(place.shape).astype(np.float32)
