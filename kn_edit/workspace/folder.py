"""Which folder is the workspace, and how people write paths."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kn_edit.errors import BadPath, KnEditError, NoWorkspace
from kn_edit.ledger.disk import refuse_inside
from kn_edit.ledger.events import UPGRADE
from kn_edit.ledger.sqlite_file import last_event
from kn_edit.untrusted import path_of, path_problem

LEDGER = ".kn-edit"
DATABASE = "ledger.db"
VARIABLE = "KN_EDIT_WORKSPACE"


def chosen_folder(folder: str | os.PathLike[str] | None) -> Path | None:
    """The folder that was named, by argument or by KN_EDIT_WORKSPACE. Raises BadPath."""
    if folder is not None:
        return user_path(folder)
    named = os.environ.get(VARIABLE)
    return user_path(named, VARIABLE) if named else None


def nearest_folder(folder: Path) -> Path:
    """The nearest folder upwards that holds a ledger. Raises NoWorkspace."""
    for candidate in (folder, *folder.parents):
        if (candidate / LEDGER).is_dir():
            return candidate
    raise NoWorkspace(folder)


def named_workspace(folder: Path) -> Path:
    """The workspace that a folder is, or that its ledger's folder `.kn-edit` stands for.

    Raises NoWorkspace.
    """
    if (folder / LEDGER).is_dir():
        return folder
    if folder.name == LEDGER and (folder / DATABASE).is_file():
        return folder.parent
    raise NoWorkspace(folder, above=False)


def current_folder() -> Path:
    """The folder that the program runs in. Raises BadPath where it was removed meanwhile."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise BadPath("the current folder", ".", "it was removed") from None


def nearest_or_here() -> Path:
    """The nearest folder upwards that holds a ledger, or else the current one."""
    here = current_folder()
    try:
        return nearest_folder(here)
    except NoWorkspace:
        return here


def user_path(path: str | os.PathLike[str], origin: str = "the path") -> Path:
    """A path as its user means it: `~` and `~user` are home folders. Raises BadPath.

    origin: where the path comes from, for the error
    """
    text = os.fsdecode(path)
    problem = path_problem(text)
    if problem:
        raise BadPath(origin, text, problem)
    return path_of(text)


def new_workspace_folder(folder: Path) -> Path:
    """A folder in which a workspace is to be made. Raises TargetInsideLedger."""
    refuse_inside(folder / LEDGER)
    return folder


def results_folder(folder: str | os.PathLike[str]) -> Path:
    """A folder into which results are to be written. Raises BadPath, TargetInsideLedger."""
    path = user_path(folder, "the folder of results")
    refuse_inside(path / "results")
    return path


def upgraded_since(folder: Path | None, moment: str) -> bool:
    """Whether the last that happened to a ledger is that its schema was upgraded, since a moment.

    folder: as it was named; moment: UTC, ISO 8601. False where it cannot be told.
    """
    with suppress(KnEditError, OSError):
        place = chosen_folder(folder) or nearest_folder(Path.cwd())
        kind, created = last_event(place / LEDGER / DATABASE) or ("", "")
        return kind == UPGRADE and created >= moment
    return False
