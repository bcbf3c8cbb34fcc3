"""What a joint edit needs of one of its facts: a member, and its file.

A member is a function of the base, the fact, the settings and the seed, and of no other fact. Its
id is the sha256 of its file, so the same fact always has the same id, and a joint edit over the
same ids always has the same delta. Layout: a safetensors file with one metadata key and one tensor,
`shift`, written here and not by the safetensors package, as the ids must not change with a version
of a library.
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

FORMAT = "kn-member/7"
METADATA_KEY = "kn_edit"
MOST_VALUES = 2_000_000  # of the description: tokens of held prompts are most of it
LIMITS = HeaderLimits(size=16 << 20, tensors=1, axes=1, values=MOST_VALUES, depth=10)

STAYS = -1  # in place of a token

Floats = NDArray[np.float32]


class BadMember(ValueError):
    """Bytes that are not the file of a member. It can be computed again, so it ends nothing."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a model is asked: the tokens of a text, and the position of the answer in it."""

    ids: tuple[int, ...]
    position: int


@dataclass(frozen=True, order=True)
class ShiftRow:
    """What is asked, or held: where a model is asked, and where that text has the subject's last
    token.

    token: that is to lead; STAYS: whatever leads is to go on so
    """

    place: Place
    end: int
    token: int

    @property
    def plain(self) -> list[Any]:
        """The row as JSON has it."""
        return [list(self.place.ids), self.place.position, self.end, self.token]


@dataclass(frozen=True, eq=False, kw_only=True)
class Member:
    """One fact of a joint edit, with what it takes to solve for it among others.

    base: fingerprint; pack: the relation is the bundled pack of that name
    prompts: that are edited, and held-out ones
    layers: that write; ends: places where its prompts have the subject's last token
    held: prompts about other subjects that must stay; judges: places that judge, and are not held
    shift: what is to come to the last layer's output at the ends, (d_model,)
    """

    base: str
    relation: str
    subject: str
    to: str
    pack: bool
    prompts: tuple[str, ...]
    layers: tuple[int, ...]
    seed: int
    settings: Mapping[str, Any]
    ends: tuple[Place, ...]
    held: tuple[ShiftRow, ...]
    judges: tuple[Place, ...]
    rows: tuple[ShiftRow, ...]
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
            "layers": list(self.layers),
            "seed": self.seed,
            "settings": dict(self.settings),
            "ends": _plain(self.ends),
            "held": [row.plain for row in self.held],
            "judges": _plain(self.judges),
            "rows": [row.plain for row in self.rows],
        }
        header = {
            "__metadata__": {METADATA_KEY: canonical_json(description).decode("ascii")},
            "shift": {
                "dtype": "F32",
                "shape": list(self.shift.shape),
                "data_offsets": [0, self.shift.nbytes],
            },
        }
        text = json.dumps(header, separators=(",", ":")).encode("ascii")
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(LENGTH, "little") + text + self.shift.astype("<f4").tobytes()

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
            return cls._of(description, _tensor(parts["shift"], data))
        except (HeaderProblem, JsonProblem, KeyError, TypeError, ValueError) as problem:
            raise BadMember(str(problem)) from None

    @classmethod
    def _of(cls, description: Mapping[str, Any], shift: Floats) -> Member:
        """A member of what its file says. Raises KeyError, TypeError, ValueError."""
        if description["format"] != FORMAT:
            raise ValueError("its format is another one")
        return cls(
            base=str(description["base"]),
            relation=str(description["relation"]),
            subject=str(description["subject"]),
            to=str(description["to"]),
            pack=bool(description["pack"]),
            prompts=tuple(map(str, description["prompts"])),
            layers=tuple(map(int, description["layers"])),
            seed=int(description["seed"]),
            settings=dict(description["settings"]),
            ends=_places(description["ends"]),
            held=_rows(description["held"]),
            judges=_places(description["judges"]),
            rows=_rows(description["rows"]),
            shift=shift,
        )


def _plain(places: tuple[Place, ...]) -> list[list[Any]]:
    return [[list(place.ids), place.position] for place in places]


def _places(values: Any) -> tuple[Place, ...]:
    return tuple(Place(tuple(map(int, ids)), int(position)) for ids, position in values)


def _rows(values: Any) -> tuple[ShiftRow, ...]:
    return tuple(
        ShiftRow(Place(tuple(map(int, ids)), int(position)), int(end), int(token))
        for ids, position, end, token in values
    )


def _tensor(place: TensorPlace, data: bytes) -> Floats:
    if place.dtype != "F32":
        raise ValueError("a tensor is of another type")
    values = np.frombuffer(data[place.start : place.end], dtype="<f4")
    return values.reshape(place.shape).astype(np.float32)
