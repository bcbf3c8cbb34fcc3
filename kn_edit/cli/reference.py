"""Make docs/cli.md from the help texts: `python -m kn_edit.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kn_edit.cli.commands import SECTIONS, kn_edit

WIDTH = 80
HEAD = """# The command line

Made from `--help` by `python -m kn_edit.cli.reference > docs/cli.md`; do not edit it by hand.

Data goes to stdout, progress and notes to stderr. `--json` prints one JSON document, `-q` ids
only. `KN_EDIT_WORKSPACE` names the workspace like `--workspace`; else it is the nearest folder
upwards that holds `.kn-edit/`. `NO_COLOR` is honoured.

| exit code | means |
|---|---|
| 0 | done |
| 1 | error |
| 2 | wrong usage |
| 3 | conflict: edits overlap, or another process moved the head |
| 4 | integrity: bytes are not those that were recorded |
| 5 | network or Hub |
| 6 | the ledger was made by a newer kn-edit |
| 7 | disk or permission |
| 8 | the quality gate refused the edit |
| 130 | stopped by Ctrl-C |
"""


def reference() -> str:
    """The reference of every command, as Markdown."""
    root = click.Context(
        kn_edit, info_name="kn-edit", terminal_width=WIDTH, **kn_edit.context_settings
    )
    parts = [HEAD, _code(kn_edit.get_help(root))]
    for title, commands in SECTIONS.items():
        parts.append(f"## {title}\n")
        for command in commands:
            parts += _command(command, root)
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    """The help of a command, or of the commands that a group of them holds."""
    context = click.Context(command, info_name=command.name, parent=parent, terminal_width=WIDTH)
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command(inner, context)
    else:
        yield from (f"### {context.command_path}\n", _code(command.get_help(context)))


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
