"""The command that runs the jobs of a workspace."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from kn_edit.cli.opening import folder_named, workspace_option
from kn_edit.errors import ExtraMissing

GRACE = 30.0  # seconds


@click.command()
@click.option("--once", is_flag=True, help="End when no job may begin any more.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=GRACE,
    show_default=True,
    help="Seconds that a running job has to finish after Ctrl-C or SIGTERM.",
)
@click.option("--until-stdin-ends", is_flag=True, hidden=True)
@workspace_option
def worker(once: bool, grace: float, until_stdin_ends: bool, workspace_folder: Path | None) -> None:
    """Run the jobs of the workspace, one after the other.

    `kn-edit serve` starts one by itself. Start more to run jobs of several branches side by
    side: each loads the model once, and keeps it. Ctrl-C or SIGTERM lets a running job finish, or
    cancels it after a time of grace; what waits stays in the queue.

    \b
    Examples:
      kn-edit worker
      kn-edit worker --once
    """
    try:
        from kn_edit.jobs.running import run_jobs
        from kn_edit.service.work import perform
    except ModuleNotFoundError as error:
        raise ExtraMissing("serve", error.name or "huey") from error
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    folder = folder_named(workspace_folder)
    run_jobs(folder, perform, once=once, grace=grace, until_stdin_ends=until_stdin_ends)
