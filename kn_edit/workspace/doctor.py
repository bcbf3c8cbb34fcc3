"""What to look at when something does not work. Needs neither torch nor a sound workspace."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kn_edit import __version__
from kn_edit.engine.score_files import MAX_SCORES, cached_bytes
from kn_edit.errors import KnEditError, NoWorkspace, phrase
from kn_edit.ledger.tables import SCHEMA
from kn_edit.models.cache import DEMOS, cache_folder
from kn_edit.workspace.workspace import Workspace

NEEDED = (
    "torch",
    "transformers",
    "safetensors",
    "huggingface-hub",
    "sqlalchemy",
    "alembic",
    "numpy",
    "click",
    "rich",
)
FOR_THE_DEMO = ("gguf", "accelerate")
ROOM = 2 << 30  # bytes that a model and an export of the demo's size need


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `advice` says what to do where all is not well."""

    what: str
    found: str
    ok: bool = True
    advice: str = ""


def examine(folder: Path | None = None) -> list[Finding]:
    """Everything at once: this program, its packages, its cache, the workspace, the disk."""
    return [
        Finding("kn-edit", __version__),
        Finding("python", platform.python_version()),
        Finding("system", f"{platform.system()} {platform.machine()}"),
        *(_package(name, "pip install kn-edit") for name in NEEDED),
        *(_package(name, "only `init demo` needs it: kn-edit[demo]") for name in FOR_THE_DEMO),
        Finding("schema", SCHEMA),
        _room("cache", cache_folder()),
        _scores(),
        *_workspace(folder),
    ]


def _package(name: str, advice: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "not installed", name in FOR_THE_DEMO, advice)


def _room(label: str, folder: Path) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free
    description = f"{folder} ({free / 1e9:.1f} GB free)"
    return (
        Finding(label, description)
        if free >= ROOM
        else Finding(label, description, False, "free some space")
    )


def _scores() -> Finding:
    size = f"{cached_bytes() / 1e6:.0f} MB cached, of at most {MAX_SCORES / 1e6:.0f} MB"
    return Finding("scores", size)


def _workspace(folder: Path | None) -> Iterator[Finding]:
    try:
        with Workspace.open(folder) as workspace:
            base = workspace.base
            yield _room("workspace", workspace.folder)
            yield Finding("model", f"{base.name} ({base.model_type}, {base.dtype})")
            there = Path(base.source).is_dir()
            again = base.repo is not None or base.name in DEMOS
            advice = (
                "it will be found again"
                if again
                else phrase("put it back, or: {set_base}, which names where it lies now")
            )
            yield (
                Finding("weights", base.source)
                if there
                else Finding("weights", f"{base.source} is gone", again, advice)
            )
    except NoWorkspace as error:
        yield Finding("workspace", "none here", True, error.phrase())
    except KnEditError as error:
        yield Finding("workspace", "cannot be opened", False, error.phrase())
