"""The form `delta`: a folder with a recipe, kn_edit.json, and one delta file per edit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.canonical import canonical_json, is_digest
from kn_edit.checkpoints.folders import write_folder
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import DifferentBase, InvalidRecipe, reason_of
from kn_edit.untrusted import JsonProblem, parse_json, read_bounded

RECIPE = "kn_edit.json"
FORMAT = "kn-recipe/1"
MOST_RECIPE = 64 << 20  # bytes
MOST_DELTA = 1 << 30
MOST_VALUES = 1_000_000
MOST_DEPTH = 10
MOST_NAME = 500


@dataclass(frozen=True)
class Recipe:
    """A version: what it starts from, and its edits in order."""

    base: BaseRef
    edits: tuple[str, ...]

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        base = self.base
        facts = {
            "format": FORMAT,
            "base": {
                "repo": base.repo,
                "revision": base.revision,
                "fingerprint": base.fingerprint,
            },
            "edits": list(self.edits),
        }
        return canonical_json(facts).decode("ascii")


def export_deltas(base: BaseRef, deltas: Sequence[Delta], target: Path) -> Path:
    """Write the recipe and its delta files to a new folder.

    Raises DifferentBase, TargetNotEmpty, CannotWrite.
    """
    for delta in deltas:
        _check_base(base, delta)
    recipe = Recipe(base, tuple(delta.id for delta in deltas))
    files = {RECIPE: recipe.to_json().encode()}
    files |= {_delta_name(delta.id): delta.to_bytes() for delta in deltas}
    return write_folder(target, files)


def read_deltas(folder: Path) -> tuple[Recipe, list[Delta]]:
    """Read what export_deltas wrote, checking the bytes of every delta against its id.

    Raises InvalidRecipe, DifferentBase, and what Delta.from_bytes raises.
    """
    recipe = parse_recipe(_read(folder / RECIPE), folder / RECIPE)
    deltas = []
    for edit in recipe.edits:
        delta = Delta.from_bytes(_read(folder / _delta_name(edit)), edit)
        _check_base(recipe.base, delta)
        deltas.append(delta)
    return recipe, deltas


def parse_recipe(data: bytes, path: Path) -> Recipe:
    """A recipe from the bytes of its file; the path is for what is said of it. InvalidRecipe."""
    try:
        facts = parse_json(data, max_values=MOST_VALUES, max_depth=MOST_DEPTH)
    except JsonProblem as problem:
        raise InvalidRecipe(path, str(problem)) from None
    if (
        not isinstance(facts, dict)
        or facts.keys() != {"format", "base", "edits"}
        or facts["format"] != FORMAT
    ):
        raise InvalidRecipe(path, f"it is not of the form {FORMAT}")
    edits = facts["edits"]
    # Ids become file names: 64 hex digits cannot lead out of the folder.
    if not (isinstance(edits, list) and all(map(is_digest, edits))):
        raise InvalidRecipe(path, "its edits are not named by sha256")
    if len(set(edits)) < len(edits):
        raise InvalidRecipe(path, "it lists an edit twice")
    if not _is_base(facts["base"]):
        raise InvalidRecipe(path, "it does not say which base model it is for")
    return Recipe(BaseRef(**facts["base"]), tuple(edits))


def _is_base(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"repo", "revision", "fingerprint"}
        and _is_name(value["fingerprint"])
        and all(value[key] is None or _is_name(value[key]) for key in ("repo", "revision"))
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MOST_NAME and value.isprintable()


def _check_base(base: BaseRef, delta: Delta) -> None:
    if delta.base.fingerprint != base.fingerprint:
        raise DifferentBase(base.fingerprint, delta.base.fingerprint)


def _delta_name(edit: str) -> str:
    return f"{edit}.safetensors"


def _read(path: Path) -> bytes:
    try:
        return read_bounded(path, MOST_RECIPE if path.name == RECIPE else MOST_DELTA)
    except OSError as error:
        raise InvalidRecipe(path, reason_of(error)) from error
