"""A worker as a process: it runs jobs until a signal comes, or until its parent is gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.worker import Perform, Worker
from kn_edit.workspace import Workspace

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_jobs(
    folder: Path | None, perform: Perform, *, once: bool, grace: float, until_stdin_ends: bool
) -> None:
    """Be a worker of the workspace in a folder until a signal comes.

    perform: what a job does; once: end when no job may begin; grace: seconds that a running job
    has to finish; until_stdin_ends: end, too, when nobody holds the other end of stdin
    Raises what opening the workspace raises, LedgerUnusable, OSError.
    """
    if until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    with Workspace.open(folder) as workspace, closing(Jobs(workspace)) as jobs:
        worker = Worker(workspace, jobs, perform, grace=grace)
        with _stopped_by_signals(worker.stop):
            worker.run(once=once)


@contextmanager
def _stopped_by_signals(stop_worker: Callable[[], None]) -> Iterator[None]:
    """Let a signal stop a worker after its job. A second Ctrl-C ends it at once.

    A second SIGTERM does not: a system that shuts down sends one to every process, as a server
    does to its workers.
    """

    def stop(signum: int, frame: object) -> None:
        stop_worker()
        if signum == signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)

    former = {number: signal.getsignal(number) for number in STOPPING}
    for number in former:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _end_with_stdin() -> None:
    """Send this process a SIGTERM when nobody holds the other end of its stdin any more."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
