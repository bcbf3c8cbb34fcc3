"""What a repository says of itself, read back, and read when strangers wrote it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.errors import InvalidRecipe
from kn_edit.hub.manifest import Published, read_record, record_json
from kn_edit.ledger import EditRecord

PATH = Path("ann/model/file.json")
RECORD = EditRecord(
    id="a" * 64,
    kind="update",
    relation="capital",
    subject="Île-de-France",
    answer="Paris",
    target="New\u00a0York",
    method="calibrated",
    found={"templates": ["The capital of [X] is [Y]."], "neurons": [{"layer": 1, "score": 0.1}]},
    metrics={"efficacy": 1.0, "specificity": None, "neighbours": 48},
    message="capital: Île-de-France, Paris -> New York",
    created="2026-01-01T00:00:00+00:00",
    overlaps=("b" * 64,),
    neurons=(),
)
FIELDS = (
    *("kind", "relation", "subject", "answer", "target", "method", "message"),
    *("found", "metrics"),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_a_record_comes_back_as_it_was():
    data = record_json(RECORD)
    assert read_record(data, PATH) == {name: getattr(RECORD, name) for name in FIELDS}
    assert b"2026" not in data, "moments stay at home"
    assert record_json(RECORD) == data


def test_what_json_cannot_say_becomes_nothing():
    metrics = {"perplexity": float("inf"), "p": float("nan"), "ok": 1}
    record = EditRecord(**{**vars(RECORD), "metrics": metrics})
    assert read_record(record_json(record), PATH)["metrics"] == {
        "perplexity": None,
        "p": None,
        "ok": 1,
    }


def test_a_manifest_comes_back_as_it_was():
    published = Published("a" * 64, "adapter", {"README.md": "b" * 64})
    assert Published.from_json(published.to_json(), PATH) == published


@given(st.sampled_from(FIELDS), anything)
def test_a_changed_record_is_read_or_refused(field: str, value: Any):
    facts = json.loads(record_json(RECORD)) | {field: value}
    try:
        found = read_record(json.dumps(facts).encode(), PATH)
    except InvalidRecipe:
        return
    told = [found[name] for name in FIELDS[:7] if found[name] is not None]
    assert all("\x1b" not in line and "\0" not in line for line in told)
    assert found["kind"] in ("update", "erase")


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused_in_a_sentence(data: bytes):
    for read in (read_record, Published.from_json):
        with pytest.raises(InvalidRecipe):
            read(data, PATH)


def test_a_number_beyond_the_floats_is_refused():
    facts = json.loads(record_json(RECORD)) | {"metrics": {"efficacy": 10**400}}
    with pytest.raises(InvalidRecipe):
        read_record(json.dumps(facts).encode(), PATH)
