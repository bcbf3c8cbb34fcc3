"""Commands on the base model that a workspace stands on."""

from __future__ import annotations

import click

from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import output_options
from kn_edit.cli.output import Output
from kn_edit.workspace import Workspace, to_json


@click.group()
def base() -> None:
    """Say where the base model lies now.

    \b
    Example:
      kn-edit base set /models/smollm2
    """


@base.command("set")
@click.argument("folder")
@click.option(
    "--accept-files",
    is_flag=True,
    help="Take configuration and tokenizer as they are there, though they changed since init.",
)
@output_options
@pass_workspace
def set_base(workspace: Workspace, folder: str, accept_files: bool, output: Output) -> None:
    """Use the base model that lies in FOLDER from now on.

    For a base that was moved, a backup that was restored on another machine, or a configuration
    that was corrected. The weights must be the very ones of the workspace: their fingerprint is
    taken and compared. `demo` and `demo-bert` may stand for FOLDER.

    \b
    Examples:
      kn-edit base set /models/smollm2
      kn-edit base set ./my-checkpoint --accept-files
    """
    record = workspace.set_base(folder, accept_files=accept_files)
    output.show(
        lambda: to_json.status(workspace),
        [workspace.head.id],
        lambda: [f"the base of this workspace lies in {record.source}"],
        done=f"the base of this workspace lies in {record.source}",
    )
