"""Open the workspace for a command, and tell what a signal that stops it leaves behind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from kn_edit.cli.output import Output
from kn_edit.cli.signals import signal_of
from kn_edit.cli.stops import Before, Stopped
from kn_edit.cli.types import USER_PATH
from kn_edit.workspace import Cluster, Workspace
from kn_edit.workspace.folder import upgraded_since

UPGRADED = "the ledger was brought to the schema of this kn-edit, and nothing else was written"

F = TypeVar("F", bound=Callable[..., None])

workspace_option = click.option(
    "--workspace",
    "workspace_folder",
    type=USER_PATH,
    metavar="DIR",
    help="The folder that holds .kn-edit/ (the nearest upwards).",
)


def folder_named(folder: Path | None) -> Path | None:
    """The workspace folder of the command line, before or after the command."""
    before: Path | None = click.get_current_context().find_root().params["workspace_folder"]
    return folder or before


def pass_workspace(function: F) -> F:
    """Open the workspace for a command, and tell what a signal that stops it left behind."""

    @functools.wraps(function)
    def opened(*, workspace_folder: Path | None, output: Output, **parameters: Any) -> None:
        folder = folder_named(workspace_folder)
        placed = {
            name: parameters.pop(name)
            for name in ("device", "dtype", "memory")
            if name in parameters
        }
        cluster = cluster_named(parameters)
        with (
            telling_of_upgrades(folder),
            Workspace.open(folder, progress=output.meter, cluster=cluster, **placed) as workspace,
        ):
            before = Before.of(workspace, parameters)
            try:
                function(workspace=workspace, output=output, **parameters)
            except KeyboardInterrupt as error:
                raise before.stopped(workspace, parameters, signal_of(error)) from None
            finally:
                output.meter.stop()

    return workspace_option(opened)  # type: ignore[return-value]


def cluster_named(parameters: dict[str, Any]) -> Cluster | None:
    """The workers that a command names, taken from its parameters; None for this process."""
    engine = parameters.pop("engine", None)
    workers, address = parameters.pop("workers", None), parameters.pop("address", None)
    if engine == "ray":
        return Cluster(workers or Cluster.workers, address)
    if workers or address:
        raise click.UsageError("--workers and --address belong to --engine ray")
    return None


@contextmanager
def telling_of_upgrades(folder: Path | None) -> Iterator[None]:
    """Opening a workspace brings an older ledger to the present schema: say so, if that is all."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        yield
    except KeyboardInterrupt as error:
        done = UPGRADED if upgraded_since(folder, moment) else ""
        raise Stopped(None, done, signal_of(error)) from None
    except Stopped as stopped:
        if stopped.head is None and not stopped.done and upgraded_since(folder, moment):
            stopped.done = UPGRADED
        raise
