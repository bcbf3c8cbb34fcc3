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
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=1,
    show_default=True,
    help="How many processes run jobs; with 0, `kn-edit worker` does.",
)
@workspace_option
def serve(host: str, port: int, warm: bool, workers: int, workspace_folder: Path | None) -> None:
    """Serve the workspace over HTTP, with pages and an API.

    Long work is a job: it waits in a queue beside the ledger and is run by workers, which are
    processes of their own. Each loads the model once. They end with the server.

    \b
    Example:
      kn-edit serve
    """
    try:
        import uvicorn

        from kn_edit.service.serving import served
    except ModuleNotFoundError as error:
        raise ExtraMissing("serve", error.name or "fastapi") from error
    with served(folder_named(workspace_folder), warm=warm, workers=workers) as app:
        uvicorn.run(app, host=host, port=port)
