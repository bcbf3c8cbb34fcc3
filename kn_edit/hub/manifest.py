"""What a published repository says of itself, written by us and read with suspicion.

kn_edit.json                 the recipe, as `export --as delta` writes it
kn_edit/published.json       which version this is, in which form, the sha256 of every file
kn_edit/<edit>.safetensors   one delta per edit
kn_edit/<edit>.json          what is recorded about it: fact, method, measurements
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.canonical import canonical_json, is_digest
from kn_edit.checkpoints.forms import NAME
from kn_edit.errors import InvalidRecipe
from kn_edit.hub.records import MOST_RECORD as MOST_RECORD
from kn_edit.hub.records import read_record as read_record
from kn_edit.hub.records import record_json as record_json
from kn_edit.untrusted import JsonProblem, parse_object

FOLDER = "kn_edit"
PUBLISHED = f"{FOLDER}/published.json"
FORMAT = "kn-published/1"

MOST_MANIFEST = 4 << 20  # bytes
MOST_MANIFEST_VALUES = 100_000
MOST_DELTA = 256 << 20
MOST_EDITS = 10_000
MOST_PULLED = 2 << 30  # bytes of all edits of one pull


@dataclass(frozen=True)
class Published:
    """The state that a push left in a repository. files: sha256 by path, without this file."""

    version: str
    form: str
    files: Mapping[str, str]

    def to_json(self) -> bytes:
        """Canonical JSON. Nothing of it depends on when or where it is written."""
        facts = {"version": self.version, "form": self.form, "files": dict(self.files)}
        return canonical_json({"format": FORMAT, **facts})

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> Published:
        """Raises InvalidRecipe."""
        facts = _object(data, path)
        version, files = facts.get("version"), facts.get("files")
        sound = (
            facts.keys() == {"format", "version", "form", "files"}
            and facts["format"] == FORMAT
            and is_form(facts["form"])
            and is_digest(version)
            and isinstance(files, dict)
            and all(is_digest(digest) for digest in files.values())
        )
        if not sound:
            raise InvalidRecipe(path, f"it is not of the form {FORMAT}")
        return cls(facts["version"], facts["form"], facts["files"])


def is_form(value: object) -> bool:
    """Whether it can be the name of a form, if only one that its publisher's kn-edit has."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def delta_path(edit: str) -> str:
    return f"{FOLDER}/{edit}.safetensors"


def record_path(edit: str) -> str:
    return f"{FOLDER}/{edit}.json"


def _object(data: bytes, path: Path) -> dict[str, Any]:
    try:
        return parse_object(data, max_values=MOST_MANIFEST_VALUES, max_depth=10)
    except JsonProblem as problem:
        raise InvalidRecipe(path, str(problem)) from None
