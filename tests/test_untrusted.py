"""Files and JSON of strangers: refused before they cost anything."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest

from kn_edit.untrusted import JsonProblem, nested_deeper, parse_json, read_bounded


def test_a_regular_file_is_read_through_a_link_too(tmp_path):
    (tmp_path / "a").write_bytes(b"1234")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_bounded(tmp_path / "b", 4) == b"1234"


def test_a_larger_file_is_refused_by_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(OSError, match="larger than the 4 bytes"):
        read_bounded(tmp_path / "a", 4)


def test_neither_a_pipe_nor_a_device_nor_a_folder_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        started = time.monotonic()
        with pytest.raises(OSError, match="not a regular file"):
            read_bounded(path, 100)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 600 + "]" * 600, "nested"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested"),
        ("[" + "[]," * 2_000_000 + "1]", "values"),
        ("1" * 5000, "digits"),
        ('{"a": 1, "a": 2}', "repeats"),
        ("{", "not valid JSON"),
        (b"\xff", "UTF-8"),
    ],
)
def test_json_that_costs_or_deceives_is_refused(text, words):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(JsonProblem, match=words):
        parse_json(text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_sound_json_is_read():
    assert parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    deep = "[" * 100 + "]" * 100
    assert not nested_deeper(parse_json(deep), 100)
    assert nested_deeper(parse_json(deep), 99)
