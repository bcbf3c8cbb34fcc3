"""What users type for a file or a folder, read as shells and people mean it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from kn_edit.checkpoints.forms import forms
from kn_edit.untrusted import path_of
from kn_edit.workspace.folder import problem_of


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
        problem = problem_of(os.fspath(value))
        if problem:
            self.fail(f"{os.fspath(value)!r} is no path: {problem}", param, ctx)
        return path_of(os.fspath(value))


class FormName(click.ParamType[str]):
    """The name of a form in which a version is exported, or published."""

    name = "form"

    def __init__(self, *, publishable: bool = False) -> None:
        self._publishable = publishable

    @property
    def names(self) -> tuple[str, ...]:
        """The names that there are: those of installed packages come when they are asked for."""
        return tuple(forms(publishable=self._publishable))

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(self.names)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(click.Choice(self.names).convert(value, param, ctx))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names if name.startswith(incomplete)]


USER_PATH = UserPath()
