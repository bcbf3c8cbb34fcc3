"""What users type for a file or a folder, read as shells and people mean it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from kn_edit.objects.address import is_object_address
from kn_edit.untrusted import path_of, path_problem


class UserPath(click.Path):
    """A path. `~` and `~user` are home folders; what no file can be called is refused."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        problem = path_problem(os.fspath(value))
        if problem:
            self.fail(f"{os.fspath(value)!r} is no path: {problem}", param, ctx)
        return path_of(os.fspath(value))


class UserTarget(UserPath):
    """A path, or the address of object storage, which stays text."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        if isinstance(value, str) and is_object_address(value):
            return value
        return super().convert(value, param, ctx)


USER_PATH = UserPath()
USER_TARGET = UserTarget()
