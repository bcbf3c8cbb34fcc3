"""The command that lets assistants call verbs as tools."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click

from kn_edit.cli.opening import folder_named, workspace_option
from kn_edit.errors import ExtraMissing

try:
    from kn_edit.mcp import place
    from kn_edit.mcp.server import serve
except ModuleNotFoundError as error:
    raise ExtraMissing("mcp", error.name or "mcp") from error

TOKEN = "KN_EDIT_TOKEN"


@click.command()
@click.option(
    "--server",
    metavar="URL",
    help="Of a service, in place of a folder: http://127.0.0.1:8018.",
)
@workspace_option
def mcp(server: str | None, workspace_folder: Path | None) -> None:
    """Offer the workspace to an assistant as tools.

    An assistant's program starts this command, and speaks the Model Context
    Protocol (MCP) with it on stdin and stdout. Its tools ask the model, find neurons, try edits
    out, and look at the history. Those that write need a token of an editor (`kn-edit token
    create`) in the environment variable KN_EDIT_TOKEN, and go through the gate.

    \b
    Examples:
      kn-edit mcp
      kn-edit mcp --workspace demo
      KN_EDIT_TOKEN=kne_... kn-edit mcp --server http://127.0.0.1:8018
    """
    folder = folder_named(workspace_folder)
    if server is not None and folder is not None:
        raise click.UsageError("--server stands in place of --workspace")
    token = os.environ.get(TOKEN) or None
    with place.Folder(folder, token) if server is None else place.Served(server, token) as work:
        for number in (signal.SIGINT, signal.SIGTERM):  # a read of stdin does not wake for them
            signal.signal(number, signal.SIG_DFL)
        asyncio.run(serve(work))
