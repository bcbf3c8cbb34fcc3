"""Options of commands that write a version in some form: export, push."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from kn_edit.checkpoints.forms import forms


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


max_rank_option = click.option(
    "--max-rank", type=click.IntRange(1), metavar="N", help="Refuse an adapter of more (64)."
)
follow_links_option = click.option(
    "--follow-links", is_flag=True, help="Copy also what links lead to outside the model's folder."
)


def check_max_rank(max_rank: int | None, form: str) -> None:
    """Raises UsageError where a rank is named and no adapter is made."""
    if max_rank is not None and not forms()[form].ranked:
        ranked = " or ".join(name for name, kind in forms().items() if kind.ranked)
        raise click.UsageError(f"--max-rank belongs to --as {ranked}")
