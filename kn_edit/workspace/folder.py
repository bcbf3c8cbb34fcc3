"""Which folder is the workspace."""

from __future__ import annotations

import os
from pathlib import Path

from kn_edit.errors import NoWorkspace
from kn_edit.untrusted import path_of

LEDGER = ".kn-edit"
DATABASE = "ledger.db"
VARIABLE = "KN_EDIT_WORKSPACE"


def chosen_folder(folder: str | Path | None) -> Path | None:
    """The folder that was named, by argument or by KN_EDIT_WORKSPACE."""
    named = os.environ.get(VARIABLE) if folder is None else folder
    return path_of(named) if named else None


def nearest_folder(folder: Path) -> Path:
    """The nearest folder upwards that holds a ledger. Raises NoWorkspace."""
    for candidate in (folder, *folder.parents):
        if (candidate / LEDGER).is_dir():
            return candidate
    raise NoWorkspace(folder)


def nearest_or_here() -> Path:
    """The nearest folder upwards that holds a ledger, or else the current one."""
    here = Path.cwd()
    try:
        return nearest_folder(here)
    except NoWorkspace:
        return here
