"""The command that serves a workspace over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from kn_edit.cli.opening import folder_named, workspace_option
from kn_edit.errors import ExtraMissing


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8018, show_default=True)
@click.option("--warm", is_flag=True, help="Load the model at once, not with the first question.")
@workspace_option
def serve(host: str, port: int, warm: bool, workspace_folder: Path | None) -> None:
    """Serve the workspace over HTTP, with pages and an API.

    \b
    Example:
      kn-edit serve
    """
    try:
        import uvicorn

        from kn_edit.service.app import make_app
    except ModuleNotFoundError as error:
        raise ExtraMissing("serve", error.name or "fastapi") from error
    app = make_app(folder_named(workspace_folder), warm=warm)
    uvicorn.run(app, host=host, port=port)
