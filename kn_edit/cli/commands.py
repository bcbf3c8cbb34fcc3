"""The commands, in the order in which a fact meets them."""

from __future__ import annotations

from pathlib import Path

import click

from kn_edit import __version__
from kn_edit.cli import ask, base, branches, disk, edit, experiment, history, hub, machine, scale
from kn_edit.cli.types import USER_PATH
from kn_edit.errors import ExitCode

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Look at a model": (disk.init, ask.assess, ask.locate, ask.evaluate),
    "See what its neurons do": (scale.suppress, scale.amplify),
    "Reports": (experiment.report, experiment.reproduce),
    "Change it": (edit.update, edit.erase),
    "Look at the history": (
        history.status,
        history.log,
        history.show,
        history.diff,
        history.blame,
    ),
    "Move in the history": (history.revert, history.rewind, history.compose, history.tag),
    "Branches": (branches.branch, branches.switch, branches.merge),
    "Files": (base.base, disk.export, disk.verify, disk.backup, disk.restore, disk.gc),
    "The Hub": (hub.push, hub.pull, hub.rollback),
    "This program": (machine.doctor, machine.completion),
}


class Sections(click.Group):
    """A group whose help lists the commands by theme."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                rows = [
                    (f"{command.name:{width}}", command.get_short_help_str(60))
                    for command in commands
                ]
                formatter.write_dl(rows)


@click.group(
    cls=Sections,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--workspace",
    "workspace_folder",
    type=USER_PATH,
    metavar="DIR",
    help="The folder that holds .kn-edit/; may stand after the command too.",
)
@click.version_option(__version__, prog_name="kn-edit")
@click.pass_context
def kn_edit(context: click.Context, workspace_folder: Path | None) -> None:
    """Git for the facts in a model.

    Find the neurons that carry a fact, change or erase it by rewriting a handful of value slots,
    and take any change back, bit for bit.

    \b
    Try it:
      kn-edit init demo
      kn-edit assess --relation capital --subject France
      kn-edit update --relation capital --subject France --to Rome
      kn-edit log
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)


for section in SECTIONS.values():
    for command in section:
        kn_edit.add_command(command)
