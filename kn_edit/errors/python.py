"""Errors of Python callers: a workspace that is closed, a model that is in use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError


class CallerError(KnEditError):
    """An error of the program that calls a verb, not of what the verb was given."""


@dataclass
class VersionLeft(CallerError):
    """A model asked for at a version, after the block in which it was at that version."""

    def __str__(self) -> str:
        return (
            "the model is at this version inside the block of `engine.at` only; ask for it there, "
            "or take a model of its own by `workspace.load(version)`"
        )


@dataclass
class Cancelled(CallerError):
    """A verb that its caller cancelled while it ran. what: the work that it was at"""

    what: str

    def __str__(self) -> str:
        return f"cancelled while {self.what or 'at work'}; nothing of it was recorded"


@dataclass
class WorkspaceClosed(CallerError):
    """A verb of a workspace after `close`."""

    folder: Path

    def __str__(self) -> str:
        return (
            f"the workspace in {self.folder} is closed; open it again with Workspace.open, and use "
            "it inside its `with` block"
        )


@dataclass
class ModelInUse(CallerError):
    """The one live model of a workspace, asked for while it stands at a version."""

    exit_code = ExitCode.CONFLICT
    nested: bool  # inside the block that uses it, instead of in another thread

    def __str__(self) -> str:
        if self.nested:
            return (
                "the workspace's model stands at another version in the block around this one; "
                "leave that block first, or open the workspace a second time"
            )
        return (
            "another thread uses the model of this workspace; "
            "open the workspace once in each thread"
        )
