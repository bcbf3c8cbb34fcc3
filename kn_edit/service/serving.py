"""The application with its workers: what `kn-edit serve` runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from kn_edit.jobs.children import Workers, worker_command
from kn_edit.jobs.queue import Jobs
from kn_edit.service.app import make_app


@dataclass(frozen=True)
class Served:
    """An application, and the workers that run its jobs."""

    app: FastAPI
    workers: Workers

    @property
    def folder(self) -> Path:
        """The folder of the workspace."""
        folder: Path = self.app.state.service.workspace.folder
        return folder

    def stop(self) -> None:
        """Begin no further job, and answer those who wait for one that has not begun."""
        self.app.state.service.stopping.set()
        self.workers.stop()


@contextmanager
def served(
    folder: Path | None, *, address: str, warm: bool, workers: int, grace: float
) -> Iterator[Served]:
    """The application of the workspace in a folder, with so many workers as long as the block runs.

    address, warm: as of make_app; grace: seconds that a running job has to finish in the end
    Raises what make_app raises.
    """
    app = make_app(folder, address=address, warm=warm, jobs=Jobs)
    command = worker_command(app.state.service.workspace.folder, grace)
    with Workers(command, workers, grace=grace) as running:
        yield Served(app, running)
