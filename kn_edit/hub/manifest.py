"""What a published repository says of itself, written by us and read with suspicion.

kn_edit.json                 the recipe, as `export --as delta` writes it
kn_edit/published.json       which version this is, in which form, the sha256 of every file
kn_edit/<edit>.safetensors   one delta per edit
kn_edit/<edit>.json          what is recorded about it: fact, method, measurements
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.errors import InvalidRecipe
from kn_edit.ledger.history import canonical
from kn_edit.ledger.records import EditRecord
from kn_edit.models.header import HeaderProblem, read_json

FOLDER = "kn_edit"
PUBLISHED = f"{FOLDER}/published.json"
FORMAT = "kn-published/1"
RECORD = "kn-record/1"
FORMS = ("checkpoint", "adapter", "delta")
KINDS = ("update", "erase")

MOST_MANIFEST = 4 << 20  # bytes
MOST_RECORD = 1 << 20
MOST_DELTA = 256 << 20
MOST_EDITS = 10_000
MOST_TEXT = 1000  # letters of a subject, an answer, a message

_MOST_FIGURE = 1e300
_LINES = ("kind", "relation", "method", "message")
_MAYBE = ("subject", "answer", "target")


@dataclass(frozen=True)
class Published:
    """The state that a push left in a repository. files: sha256 by path, without this file."""

    version: str
    form: str
    files: Mapping[str, str]

    def to_json(self) -> bytes:
        """Canonical JSON. Nothing of it depends on when or where it is written."""
        facts = {"version": self.version, "form": self.form, "files": dict(self.files)}
        return canonical({"format": FORMAT, **facts})

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> Published:
        """Raises InvalidRecipe."""
        facts = _object(data, path)
        version, files = facts.get("version"), facts.get("files")
        sound = (
            facts.keys() == {"format", "version", "form", "files"}
            and facts["format"] == FORMAT
            and facts["form"] in FORMS
            and is_sha256(version)
            and isinstance(files, dict)
            and all(is_sha256(digest) for digest in files.values())
        )
        if not sound:
            raise InvalidRecipe(path, f"it is not of the form {FORMAT}")
        return cls(facts["version"], facts["form"], facts["files"])


def delta_path(edit: str) -> str:
    return f"{FOLDER}/{edit}.safetensors"


def record_path(edit: str) -> str:
    return f"{FOLDER}/{edit}.json"


def record_json(edit: EditRecord) -> bytes:
    """What is recorded about an edit, as canonical JSON. Moments stay in the ledger."""
    facts = {name: getattr(edit, name) for name in (*_LINES, *_MAYBE)}
    found, metrics = _finite(dict(edit.found)), _finite(dict(edit.metrics))
    return canonical({"format": RECORD, **facts, "found": found, "metrics": metrics})


def read_record(data: bytes, path: Path) -> dict[str, Any]:
    """The same, as the fields of a NewEdit without its delta. Raises InvalidRecipe."""
    facts = _object(data, path)
    if facts.keys() != {"format", "found", "metrics", *_LINES, *_MAYBE}:
        raise InvalidRecipe(path, f"it is not of the form {RECORD}")
    if facts.pop("format") != RECORD or facts["kind"] not in KINDS:
        raise InvalidRecipe(path, f"it is not of the form {RECORD}")
    lines = [facts[name] for name in _LINES]
    lines += [facts[name] for name in _MAYBE if facts[name] is not None]
    if not all(_is_line(line) for line in lines):
        raise InvalidRecipe(path, "a field is not one line of text")
    if not facts["relation"].strip() or facts["subject"] == "":
        raise InvalidRecipe(path, "it does not say which fact was edited")
    if (facts["kind"] == "update") != (facts["target"] is not None):
        raise InvalidRecipe(path, "an update has a target, and an erasure none")
    if not _are_metrics(facts["metrics"]) or not _is_story(facts["found"]):
        raise InvalidRecipe(path, "its measurements make no sense")
    return facts


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        return read_json(data)
    except HeaderProblem as problem:
        raise InvalidRecipe(path, str(problem)) from None


def is_sha256(value: object) -> bool:
    """Whether a value is 64 hex digits: an id, which may become part of a path."""
    return isinstance(value, str) and len(value) == 64 and not {*value} - {*"0123456789abcdef"}


def _is_line(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_TEXT and not _steers(value, "")


def _steers(text: str, but: str) -> bool:
    """Whether a text holds what could move a terminal's cursor, or turn its reading order."""
    return any(
        (unicodedata.category(letter) == "Cc" and letter not in but) or letter in _TURNING
        for letter in text
    )


_TURNING = {*map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}


def _are_metrics(value: object) -> bool:
    return isinstance(value, dict) and all(
        # Not math.isfinite, which fails for whole numbers beyond the floats.
        one is None or (type(one) in (int, float) and abs(one) < _MOST_FIGURE)
        for one in value.values()
    )


def _is_story(value: object) -> bool:
    """How an edit was found: any JSON of plain text, but templates must be lists of text."""
    if not isinstance(value, dict):
        return False
    asked = [value.get(name, []) for name in ("templates", "held_out", "neurons")]
    lists = all(isinstance(one, list) for one in asked)
    texts = lists and all(isinstance(text, str) for one in asked[:2] for text in one)
    return texts and _is_plain(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return not _steers(value, "\n\t")
    if isinstance(value, dict):
        return all(_is_plain(one) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, float) or math.isfinite(value)


def _finite(value: Any) -> Any:
    """The same without nan and inf, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value
