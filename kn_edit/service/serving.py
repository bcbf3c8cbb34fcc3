"""The application with its workers: what `kn-edit serve` runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from kn_edit.jobs.children import Workers, worker_command
from kn_edit.jobs.queue import Jobs
from kn_edit.service.app import make_app

GRACE = 10.0  # seconds that a running job has to finish when the server ends


@contextmanager
def served(folder: Path | None, *, address: str, warm: bool, workers: int) -> Iterator[FastAPI]:
    """The application of the workspace in a folder, with so many workers as long as the block runs.

    address, warm: as of make_app. Raises what make_app raises.
    """
    app = make_app(folder, address=address, warm=warm, jobs=Jobs)
    command = worker_command(app.state.service.workspace.folder, GRACE)
    with Workers(command, workers, grace=GRACE):
        yield app
