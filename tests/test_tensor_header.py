"""The header of a safetensors file: what the one parser takes, and what it refuses."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

from kn_edit.models.header import FORMATS
from kn_edit.tensor_header import (
    ITEM_BYTES,
    Header,
    HeaderLimits,
    HeaderProblem,
    TensorPlace,
    header_size,
    parse_header,
)

LIMITS = HeaderLimits(size=1000, tensors=3, axes=2, values=100, depth=4)


def tensor(dtype: str, shape: list[Any], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def parsed(members: object) -> Header:
    return parse_header(json.dumps(members).encode(), LIMITS)


def test_places_are_counted_from_the_beginning_of_the_file():
    header = parsed(
        {
            "b": tensor("F16", [3], 8, 14),
            "a": tensor("I64", [], 0, 8),
            "empty": tensor("F32", [0, 5], 14, 14),
            "__metadata__": {"format": "pt"},
        }
    )
    assert header.metadata == {"format": "pt"}
    assert header.names == {"a", "b", "empty"}
    end = header.end
    assert header.places(end + 14) == {
        "a": TensorPlace("I64", (), end, end + 8),
        "b": TensorPlace("F16", (3,), end + 8, end + 14),
        "empty": TensorPlace("F32", (0, 5), end + 14, end + 14),
    }


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 0, 4)}, "overlaps another"),
        ({"a": tensor("F32", [1], 0, 4), "b": tensor("F32", [1], 5, 9)}, "leaves a gap"),
        ({"a": tensor("F32", [1], 0, 4)}, "do not end where the file ends"),
        ({}, "do not end where the file ends"),
        ({"a": tensor("F32", [3], 0, 8)}, "does not fit its bytes"),
        ({"a": tensor("F32", [-1], 8, 4)}, "not sizes"),
        ({"a": tensor("F32", [True], 0, 4)}, "not sizes"),
        ({"a": tensor("F32", [2**40, 2**40], 0, 8)}, "an impossible shape"),
        ({"a": tensor("F32", [2, 1, 1], 0, 8)}, "3 axes"),
        ({"a": tensor("I4", [2], 0, 8)}, "dtype 'I4'"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "not described by"),
        ({"a": tensor("F32", [2], 0, 8) | {"device": 0}}, "not described by"),
        ({"a": 1}, "not described by"),
        ({name: tensor("F32", [0], 0, 0) for name in "abcd"}, "4 tensors, more than 3"),
    ],
)
def test_what_a_header_says_of_its_tensors_is_checked(members, words):
    header = parsed(members)
    with pytest.raises(HeaderProblem, match=re.escape(words)):
        header.places(header.end + 8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[]", "not an object"),
        (b"{", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "repeats a key"),
        (b'{"a": [[[[1]]]]}', "more than 4 deep"),
        (b'{"a": [%s1]}' % (b"1," * 101), "more than 100 values"),
        (b'{"\\ud800": 1}', "half a character"),
        (b'{"__metadata__": {"a": 1}}', "metadata is not text"),
        (b'{"__metadata__": "a"}', "metadata is not text"),
    ],
)
def test_a_header_that_is_no_sound_json_is_refused(text, words):
    with pytest.raises(HeaderProblem, match=words):
        parse_header(text, LIMITS)


@pytest.mark.parametrize(
    ("start", "file_size", "words"),
    [
        (b"", 0, "cut short"),
        (b"\x02\0\0", 3, "cut short"),
        ((1).to_bytes(8, "little"), 100, "cut short"),
        ((93).to_bytes(8, "little"), 100, "cut short"),
        ((2**64 - 1).to_bytes(8, "little"), 100, "cut short"),
        ((1001).to_bytes(8, "little"), 5000, "more than 1,000 bytes"),
    ],
)
def test_a_length_that_the_file_or_the_limits_do_not_hold_is_refused(start, file_size, words):
    with pytest.raises(HeaderProblem, match=words):
        header_size(start, file_size, LIMITS)
    assert header_size((92).to_bytes(8, "little"), 100, LIMITS) == 92


def test_each_dtype_has_the_size_that_torch_gives_it():
    assert {name: getattr(torch, named).itemsize for name, named in FORMATS.items()} == ITEM_BYTES
    assert FORMATS["BF16"] == "bfloat16"
