"""Commands about this program and its surroundings: doctor, completion."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from kn_edit.cli.opening import folder_named, workspace_option
from kn_edit.cli.options import output_options
from kn_edit.cli.output import Output
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.cli.tables import pairs
from kn_edit.errors import ExitCode, worded
from kn_edit.workspace.doctor import examine


@click.command()
@output_options
@workspace_option
@click.pass_context
def doctor(context: click.Context, output: Output, workspace_folder: Path | None) -> None:
    """Look at what kn-edit stands on.

    Its packages, cache, disk and workspace; works outside a workspace too. -q lists only what is
    not well; then the exit code is 1.

    \b
    Example:
      kn-edit doctor
    """
    findings = [
        replace(finding, advice=worded(finding.advice, COMMAND_LINE))
        for finding in examine(folder_named(workspace_folder))
    ]
    failing = [finding for finding in findings if not finding.ok]
    output.show(
        {"ok": not failing, "findings": [asdict(finding) for finding in findings]},
        [finding.what for finding in failing],
        lambda: [
            pairs(
                (
                    ("  " if finding.ok else "! ") + finding.what,
                    f"{finding.found}: {finding.advice}" if finding.advice else finding.found,
                )
                for finding in findings
            )
        ],
    )
    if failing:
        context.exit(ExitCode.ERROR)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes the Tab key work.

    \b
    Examples:
      eval "$(kn-edit completion bash)"            # in ~/.bashrc
      eval "$(kn-edit completion zsh)"             # in ~/.zshrc
      kn-edit completion fish | source             # in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "kn-edit", "_KN_EDIT_COMPLETE").source())
