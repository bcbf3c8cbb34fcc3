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
upwards that holds `.kn-edit/`. `~` is the home folder in every path, in variables too.
`NO_COLOR` and `COLUMNS` are honoured.

What is printed cannot steer a terminal: control and bidirectional characters stand there as
escapes such as `\\x1b` or `\\u202e`, long texts are cut in the middle, tokens become `[secret]`.
`--json` writes such characters as `\\u` escapes; the values are unchanged.

Exit code 0 means that all the command was asked for is done and recorded. Where that is so and only
its report could not be written (a full disk, a closed stdout), a note on stderr says it, and the
code is 0 all the same. A command that only looks fails with 7 then, or 141 where the reader of a
pipe has left.

Ctrl-C (130), SIGTERM (143) and SIGHUP (129) stop a command where it is. It removes what is
unfinished, and its last sentence says what it had recorded or written before, if anything. A second
signal ends it at once; `kn-edit gc` removes what that leaves behind.

With `--json` an error is one JSON document, the last line on stderr: its name as `error`, `code`,
`message`, what it knows as `detail`, and as `remedies` what can be done about it, such as `accept`
or `allow_overlap` (`Remedy` of [Python](python.md#the-verbs)).

| exit code | means |
|---|---|
| 0 | done |
| 1 | error |
| 2 | wrong usage |
| 3 | conflict: edits overlap or answer a fact differently, or another process moved the head |
| 4 | integrity: bytes are not those that were recorded |
| 5 | network or Hub |
| 6 | the ledger was made by a newer kn-edit |
| 7 | disk or permission |
| 8 | the quality gate refused the edit |
| 129, 130, 143 | stopped by SIGHUP, Ctrl-C, SIGTERM |
| 141 | nobody reads the output any more |
"""


def reference() -> str:
    """The reference of every command, as Markdown."""
    root = click.Context(
        kn_edit, info_name="kn-edit", terminal_width=WIDTH, **kn_edit.context_settings
    )
    parts = [HEAD, _code(kn_edit.get_help(root))]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _command(kn_edit.commands[name], root)
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context) -> Iterator[str]:
    """The help of a command, and of the commands that a group of them holds."""
    context = click.Context(command, info_name=command.name, parent=parent, terminal_width=WIDTH)
    yield from (f"### {context.command_path}\n", _code(command.get_help(context)))
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command(inner, context)


def _code(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
