"""Deltas, recipes and manifests of strangers: each is refused in one short sentence, at no cost."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kn_edit.checkpoints.recipe import Recipe, parse_recipe, read_deltas
from kn_edit.edits import delta_file
from kn_edit.edits.changes import LowRankChange, Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import InvalidDelta, KnEditError
from kn_edit.hub.manifest import Published

FINGERPRINT = "f" * 64
NAME = "model.layers.0.mlp.down_proj.weight"
OTHER = "model.layers.1.mlp.down_proj.weight"
PATH = Path("ann/model/kn_edit.json")
MOST_SECONDS = 10.0
MOST_MEMORY = 300 << 20


def slots(neurons: int = 2, width: int = 3) -> SlotChanges:
    return SlotChanges(
        "column",
        torch.arange(neurons),
        torch.full((neurons,), Mode.ADD, dtype=torch.uint8),
        torch.ones(neurons, width),
    )


SOUND = Delta(BaseRef("org/model", "abc", FINGERPRINT), {NAME: slots(), OTHER: slots(1)})
GOOD = SOUND.to_bytes()
SIZE = int.from_bytes(GOOD[:8], "little")
BODY = GOOD[8 + SIZE :]
HEADER: dict[str, Any] = json.loads(GOOD[8 : 8 + SIZE])
DESCRIPTION: dict[str, Any] = json.loads(HEADER["__metadata__"]["kn_edit"])

INDEX, MODE, VALUE = (f"{NAME}::{part}" for part in ("index", "mode", "value"))
Bytes = Callable[[], bytes]


# The same weights in the second format: the first one changed at low rank, the other one in a slot.
SECOND = Delta(
    BaseRef("org/model", "abc", FINGERPRINT),
    {NAME: LowRankChange("column", torch.ones(2, 5), torch.ones(2, 3)), OTHER: slots(1)},
)
GOOD_2 = SECOND.to_bytes()
SIZE_2 = int.from_bytes(GOOD_2[:8], "little")
BODY_2 = GOOD_2[8 + SIZE_2 :]
HEADER_2: dict[str, Any] = json.loads(GOOD_2[8 : 8 + SIZE_2])
DESCRIPTION_2: dict[str, Any] = json.loads(HEADER_2["__metadata__"]["kn_edit"])
U, V = f"{NAME}::u", f"{NAME}::v"


def file(text: bytes, body: bytes = BODY) -> bytes:
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def with_header(change: Callable[[dict[str, Any]], object], body: bytes = BODY) -> bytes:
    """The sound file with another header, in the spelling that the format asks for."""
    header = copy.deepcopy(HEADER)
    change(header)
    return file(json.dumps(header, separators=(",", ":")).encode(), body)


def header_2(change: Callable[[dict[str, Any]], object], body: bytes = BODY_2) -> bytes:
    """The sound file of the second format with another header, in its spelling."""
    header = copy.deepcopy(HEADER_2)
    change(header)
    return file(json.dumps(header, separators=(",", ":")).encode(), body)


def description_2(change: Callable[[dict[str, Any]], object]) -> bytes:
    def changed(header: dict[str, Any]) -> None:
        description = copy.deepcopy(DESCRIPTION_2)
        change(description)
        text = json.dumps(description, sort_keys=True, separators=(",", ":"))
        header["__metadata__"]["kn_edit"] = text

    return header_2(changed)


def number_2(part: str, at: int, value: float) -> bytes:
    """The sound file of the second format with one number changed."""
    start, end = HEADER_2[part]["data_offsets"]
    numbers = torch.frombuffer(bytearray(BODY_2[start:end]), dtype=torch.float32).clone()
    numbers[at] = value
    return GOOD_2[: 8 + SIZE_2] + BODY_2[:start] + numbers.numpy().tobytes() + BODY_2[end:]


def with_factors(u: list[int], v: list[int], **change: Any) -> bytes:
    """A file of one low-rank change of these shapes, laid out as the format says."""
    parts = {NAME: {"u": np.ones(u, np.float32), "v": np.ones(v, np.float32)}}
    described = {"axes": {NAME: "column"}, "kinds": {NAME: "low-rank"}, **change}
    return delta_file.encode(DESCRIPTION_2 | described, parts)


def slots_in_the_second_format() -> bytes:
    """A delta of slots alone, which has another spelling already."""
    parts = {name: change.parts for name, change in SOUND.tensors.items()}
    kinds = dict.fromkeys(SOUND.tensors, "slots")
    return delta_file.encode(DESCRIPTION | {"format": "kn-delta/2", "kinds": kinds}, parts)


def with_description(change: Callable[[dict[str, Any]], object]) -> bytes:
    def changed(header: dict[str, Any]) -> None:
        description = copy.deepcopy(DESCRIPTION)
        change(description)
        text = json.dumps(description, sort_keys=True, separators=(",", ":"))
        header["__metadata__"]["kn_edit"] = text

    return with_header(changed)


def with_name(name: str) -> bytes:
    """The sound file whose first weight has another name, laid out as the format says."""
    tensors = {name: SOUND.tensors[NAME], OTHER: SOUND.tensors[OTHER]}
    parts = {
        weight: {"index": changes.index, "mode": changes.mode, "value": changes.value}
        for weight, changes in tensors.items()
    }
    return delta_file.encode(DESCRIPTION | {"axes": dict.fromkeys(tensors, "column")}, parts)


def with_number(part: str, dtype: torch.dtype, at: int, value: float) -> bytes:
    """The sound file with one number of the first weight changed."""
    start, end = HEADER[f"{NAME}::{part}"]["data_offsets"]
    numbers = torch.frombuffer(bytearray(BODY[start:end]), dtype=dtype).clone()
    numbers[at] = value
    return GOOD[: 8 + SIZE] + BODY[:start] + numbers.numpy().tobytes() + BODY[end:]


JUNK: tuple[Any, ...] = (None, True, -1, 0.5, 2**70, 10**400, "x", "", [], {}, [[1]], {"a": 1})
SHAPES: tuple[Any, ...] = (
    *JUNK,
    [],
    [2, 3, 1],
    [-2, 3],
    [2, -3],
    [2.0, 3],
    [True, 3],
    ["2", 3],
    [0, 3],
    [2**40, 2**40],
    [10**300, 10**300],
    [2**63, 1],
    [1] * 10_000,
    [3, 2],
    [6],
    [None, 3],
)
OFFSETS: tuple[Any, ...] = (
    *JUNK,
    [0],
    [0, 1, 2],
    [-1, 16],
    [16, 0],
    [0, 0],
    [0, 2**40],
    [0, 2**70],
    [0.0, 16.0],
    [False, True],
    ["0", "16"],
    [1, 17],
    [8, 24],
    [0, 15],
    [0, 10**400],
)
NAMES = {
    "empty": "",
    "no layer": "model.down_proj.weight",
    "two layers": "model.layers.0.1.weight",
    "a million digits": f"model.layers.{'1' * 1_000_000}.weight",
    "a large layer": f"model.layers.{10**9}.weight",
    "the other layer": "model.layers.1.x.weight",
    "an escape": "model.layers.0.\x1b[2J.weight",
    "a line break": "model.layers.0.\n.weight",
    "a null": "model.layers.0.\0.weight",
    "accents": "model.layers.0.é.weight",
    "turning": "model.layers.0.\u202e.weight",
    "other digits": "model.layers.\u0663.weight",
    "half a pair": "model.layers.0.\ud800.weight",
    "a megabyte": f"model.layers.0.{'x' * 1_000_000}.weight",
    "501 letters": f"model.layers.0.{'x' * 500}",
    "a delete": "model.layers.0.\x7f.weight",
}

DTYPES = ("F64", "F16", "BF16", "I32", "f32", "x" * 10**6, None, 1, [])


def wrong_entries(changed, sized, typed, shapes, dtypes=()):
    """Files of which one entry of the header names another shape, place or type.

    changed: makes a file of a change to its header; sized, typed: the entries with other shapes and
    places, and with other types; dtypes: beside the usual ones
    """
    cases = [
        *(
            (f"{part} shape {at}", part, {"shape": shape})
            for part in sized
            for at, shape in enumerate(shapes)
        ),
        *(
            (f"{part} offsets {at}", part, {"data_offsets": offsets})
            for part in sized
            for at, offsets in enumerate(OFFSETS)
        ),
        *(
            (f"{part} dtype {dtype}", part, {"dtype": dtype})
            for part in typed
            for dtype in (*DTYPES, *dtypes)
        ),
    ]
    return {
        name: lambda part=part, entry=entry: changed(lambda header: header[part].update(entry))
        for name, part, entry in cases
    }


DELTAS: dict[str, Bytes] = {
    **{f"name: {key}": lambda name=name: with_name(name) for key, name in NAMES.items()},
    **wrong_entries(with_header, (INDEX, VALUE), (INDEX, MODE, VALUE), SHAPES, ("U64", "BOOL")),
    **{
        f"{part} is {number}": lambda part=part, junk=junk: with_header(
            lambda header: header.update({part: junk})
        )
        for part in (INDEX, MODE, VALUE, "__metadata__")
        for number, junk in enumerate(JUNK)
    },
    **{
        f"{key} of the description is {number}": lambda key=key, junk=junk: with_description(
            lambda description: description.update({key: junk})
        )
        for key in ("format", "base", "axes")
        for number, junk in enumerate(JUNK)
    },
    **{
        f"{key} of the base is {number}": lambda key=key, junk=junk: with_description(
            lambda description: description["base"].update({key: junk})
        )
        for key in ("repo", "revision", "fingerprint")
        for number, junk in enumerate(
            (True, 1, [], {}, "a\x1b[2J", "a\nb", "\u202e", "x" * 10**6, "\ud800")
        )
    },
    **{
        f"axis {axis!r:.20}": lambda axis=axis: with_description(
            lambda description: description["axes"].update({NAME: axis})
        )
        for axis in ("diagonal", "", "Column", "\x1b[2J", "x" * 10**6, None, 1, [], {})
    },
    **{
        f"value {value} at {at}": lambda at=at, value=value: with_number(
            "value", torch.float32, at, value
        )
        for at in (0, 5)
        for value in (float("nan"), float("inf"), float("-inf"))
    },
    **{
        f"index {value} at {at}": lambda at=at, value=value: with_number(
            "index", torch.int64, at, value
        )
        for at, value in ((0, -1), (0, 1), (0, 2**62), (1, 0), (1, -(2**63)))
    },
    **{
        f"mode {value}": lambda value=value: with_number("mode", torch.uint8, 0, value)
        for value in (2, 3, 128, 255)
    },
    "nothing": lambda: b"",
    "seven bytes": lambda: GOOD[:7],
    "a header beyond the file": lambda: (2**62).to_bytes(8, "little") + GOOD[8:],
    "a negative header": lambda: b"\xff" * 8 + GOOD[8:],
    "no header": lambda: bytes(8) + BODY,
    "a header of another kind": lambda: file(b"[]"),
    "a header that is text": lambda: file(b'"x"'),
    "a header that is no UTF-8": lambda: file(b'{"\xff": 1}'),
    "600 deep": lambda: file(b'{"a":' + b"[" * 600 + b"]" * 600 + b"}"),
    "a million deep": lambda: file(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"),
    "48 MB of lists": lambda: file(b'{"a":[' + b"[]," * 16_000_000 + b"[]]}"),
    "7 MB of lists": lambda: file(b'{"a":[' + b"[]," * 2_300_000 + b"[]]}"),
    "7 MB of a number": lambda: file(b'{"a":' + b"1" * 7_000_000 + b"}"),
    "7 MB of names": lambda: file(
        b"{" + b",".join(b'"%d":0' % number for number in range(500_000)) + b"}"
    ),
    "9 MB of spaces": lambda: file(GOOD[8 : 8 + SIZE] + b" " * 9_000_000),
    "a key twice": lambda: file(GOOD[8 : 8 + SIZE - 8].rstrip(b" }") + b'},"__metadata__":{}}'),
    "a description 600 deep": lambda: with_header(
        lambda header: header["__metadata__"].update(kn_edit='{"a":' + "[" * 600 + "]" * 600 + "}")
    ),
    "a description of 7 MB": lambda: with_header(
        lambda header: header["__metadata__"].update(kn_edit="[" + "[]," * 2_000_000 + "[]]")
    ),
    "a description with a key twice": lambda: with_header(
        lambda header: header["__metadata__"].update(kn_edit='{"format":1,"format":1}')
    ),
    "more metadata": lambda: with_header(lambda header: header["__metadata__"].update(more="x")),
    "more in the base": lambda: with_description(lambda told: told["base"].update(more="x")),
    "less in the base": lambda: with_description(lambda told: told["base"].pop("repo")),
    "more in the description": lambda: with_description(lambda told: told.update(more="x")),
    "more weights": lambda: with_description(lambda told: told["axes"].update({"h.2.w": "row"})),
    "fewer weights": lambda: with_description(lambda told: told["axes"].pop(OTHER)),
    "20,000 weights": lambda: with_description(
        lambda told: told.update(axes={f"h.{layer}.w": "row" for layer in range(20_000)})
    ),
    "a tensor more": lambda: with_header(lambda header: header.update(x=header[INDEX])),
    "a tensor less": lambda: with_header(lambda header: header.pop(MODE)),
    "a key more in a tensor": lambda: with_header(lambda header: header[MODE].update(more=1)),
    "overlapping tensors": lambda: with_header(
        lambda header: header[INDEX].update(data_offsets=header[VALUE]["data_offsets"][:1] * 2)
    ),
    "one place for two": lambda: with_header(
        lambda header: header[f"{OTHER}::index"].update(data_offsets=[8, 16])
    ),
    "bytes at the end": lambda: GOOD + b"\0",
    "a byte less": lambda: GOOD[:-1],
    "a gap": lambda: GOOD[: 8 + SIZE] + b"\0" * 8 + BODY,
    "other spelling": lambda: file(json.dumps(HEADER).encode()),
    "another order": lambda: file(
        json.dumps(dict(reversed(HEADER.items())), separators=(",", ":")).encode()
    ),
    "wrong axes": lambda: with_description(
        lambda told: told.update(axes={NAME: "row", OTHER: "diagonal"})
    ),
}

DELTAS_2: dict[str, Bytes] = {
    **wrong_entries(header_2, (U, V), (U, V), (*SHAPES, [5000, 1], [1, 2**40], [2**40, 1])),
    **{
        f"{part} is {number}": lambda part=part, junk=junk: header_2(
            lambda header: header.update({part: junk})
        )
        for part in (U, V, "__metadata__")
        for number, junk in enumerate(JUNK)
    },
    **{
        f"{key} of the description is {number}": lambda key=key, junk=junk: description_2(
            lambda description: description.update({key: junk})
        )
        for key in ("format", "base", "axes", "kinds")
        for number, junk in enumerate(JUNK)
    },
    **{
        f"a kind is {number}": lambda junk=junk: description_2(
            lambda description: description["kinds"].update({NAME: junk})
        )
        for number, junk in enumerate((*JUNK, "slots", "Low-Rank", "low-rank\n", "\x1b[2J"))
    },
    **{
        f"{part} {value} at {at}": lambda part=part, at=at, value=value: number_2(part, at, value)
        for part in (U, V)
        for at in (0, 5)
        for value in (float("nan"), float("inf"), float("-inf"))
    },
    "all of rank 5,000": lambda: with_factors([5000, 2], [5000, 3]),
    "other ranks": lambda: with_factors([2, 5], [3, 3]),
    "vectors": lambda: with_factors([5], [3]),
    "no directions": lambda: with_factors([0, 5], [0, 3]),
    "no neurons": lambda: with_factors([1, 0], [1, 3]),
    "three dimensions": lambda: with_factors([1, 5, 1], [1, 3, 1]),
    "the first format": lambda: with_factors([2, 5], [2, 3], format="kn-delta/1"),
    "a diagonal": lambda: with_factors([2, 5], [2, 3], axes={NAME: "diagonal"}),
    "slots alone": slots_in_the_second_format,
    "nothing at all": lambda: delta_file.encode(DESCRIPTION_2 | {"axes": {}, "kinds": {}}, {}),
    "no kinds": lambda: description_2(lambda told: told.pop("kinds")),
    "more kinds": lambda: description_2(lambda told: told["kinds"].update({"h.2.w": "slots"})),
    "fewer kinds": lambda: description_2(lambda told: told["kinds"].pop(OTHER)),
    "the kinds exchanged": lambda: description_2(
        lambda told: told.update(kinds={NAME: "slots", OTHER: "low-rank"})
    ),
    "kinds in the first format": lambda: with_description(
        lambda told: told.update(kinds=dict.fromkeys((NAME, OTHER), "slots"))
    ),
    "more in the description": lambda: description_2(lambda told: told.update(more="x")),
    "a tensor more": lambda: header_2(lambda header: header.update(x=header[U])),
    "a tensor less": lambda: header_2(lambda header: header.pop(V)),
    "an index too": lambda: header_2(lambda header: header.update({INDEX: header[U]})),
    "one place for two": lambda: header_2(lambda header: header.update({V: header[U]})),
    "bytes at the end": lambda: GOOD_2 + b"\0",
    "a byte less": lambda: GOOD_2[:-1],
    "a gap": lambda: GOOD_2[: 8 + SIZE_2] + b"\0" * 8 + BODY_2,
    "other spelling": lambda: file(json.dumps(HEADER_2).encode(), BODY_2),
    "another order": lambda: file(
        json.dumps(dict(reversed(HEADER_2.items())), separators=(",", ":")).encode(), BODY_2
    ),
    "the body of the first": lambda: GOOD_2[: 8 + SIZE_2] + BODY,
}

BASE = {"repo": None, "revision": None, "fingerprint": FINGERPRINT}
RECIPE: dict[str, Any] = {"format": "kn-recipe/1", "base": BASE, "edits": ["a" * 64]}


def recipe(**changes: Any) -> Bytes:
    return lambda: json.dumps(RECIPE | changes).encode()


RECIPES: dict[str, Bytes] = {
    **{
        f"edits {number}": recipe(edits=junk)
        for number, junk in enumerate((*JUNK, [None], [1]))
        if junk != []
    },
    **{f"base {number}": recipe(base=junk) for number, junk in enumerate(JUNK)},
    **{f"format {number}": recipe(format=junk) for number, junk in enumerate(JUNK)},
    **{
        f"an edit {number}": recipe(edits=[name])
        for number, name in enumerate(
            ("../x", "/etc/passwd", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "\u0663" * 64)
        )
    },
    **{
        f"{key} of the base {number}": recipe(base=BASE | {key: junk})
        for key in BASE
        for number, junk in enumerate((True, 1, [], "\x1b[2J", "a\nb", "x" * 10**6, "\ud800"))
    },
    "an edit twice": recipe(edits=["a" * 64] * 2),
    "a key more": recipe(run="rm"),
    "600 deep": lambda: b'{"edits":' + b"[" * 600 + b"]" * 600 + b"}",
    "a million deep": lambda: b"[" * 1_000_000,
    "many values": lambda: b'{"edits":[' + b"[]," * 1_200_000 + b"[]]}",
    "a long number": lambda: b'{"edits":' + b"1" * 1_000_000 + b"}",
    "a key twice": lambda: b'{"edits":[],"edits":[],"format":"kn-recipe/1","base":{}}',
    "no UTF-8": lambda: b"\xff\xfe{}",
    "a list": lambda: b"[]",
}
STATE: dict[str, Any] = {
    "format": "kn-published/1",
    "version": "a" * 64,
    "form": "delta",
    "files": {"README.md": "b" * 64},
}
STATES: dict[str, Bytes] = {
    **{
        f"{key} {number}": lambda key=key, junk=junk: json.dumps(STATE | {key: junk}).encode()
        for key in STATE
        for number, junk in enumerate(JUNK)
        if (key, junk) not in [("files", {}), ("form", "x")]  # x: a form that others may have
    },
    **{
        f"form {form!r}": lambda form=form: json.dumps(STATE | {"form": form}).encode()
        for form in ("../x", "X", "a b", "a" * 17, "a\n", "\u0430")
    },
    "600 deep": RECIPES["600 deep"],
    "a million deep": RECIPES["a million deep"],
    "many values": RECIPES["many values"],
    "a key more": lambda: json.dumps(STATE | {"more": 1}).encode(),
}


def refused(read: Callable[[], object]) -> KnEditError:
    """The error that ends it: one sentence, soon, and without much memory."""
    started = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(KnEditError) as caught:
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sentence = str(caught.value)
    assert len(sentence) <= 500 and sentence.isprintable()
    assert time.perf_counter() - started < MOST_SECONDS and peak < MOST_MEMORY
    return caught.value


def test_so_many_vectors_are_tried():
    assert len(DELTAS) + len(RECIPES) + len(STATES) >= 300
    assert len(DELTAS_2) >= 150


def test_the_vectors_come_from_files_that_are_sound():
    assert Delta.from_bytes(GOOD).id == hashlib.sha256(GOOD).hexdigest()
    assert with_header(lambda header: None) == with_description(lambda told: None) == GOOD
    assert with_name(NAME) == GOOD
    assert Delta.from_bytes(GOOD_2).id == hashlib.sha256(GOOD_2).hexdigest()
    assert header_2(lambda header: None) == description_2(lambda told: None) == GOOD_2
    assert Delta.from_bytes(with_factors([2, 5], [2, 3])).ranks() == {0: 2}
    assert b"kn-delta/1" in GOOD and b"kn-delta/2" in GOOD_2
    assert parse_recipe(recipe()(), PATH).edits == ("a" * 64,)
    assert Published.from_json(json.dumps(STATE).encode(), PATH).version == "a" * 64


@pytest.mark.parametrize("case", DELTAS)
def test_a_hostile_delta_is_refused(case):
    data = DELTAS[case]()
    assert data != GOOD
    refused(lambda: Delta.from_bytes(data))


@pytest.mark.parametrize("case", DELTAS_2)
def test_a_hostile_delta_of_the_second_format_is_refused(case):
    data = DELTAS_2[case]()
    assert data != GOOD_2
    refused(lambda: Delta.from_bytes(data))


@pytest.mark.parametrize("seed", range(20))
def test_any_damage_of_a_delta_gives_a_delta_or_a_typed_error(seed):
    draw = random.Random(seed)
    for _ in range(100):
        bad = bytearray(draw.choice((GOOD, GOOD_2)))
        for _ in range(draw.randint(1, 4)):
            bad[draw.randrange(len(bad))] = draw.randrange(256)
        data = bytes(bad[: draw.choice((len(bad), len(bad), draw.randrange(len(bad))))])
        try:
            read = Delta.from_bytes(data)
        except KnEditError:
            continue
        assert read.to_bytes() == data


@pytest.mark.parametrize("case", RECIPES)
def test_a_hostile_recipe_is_refused(case):
    data = RECIPES[case]()
    refused(lambda: parse_recipe(data, PATH))


@pytest.mark.parametrize("case", STATES)
def test_a_hostile_manifest_is_refused(case):
    data = STATES[case]()
    refused(lambda: Published.from_json(data, PATH))


def test_the_smallest_numbers_are_numbers_too():
    """Denormal values and both zeros are data, not damage."""
    for value in (1e-45, -1e-45, 0.0, -0.0, 3.4e38):
        data = with_number("value", torch.float32, 0, value)
        assert Delta.from_bytes(data).to_bytes() == data


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder of deltas."""
    base = BaseRef(None, None, FINGERPRINT)
    (tmp_path / "kn_edit.json").write_text(Recipe(base, (SOUND.id,)).to_json())
    (tmp_path / f"{SOUND.id}.safetensors").write_bytes(GOOD)
    assert [delta.id for delta in read_deltas(tmp_path)[1]] == [SOUND.id]
    return tmp_path


@pytest.mark.parametrize("name", ["kn_edit.json", f"{SOUND.id}.safetensors"])
@pytest.mark.parametrize("kind", ["gone", "a folder", "a pipe", "a device", "cut", "flipped"])
def test_a_hostile_folder_of_deltas_is_refused(name, kind, folder):
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "cut":
        path.write_bytes(data[:-3])
    elif kind == "flipped":
        path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    refused(lambda: read_deltas(folder))


def test_a_delta_of_another_base_is_refused_in_a_folder(folder):
    base = BaseRef(None, None, "0" * 64)
    (folder / "kn_edit.json").write_text(Recipe(base, (SOUND.id,)).to_json())
    refused(lambda: read_deltas(folder))


def test_what_is_refused_is_told_apart(folder):
    error = refused(lambda: Delta.from_bytes(DELTAS["48 MB of lists"]()))
    assert isinstance(error, InvalidDelta) and "its header has more than" in str(error)
